package chain

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/enichain/enichain/chain/contract"
)

// SwapOptions say what the new stage gets beside what it inherits.
type SwapOptions struct {
	Set       []string  // "key=value"; values as Compose reads them
	Contracts Contracts // says which keys and capabilities a stage understands
}

// Swapped is a list with one stage replaced.
type Swapped struct {
	Text    []byte   // of the file; all but the stage stays byte for byte
	Carried []string // keys of the old stage that the new one understands, too
	Dropped []string // keys of the old stage that it does not, each with the reason
}

// Swap replaces a stage, named by its type or number, by another, which may bring a delegate: "ptp{eni-ipam}". What both
// understand is carried over. Where the new stage asks for addresses by itself and would throw away those of an IPAM stage
// right before it, that one moves into its "ipam". The result is not judged: Lint does that.
func Swap(ctx context.Context, l *List, old, replacement string, o SwapOptions) (Swapped, error) {
	if l.src == nil || l.src.root == nil {
		return Swapped{}, fmt.Errorf("cannot swap a stage of %s: there is no text to edit", l.Name)
	}
	if l.fused() {
		return swapFused(ctx, l, old, replacement, o)
	}
	e, err := newEntry(ctx, replacement, o.Contracts)
	if err != nil {
		return Swapped{}, err
	}
	at, err := l.find(old)
	if err != nil {
		return Swapped{}, err
	}
	if _, ok := at.at.member("type"); !ok {
		return Swapped{}, fmt.Errorf("cannot swap %s: its entry has no \"type\" in this spelling", old)
	}
	s := &swap{l: l, e: e, steps: walk(ctx, l, o.Contracts).steps, composed: e.own}
	s.old = s.steps[slices.IndexFunc(l.Stages, func(x Stage) bool { return x.at == at.at })]
	e.own = nil
	if err := s.replace(o.Set); err != nil {
		return Swapped{}, err
	}
	return Swapped{Text: apply(l.src.text, s.edits), Carried: s.carried, Dropped: s.dropped}, nil
}

// swapFused takes fused entries apart for the swap, and puts together again what then stands side by side.
func swapFused(ctx context.Context, l *List, old, replacement string, o SwapOptions) (Swapped, error) {
	apart, err := l.apart()
	if err != nil {
		return Swapped{}, err
	}
	apart.Stages = append(apart.Stages, l.Stages[l.inline:]...) // drop-ins
	done, err := Swap(ctx, apart, old, replacement, o)
	if err != nil {
		return done, err
	}
	swapped, problems := Parse(l.Path, done.Text)
	if swapped == nil {
		return done, fmt.Errorf("cannot read what became of %s: %v", l.Name, problems)
	}
	again, err := Fuse(ctx, swapped, o.Contracts)
	done.Text = again.Text
	return done, err
}

// find is the stage that a person means.
func (l *List) find(word string) (Stage, error) {
	var found []Stage
	var there []string
	n, err := strconv.Atoi(word)
	for i, s := range l.Stages {
		there = append(there, s.Type)
		if err == nil && i+1 == n || s.Type == word {
			found = append(found, s)
		}
	}
	switch {
	case len(found) == 0:
		return Stage{}, fmt.Errorf("no stage %s in %s; there are %s", word, l.Path, strings.Join(there, ", "))
	case len(found) > 1:
		return Stage{}, fmt.Errorf("%d stages of %s are called %s; say which by its number", len(found), l.Path, word)
	case found[0].src != l.src:
		return Stage{}, fmt.Errorf("stage %s stands in a drop-in: edit %s", word, found[0].File)
	}
	return found[0], nil
}

// swap is one replacement under way.
type swap struct {
	l                *List
	old              *step
	steps            []*step
	e                *entry
	composed         []pair // what Compose would have given the new stage
	edits            []edit
	carried, dropped []string
	gone             map[string]bool // members of the old entry that are taken out
}

func (s *swap) replace(set []string) error {
	s.gone = map[string]bool{}
	kind, _ := s.old.at.member("type")
	s.value(kind, json.RawMessage(quote(s.e.plugin)))
	for _, m := range s.old.at.members {
		s.member(m)
	}
	s.absorb()
	for _, p := range s.composed {
		if _, there := s.old.at.member(p.key); (!there || s.gone[p.key]) && !contains(s.e.own, p.key) {
			s.e.own = append(s.e.own, p)
		}
	}
	for _, word := range set {
		key, value, ok := strings.Cut(word, "=")
		if !ok || key == "" {
			return fmt.Errorf("cannot read %q: want key=value, such as mtu=1500", word)
		}
		if err := s.e.set(key, value, false); err != nil {
			return fmt.Errorf("cannot set %q: %w", word, err)
		}
	}
	s.write()
	return nil
}

func contains(pairs []pair, key string) bool {
	return slices.ContainsFunc(pairs, func(p pair) bool { return p.key == key })
}

// value replaces a member's value in the text.
func (s *swap) value(m member, with json.RawMessage) {
	s.edits = append(s.edits, edit{start: m.value.start, end: m.value.end, with: string(with)})
}

func (s *swap) drop(m member, why string) {
	s.gone[m.key] = true
	s.dropped = append(s.dropped, m.key+": "+why)
}

// member decides what becomes of one key of the old stage.
func (s *swap) member(m member) {
	raw := json.RawMessage(s.l.src.bytes(m.value))
	unknown := s.e.known.Foreign()
	switch {
	case m.key == "type":
	case m.key == "capabilities":
		s.capabilities(m)
	case m.key == "ipam":
		s.ipam(m)
	case runtimeKey(m.key), unknown:
		s.carried = append(s.carried, m.key)
	default:
		words, ok := keyed{known: s.e.known, plugin: s.e.plugin}.find(m.key)
		kind := readKind(words)
		switch {
		case !ok:
			s.drop(m, s.e.plugin+" knows no such key")
		case !kind.takes(raw):
			s.drop(m, fmt.Sprintf("%s wants %s, got %s", s.e.plugin, kind.words, brief(raw)))
		default:
			s.carried = append(s.carried, m.key)
		}
	}
}

// capabilities keeps those that the new stage, or its delegate, does something with, and switches on what it is for.
func (s *swap) capabilities(m member) {
	heard := append(slices.Clone(s.e.known.Capabilities), s.e.called.Capabilities...)
	if s.old.delegate != nil && s.e.known.Delegates != contract.NoDelegate {
		heard = append(heard, s.old.delegate.Capabilities...)
	}
	var on []pair
	changed := false
	for _, c := range m.value.members {
		if !s.e.known.Foreign() && !slices.Contains(heard, c.key) {
			changed = true
			s.dropped = append(s.dropped, "capabilities."+c.key+": "+s.e.plugin+" does nothing with it")
			continue
		}
		on = append(on, pair{c.key, json.RawMessage(s.l.src.bytes(c.value))})
		s.carried = append(s.carried, "capabilities."+c.key)
	}
	for _, name := range s.e.known.Capabilities {
		if essential(name) && !contains(on, name) {
			on, changed = append(on, pair{name, json.RawMessage("true")}), true
		}
	}
	switch {
	case len(on) == 0:
		s.gone[m.key] = true
	case changed:
		s.value(m, object(on))
	}
}

// ipam stays where the new stage calls a delegate, too, and is not given another one.
func (s *swap) ipam(m member) {
	delegates := s.e.known.Delegates != contract.NoDelegate
	switch {
	case s.e.known.Foreign() && s.e.delegate == "":
		s.carried = append(s.carried, m.key)
	case s.e.delegate != "" && s.e.delegate != s.old.Delegate():
		s.drop(m, s.e.plugin+" is to call "+s.e.delegate)
	case !delegates || s.old.delegate == nil:
		s.drop(m, s.e.plugin+" reads its own options")
	default:
		s.carried = append(s.carried, m.key)
		s.e.delegate = "" // it is there
		s.fit(m)
	}
}

// fit takes out of eni-ipam's keys what it may not have under the new caller.
func (s *swap) fit(m member) {
	if s.old.Delegate() != "eni-ipam" || (s.e.plugin == "routed-veth") == (s.old.Type == "routed-veth") {
		return
	}
	out := func(i int) bool { key := m.value.members[i].key; return key == "gateway" || key == "scope" }
	for i, inner := range m.value.members {
		if out(i) {
			s.dropped = append(s.dropped, "ipam."+inner.key+": its default is right under "+s.e.plugin)
		}
	}
	s.edits = append(s.edits, without(memberSpans(m.value), m.value.start+1, m.value.end-1, out)...)
}

// absorb moves the IPAM stage before the old one into the new one's "ipam".
func (s *swap) absorb() {
	if s.old.number != 2 || s.e.delegate != "" || s.e.known.Previous != contract.Discards || s.e.known.Delegates == contract.NoDelegate {
		return
	}
	if _, has := s.old.at.member("ipam"); has && !s.gone["ipam"] {
		return
	}
	before := s.steps[0]
	_, not := before.known.NotUnder[s.e.plugin]
	if not || before.known.Foreign() || !slices.Contains(before.gives(),
		contract.IPs) || slices.Contains(before.gives(), contract.SandboxInterface) {
		return
	}
	s.e.delegate = before.Type
	from := before.at
	if m, ok := before.at.member("ipam"); ok {
		from = m.value
	}
	for _, m := range from.members {
		if !runtimeKey(m.key) && (before.Type != "eni-ipam" || m.key != "gateway" && m.key != "scope") {
			s.e.ipam = put(s.e.ipam, m.key, json.RawMessage(s.l.src.bytes(m.value)))
		}
	}
	if m, ok := before.at.member("capabilities"); ok && !contains(s.e.own, "capabilities") {
		s.e.own = put(s.e.own, "capabilities", json.RawMessage(s.l.src.bytes(m.value)))
	}
	s.carried = append(s.carried, "stage 1 "+before.Type+" → ipam")
	plugins, _ := s.l.src.root.member("plugins")
	s.edits = append(s.edits, without(itemSpans(plugins.value), plugins.value.start+1, plugins.value.end-1,
		func(i int) bool { return i == 0 })...)
}

// write makes the edits of the entry: what is new, what is replaced, what goes.
func (s *swap) write() {
	entry := s.old.at
	fresh := slices.Clone(s.e.own)
	if s.e.delegate != "" || len(s.e.ipam) > 0 {
		if m, ok := entry.member("ipam"); ok && !s.gone["ipam"] && s.e.delegate == "" {
			s.deeper(m)
		} else {
			plugin := s.e.delegate
			if plugin == "" {
				plugin = s.e.plugin
			}
			fresh = append(fresh, pair{"ipam", object(append([]pair{{"type", json.RawMessage(quote(plugin))}},
				s.e.ipam...))})
		}
	}
	var more []string
	for _, p := range fresh {
		if m, ok := entry.member(p.key); ok && !s.gone[p.key] {
			s.edits = slices.DeleteFunc(s.edits, func(e edit) bool { return e.start == m.value.start })
			s.value(m, p.value)
			continue
		}
		more = append(more, quote(p.key)+": "+pretty(p.value))
	}
	spans := memberSpans(entry)
	gone := func(i int) bool { return s.gone[entry.members[i].key] }
	end := 0
	for i, m := range entry.members {
		if !gone(i) {
			end = m.value.end
		}
	}
	if len(more) > 0 {
		s.edits = slices.Insert(s.edits, 0, edit{start: end, end: end, with: ", " + strings.Join(more, ", ")})
	}
	s.edits = append(s.edits, without(spans, entry.start+1, entry.end-1, gone)...)
}

// deeper sets keys inside the "ipam" that stays.
func (s *swap) deeper(m member) {
	if len(m.value.members) == 0 {
		s.value(m, object(s.e.ipam))
		return
	}
	var more []string
	for _, p := range s.e.ipam {
		if inner, ok := m.value.member(p.key); ok {
			s.value(inner, p.value)
			continue
		}
		more = append(more, quote(p.key)+": "+pretty(p.value))
	}
	if end := m.value.members[len(m.value.members)-1].value.end; len(more) > 0 {
		s.edits = append(s.edits, edit{start: end, end: end, with: ", " + strings.Join(more, ", ")})
	}
}

package chain

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/enichain/enichain/chain/contract"
)

// ComposeOptions say what goes into a composed list beside its stages.
type ComposeOptions struct {
	Name      string    // the network's; "" is "enichain"
	Set       []string  // "stage.key=value", see Compose
	Contracts Contracts // says which capabilities a stage needs switched on
}

// Compose writes a list of the given stages, in this order, with the keys that they do not work without as far as those
// can be known. A stage is a plugin's type, or caller{delegate}: "ptp{eni-ipam}". It judges nothing: Lint does.
//
// A setting names the stage by its type, its number or, for a delegate's key, the delegate's type. Its value is JSON
// where it can be read as that, else a string; for a key that takes a list it may be items with commas between them.
func Compose(ctx context.Context, stages []string, o ComposeOptions) ([]byte, error) {
	if len(stages) == 0 {
		return nil, fmt.Errorf("cannot compose a list without stages")
	}
	entries := make([]*entry, len(stages))
	for i, word := range stages {
		e, err := newEntry(ctx, word, o.Contracts)
		if err != nil {
			return nil, err
		}
		entries[i] = e
	}
	for _, s := range o.Set {
		target, key, value, err := splitSetting(s)
		if err != nil {
			return nil, err
		}
		e, err := pick(entries, target)
		if err != nil {
			return nil, fmt.Errorf("cannot set %q: %w", s, err)
		}
		if err := e.set(key, value, target == e.delegate); err != nil {
			return nil, fmt.Errorf("cannot set %q: %w", s, err)
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b,
		"{\n  \"cniVersion\": \"1.0.0\",\n  \"cniVersions\": [\"1.0.0\", \"1.1.0\"],\n  \"name\": %s,\n  \"plugins\": [\n", quote(cmp.Or(o.Name, "enichain")))
	for i, e := range entries {
		comma := ","
		if i == len(entries)-1 {
			comma = ""
		}
		fmt.Fprintf(&b, "    %s%s\n", e.text(), comma)
	}
	b.WriteString("  ]\n}\n")
	return []byte(b.String()), nil
}

// entry is a stage in the making.
type entry struct {
	plugin   string
	delegate string // "" calls nobody
	known    Known
	called   Known // the delegate's
	own      []pair
	ipam     []pair // of the "ipam" object, without type
}

func newEntry(ctx context.Context, word string, c Contracts) (*entry, error) {
	e := &entry{plugin: word}
	if caller, rest, ok := strings.Cut(word, "{"); ok {
		inner, closed := strings.CutSuffix(rest, "}")
		if !closed || inner == "" || caller == "" {
			return nil, fmt.Errorf("cannot read stage %q: want a type such as ptp, or caller{delegate} such as ptp{eni-ipam}", word)
		}
		e.plugin, e.delegate = caller, inner
	}
	if strings.ContainsAny(e.plugin+e.delegate, "/ ,}") || e.plugin == "" {
		return nil, fmt.Errorf("cannot read stage %q: want the name of a plugin's file", word)
	}
	e.ask(ctx, c)
	for _, name := range e.known.Capabilities {
		if essential(name) {
			e.own = put(e.own, "capabilities", json.RawMessage(fmt.Sprintf("{ %q: true }", name)))
		}
	}
	switch e.plugin {
	case "bridge":
		e.own = put(put(e.own, "isDefaultGateway", json.RawMessage("true")), "hairpinMode", json.RawMessage("true"))
	case "cilium-cni":
		e.own = put(e.own, "chaining-mode", json.RawMessage(`"generic-veth"`))
	}
	return e, nil
}

func (e *entry) ask(ctx context.Context, c Contracts) {
	if c == nil {
		return
	}
	e.known = c.Of(ctx, e.plugin, json.RawMessage(e.text()))
	if e.delegate != "" {
		e.called = c.Of(ctx, e.delegate, json.RawMessage(e.text()))
	}
}

// essential says whether a stage that knows a capability does nothing without it. The others are for those who ask for a
// certain address or the like.
func essential(capability string) bool {
	return capability == "portMappings" || capability == "bandwidth"
}

// put sets a member in its place, or behind the others.
func put(pairs []pair, key string, value json.RawMessage) []pair {
	for i := range pairs {
		if pairs[i].key == key {
			pairs[i].value = value
			return pairs
		}
	}
	return append(pairs, pair{key, value})
}

// text is the stage as it stands in a list.
func (e *entry) text() string {
	pairs := append([]pair{{"type", json.RawMessage(quote(e.plugin))}}, e.own...)
	switch {
	case e.delegate != "":
		pairs = append(pairs, pair{"ipam", object(append([]pair{{"type", json.RawMessage(quote(e.delegate))}},
			e.ipam...))})
	case len(e.ipam) > 0:
		pairs = append(pairs, pair{"ipam", object(append([]pair{{"type", json.RawMessage(quote(e.plugin))}},
			e.ipam...))})
	}
	return string(object(pairs))
}

// readsIPAM says whether a plugin reads its options from "ipam" even where it is a stage of its own.
func readsIPAM(plugin string, k Known) bool {
	return plugin == "host-local" || plugin == "static" || plugin == "dhcp" ||
		k.From == FromBuiltIn && !k.told() && slices.Contains(k.Adds, contract.IPs) && !slices.Contains(k.Adds,
			contract.SandboxInterface) && k.Keys["ipam"] != ""
}

// set sets one key, a path for what lies deeper; inner means the delegate's.
func (e *entry) set(key, value string, inner bool) error {
	pairs, known := &e.own, e.known
	switch {
	case inner:
		pairs, known = &e.ipam, e.called
	case readsIPAM(e.plugin, e.known) && key != "capabilities" && !runtimeKey(key):
		pairs = &e.ipam
	}
	if rest, ok := strings.CutPrefix(key, "ipam."); ok {
		pairs, key = &e.ipam, rest
	}
	raw := settingValue(key, value, known.Keys[key])
	if key == "" || raw == nil {
		return fmt.Errorf("want key=value")
	}
	*pairs = put(*pairs, key, raw)
	return nil
}

// settingValue is what a person's word means for a key.
func settingValue(key, value, kindWords string) json.RawMessage {
	listed := strings.HasPrefix(kindWords, "list of ") || strings.Contains(kindWords, " or list of ")
	isJSON := json.Valid([]byte(value))
	switch {
	case key == "ranges" && !isJSON:
		var sets []string
		for _, subnet := range strings.Split(value, ",") {
			sets = append(sets, fmt.Sprintf(`[{ "subnet": %s }]`, quote(strings.TrimSpace(subnet))))
		}
		return json.RawMessage("[" + strings.Join(sets, ", ") + "]")
	case listed && (!isJSON || !strings.HasPrefix(strings.TrimSpace(value), "[")):
		if k := readKind(kindWords); !strings.Contains(value, ",") && k.takes(json.RawMessage(quote(value))) {
			return json.RawMessage(quote(value)) // one of the words that may stand instead of a list
		}
		var items []string
		for _, item := range strings.Split(value, ",") {
			items = append(items, quote(strings.TrimSpace(item)))
		}
		return json.RawMessage("[" + strings.Join(items, ", ") + "]")
	case isJSON:
		return json.RawMessage(value)
	}
	return json.RawMessage(quote(value))
}

func splitSetting(s string) (target, key, value string, err error) {
	path, value, ok := strings.Cut(s, "=")
	target, key, dotted := strings.Cut(path, ".")
	if !ok || !dotted || target == "" || key == "" {
		return "", "", "", fmt.Errorf("cannot read %q: want stage.key=value, such as routed-veth.mtu=1500", s)
	}
	return target, key, value, nil
}

// pick finds the stage that a setting is for.
func pick(entries []*entry, target string) (*entry, error) {
	if n, err := strconv.Atoi(target); err == nil {
		if n < 1 || n > len(entries) {
			return nil, fmt.Errorf("there is no stage %d, only %d", n, len(entries))
		}
		return entries[n-1], nil
	}
	var found []*entry
	var there []string
	for _, e := range entries {
		there = append(there, e.plugin)
		if e.plugin == target || e.delegate == target {
			found = append(found, e)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return nil, fmt.Errorf("no stage is called %s; there are %s", target, strings.Join(there, ", "))
	}
	return nil, fmt.Errorf("%d stages are called %s; say which by its number", len(found), target)
}

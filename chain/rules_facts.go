package chain

import (
	"fmt"
	"slices"
	"strings"

	"github.com/enichain/enichain/chain/contract"
)

// ruleFacts: what a stage requires holds before it, nothing is given twice, and nothing is thrown away.
func ruleFacts(j *judge, s *step) {
	if s.known.Foreign() || j.mustBeFirst(s) || j.twice(s) || j.discarded(s) {
		return
	}
	j.missing(s)
}

// mustBeFirst: a stage that refuses a prevResult stands first.
func (j *judge) mustBeFirst(s *step) bool {
	if s.previous() != contract.Refuses || s.number == 1 {
		return false
	}
	p := Problem{Code: "C108", Severity: Error,
		Text:  "must be the first stage, and stands behind " + j.steps[s.number-2].name(),
		Why:   "it refuses the prevResult that a runtime hands to every later stage, so no pod starts",
		Fixes: []string{"put " + s.entry() + " first"}}
	if first := j.steps[0]; slices.Contains(first.gives(), contract.IPs) {
		p.Fixes = []string{"take it out: " + first.name() + " gives an address already",
			"or take stage 1 out and put " + s.entry() + " in its place"}
	}
	j.stage(s, "type", p)
	return true
}

// twice: what only one stage may give is given by one.
func (j *judge) twice(s *step) bool {
	found := false
	for _, f := range s.gives() {
		other := j.giver(s, f)
		if other == nil || !j.clash(other, s, f) {
			continue
		}
		found = true
		p := Problem{Code: "C102", Severity: Error, Text: fmt.Sprintf("adds %s, and %s has added that already", f,
			other.name()), Why: twiceWhy(f)}
		key := ""
		if f == contract.Masquerade || f == contract.HostPorts {
			p.Severity = Warning // packets find their way all the same, by one of the two
		}
		switch {
		case f == contract.IPs && s.delegate != nil:
			key = "ipam"
			p.Text = fmt.Sprintf(`gets its address from %s, and calls %s by "ipam" for another`, other.name(),
				s.Delegate())
			p.Fixes = []string{`take "ipam" out of ` + s.Type, "or take " + other.name() + " out of the list"}
		case f == contract.Masquerade && s.truth("ipMasq"):
			key = "ipMasq"
			p.Fixes = []string{`"ipMasq": false`, "or take " + other.name() + " out of the list"}
		case f == contract.Masquerade && other.truth("ipMasq"):
			p.Fixes = []string{`"ipMasq": false in ` + other.name(), "or take " + s.Type + " out of the list"}
		default:
			p.Fixes = []string{"take one of the two out of the list"}
		}
		j.stage(s, key, p)
		if f == contract.SandboxInterface {
			break // the rest follows from it
		}
	}
	return found
}

// clash says whether two stages may not both give a fact.
func (j *judge) clash(first, second *step, f contract.Fact) bool {
	if f == contract.SandboxInterface {
		return true // one name, one interface
	}
	if second.previous() == contract.Discards && second.delegate != nil && slices.Contains(second.delegate.Adds, f) {
		return false // never sees the first one's: reported as thrown away
	}
	if f == contract.IPs && second.delegate != nil {
		return true
	}
	return first.exclusive(f) || second.exclusive(f)
}

func (s *step) exclusive(f contract.Fact) bool {
	return slices.Contains(s.known.Exclusive, f) || s.delegate != nil && slices.Contains(s.delegate.Exclusive, f)
}

func twiceWhy(f contract.Fact) string {
	switch f {
	case contract.IPs:
		return "one of the addresses would be held and never used"
	case contract.SandboxInterface:
		return "the container can have one interface of that name; the second ADD fails, and no pod starts"
	case contract.Masquerade:
		return "which source a packet leaves with depends on whose rule comes first"
	case contract.HostPorts:
		return "each would claim the same ports of the host, and the last one's rules win"
	}
	return "only one stage of a list may"
}

// discarded: a stage that never looks at prevResult has nothing to throw away.
func (j *judge) discarded(s *step) bool {
	lost := slices.DeleteFunc(keysOf(s.before),
		func(f contract.Fact) bool { return f == contract.Masquerade || f == contract.HostPorts }) // not in the result
	if s.previous() != contract.Discards || len(lost) == 0 {
		return false
	}
	by := j.giver(s, contract.IPs)
	if by == nil {
		j.stage(s, "type", Problem{Code: "C103", Severity: Error, Text: "never looks at what the stages before it gave",
			Why: "the result behind it has " + factList(lost) + " no more", Fixes: []string{"put " + s.entry() + " first"}})
		return true
	}
	p := Problem{Code: "C103", Severity: Error, Text: "takes no address from the stage before it",
		Why: "the address that " + by.Type + " takes would be held and never used"}
	switch {
	case s.known.Delegates == contract.NoDelegate:
		p.Fixes = []string{"take one of " + by.name() + " and " + s.name() + " out of the list"}
	case s.delegate != nil:
		p.Text += `; it calls its own "ipam"`
		p.Fixes = []string{"take " + by.name() + " out of the list: " + s.Type + " calls " + s.Delegate()}
	default:
		p.Text += `; it calls its own "ipam"`
		if _, not := by.known.NotUnder[s.Type]; !not {
			p.Fixes = []string{fmt.Sprintf(`move %s into %s:   { "type": %q, "ipam": %s }`, by.Type, s.Type, s.Type,
				by.asDelegate())}
		}
	}
	if slices.Contains([]string{"ptp", "bridge", "macvlan", "vlan"}, s.Type) && s.delegate == nil {
		p.Fixes = append(p.Fixes, "or use routed-veth:       "+j.swap(s.Type, "routed-veth"))
	}
	j.stage(s, "type", p)
	return true
}

// missing: what a stage requires holds.
func (j *judge) missing(s *step) {
	var lack []contract.Fact
	for _, f := range s.known.Requires {
		if !s.has(f) {
			lack = append(lack, f)
		}
	}
	first := s.number == 1 && s.previous() == contract.Needs
	if len(lack) == 0 && !first {
		return
	}
	if slices.Contains(lack, contract.IPs) { // without an address nothing else of it can be there
		lack = slices.DeleteFunc(lack, func(f contract.Fact) bool { return f == contract.Gateway })
	}
	p := Problem{Code: "C101", Severity: Error, Text: fmt.Sprintf("needs %s, which no stage before it adds",
		factList(lack)),
		Why: "its ADD fails, and no pod starts", Fixes: j.fixes(s, lack)}
	if len(lack) == 1 && lack[0] == contract.Routed {
		p.Why = "nothing on the node sends packets to the pod's address, and what it makes would lead nowhere"
	}
	key := ""
	switch {
	case s.known.Delegates == contract.MustDelegate && s.delegate == nil:
		key = "ipam"
		p.Text = `needs an address, and has no "ipam" that names a plugin to ask for one`
	case s.known.Delegates == contract.MayDelegate && s.delegate == nil && slices.Contains(lack, contract.IPs):
		p.Text = `needs an address: neither a stage before it nor an "ipam" of its own gives one`
	case s.delegate != nil:
		key = "ipam"
		p.Text = fmt.Sprintf("needs %s, which %s does not give with this configuration", factList(lack), s.Delegate())
	case first:
		p.Text = "cannot be first: it works on what the stages before it gave"
		if len(lack) > 0 {
			p.Text += ", and needs " + factList(lack)
		}
	}
	j.stage(s, key, p)
}

// fixes say who could give what is missing: a later stage of the same list, or one that is not there.
func (j *judge) fixes(s *step, lack []contract.Fact) []string {
	var out []string
	for _, later := range j.steps[s.number:] {
		var brings []contract.Fact
		for _, f := range lack {
			if slices.Contains(later.gives(), f) {
				brings = append(brings, f)
			}
		}
		if len(brings) > 0 {
			out = append(out, fmt.Sprintf("put %s behind %s, which adds %s", s.entry(), later.name(), factList(brings)))
		}
	}
	wire := j.giver(s, contract.SandboxInterface)
	switch {
	case len(out) > 0:
	case slices.Contains(lack, contract.IPs) && s.known.Delegates != contract.NoDelegate:
		out = []string{`"ipam": { "type": "eni-ipam" }`,
			`or, on any machine, "ipam": { "type": "host-local", "ranges": [[{ "subnet": "10.244.1.0/24" }]] }`}
		if s.known.Delegates == contract.MayDelegate && s.previous() != contract.Discards {
			out = append([]string{`{ "type": "eni-ipam" } before it`}, out...)
		}
	case slices.Contains(lack, contract.Bridge):
		out = []string{`{ "type": "bridge", "isGateway": true, … } as the stage that makes the interface`,
			"or take ingressPolicy out"}
	case wire != nil && (slices.Contains(lack, contract.Routed) || slices.Contains(lack, contract.HostInterface)):
		out = []string{"another stage that makes the interface:   " + j.swap(wire.Type, "ptp"),
			"or take " + s.Type + " out of the list"}
		if wire.Type == "bridge" && wire.delegate != nil && !slices.Contains(lack, contract.HostInterface) {
			out[0] = `"isGateway": true in ` + wire.name() // the bridge is the node's way to its pods
		}
	case len(lack) == 1 && lack[0] == contract.Gateway:
		out = []string{`"gateway" beside each address of the plugin that gives them`}
	default:
		out = []string{`{ "type": "eni-ipam" }, { "type": "routed-veth" } before it`}
	}
	return out
}

// factList is "a, b and c".
func factList[T ~string](facts []T) string {
	words := make([]string, len(facts))
	for i, f := range facts {
		words[i] = string(f)
	}
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}

// name is the stage as people point at it.
func (s *step) name() string { return fmt.Sprintf("stage %d %s", s.number, s.Type) }

// entry is the stage as it would stand in a list, shortened.
func (s *step) entry() string { return fmt.Sprintf(`{ "type": %q, … }`, s.Type) }

// asDelegate is the stage as it would stand in somebody's "ipam".
func (s *step) asDelegate() string {
	if raw, ok := s.Member("ipam"); ok {
		return brief(raw)
	}
	if s.Type == "eni-ipam" {
		return `{ "type": "eni-ipam", "gateway": "reserve" }`
	}
	return fmt.Sprintf(`{ "type": %q }`, s.Type)
}

// truth says whether a key of the stage is true.
func (s *step) truth(key string) bool {
	raw, ok := s.Member(key)
	return ok && string(raw) == "true"
}

package chain

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/enichain/enichain/chain/contract"
)

// Difference is what one list in the place of another means for pods.
type Difference struct {
	List    []string      `json:"list"`   // changes of the list's own keys
	Stages  []StageChange `json:"stages"` // in the order of the lists
	Facts   []FactChange  `json:"facts"`
	New     []string      `json:"new"`     // what new pods get
	Running []string      `json:"running"` // what becomes of pods that run
}

// StageChange is a stage that goes ("-"), comes ("+"), or changes ("~").
type StageChange struct {
	Sign   string   `json:"sign"`
	Type   string   `json:"type"`
	Keys   []string `json:"keys,omitempty"`   // of one that changes: "mtu: 9001 → 1500"
	Kernel []string `json:"kernel,omitempty"` // what the stage puts there
}

// FactChange is a fact that pods lose ("-") or gain ("+"), and what that means for one.
type FactChange struct {
	Sign  string        `json:"sign"`
	Fact  contract.Fact `json:"fact"`
	Means string        `json:"means"`
}

// Same says that nothing changes for any pod.
func (d Difference) Same() bool { return len(d.List)+len(d.Stages)+len(d.Facts) == 0 }

// Diff compares two lists, of which b is to replace a.
func Diff(ctx context.Context, a, b *List, c Contracts) Difference {
	from, to := walk(ctx, a, c), walk(ctx, b, c)
	d := Difference{List: some(listChanges(a, b)), Stages: []StageChange{}}
	for _, pair := range align(from.steps, to.steps, func(x, y *step) bool { return x.Type == y.Type }) {
		switch {
		case pair.b < 0:
			s := from.steps[pair.a]
			d.Stages = append(d.Stages, StageChange{Sign: "-", Type: s.Type, Kernel: s.known.Kernel})
		case pair.a < 0:
			s := to.steps[pair.b]
			d.Stages = append(d.Stages, StageChange{Sign: "+", Type: s.Type, Kernel: s.known.Kernel})
		default:
			if keys := keyChanges(from.steps[pair.a].Config, to.steps[pair.b].Config, ""); len(keys) > 0 {
				d.Stages = append(d.Stages, StageChange{Sign: "~", Type: to.steps[pair.b].Type, Keys: keys})
			}
		}
	}
	d.Facts = some(factChanges(from, to))
	d.New, d.Running = some(d.newPods(to)), some(d.runningPods(a, b))
	return d
}

// listChanges are those of the keys beside "plugins".
func listChanges(a, b *List) []string {
	var out []string
	say := func(key string, before, after any) {
		x, y := fmt.Sprint(before), fmt.Sprint(after)
		if x != y {
			out = append(out, fmt.Sprintf("%s: %s → %s", key, dash(x), dash(y)))
		}
	}
	say("name", a.Name, b.Name)
	say("cniVersion", strings.Join(offers(a), ", "), strings.Join(offers(b), ", "))
	say("disableCheck", a.DisableCheck, b.DisableCheck)
	say("disableGC", a.DisableGC, b.DisableGC)
	say("loadOnlyInlinedPlugins", a.LoadOnlyInlined, b.LoadOnlyInlined)
	if a.fused() || b.fused() {
		say("processes", processes(a), processes(b))
	}
	return out
}

// keyChanges compares two objects, and the objects in them.
func keyChanges(a, b json.RawMessage, path string) []string {
	var x, y map[string]json.RawMessage
	if json.Unmarshal(a, &x) != nil || json.Unmarshal(b, &y) != nil || x == nil || y == nil {
		return []string{fmt.Sprintf("%s: %s → %s", path, brief(a), brief(b))}
	}
	all := maps.Clone(x)
	maps.Copy(all, y)
	var out []string
	for _, key := range keysOf(all) {
		at := strings.TrimPrefix(path+"."+key, ".")
		before, was := x[key]
		after, is := y[key]
		switch {
		case !was:
			out = append(out, fmt.Sprintf("%s: - → %s", at, brief(after)))
		case !is:
			out = append(out, fmt.Sprintf("%s: %s → -", at, brief(before)))
		case sameJSON(before, after):
		default:
			out = append(out, keyChanges(before, after, at)...)
		}
	}
	return out
}

func sameJSON(a, b json.RawMessage) bool {
	var x, y any
	if json.Unmarshal(a, &x) != nil || json.Unmarshal(b, &y) != nil {
		return bytes.Equal(a, b)
	}
	one, err := json.Marshal(x)
	two, err2 := json.Marshal(y)
	return err == nil && err2 == nil && bytes.Equal(one, two)
}

// factChanges compares what holds behind the last stage.
func factChanges(from, to *walked) []FactChange {
	facts := func(w *walked) map[contract.Fact]int {
		if last := w.last(); last != nil {
			return last.after
		}
		return nil
	}
	before, after := facts(from), facts(to)
	all := map[contract.Fact]int{}
	maps.Copy(all, before)
	maps.Copy(all, after)
	var out []FactChange
	for _, f := range keysOf(all) {
		_, was := before[f]
		_, is := after[f]
		switch {
		case was && !is:
			out = append(out, FactChange{"-", f, lossWords(f)})
		case is && !was:
			out = append(out, FactChange{"+", f, gainWords(f)})
		}
	}
	return out
}

func lossWords(f contract.Fact) string {
	switch f {
	case contract.IPs:
		return "pods have no address"
	case contract.ENI:
		return "nobody knows which network interface of the node an address belongs to: pods leave by the main table"
	case contract.Gateway:
		return "addresses come without their next hop"
	case contract.SandboxInterface:
		return "pods have no interface"
	case contract.HostInterface:
		return "the host has no end of a pod's wire: rate limits and policies that look for one find none"
	case contract.Routed:
		return "nothing on the node routes to a pod"
	case contract.Masquerade:
		return "pods leave the VPC under their own address (needs a NAT gateway or private peers)"
	case contract.HostPorts:
		return "no port of the node leads to a pod"
	case contract.Bridge:
		return "pods do not hang on a bridge"
	}
	return "no stage says so any more"
}

func gainWords(f contract.Fact) string {
	switch f {
	case contract.IPs:
		return "pods have an address"
	case contract.ENI:
		return "each address is tied to a network interface of the node"
	case contract.Gateway:
		return "each address comes with its next hop"
	case contract.SandboxInterface:
		return "pods have an interface"
	case contract.HostInterface:
		return "the host has an end of each pod's wire"
	case contract.Routed:
		return "the node routes to each pod"
	case contract.Masquerade:
		return "pods leave under the node's address"
	case contract.HostPorts:
		return "ports of the node lead to pods"
	case contract.Bridge:
		return "pods hang on a bridge"
	}
	return "a stage says so now"
}

// newPods says what pods get that start with the new list.
func (d Difference) newPods(to *walked) []string {
	var out []string
	gone := "" // the stage right before, that the next one may replace
	flush := func() {
		if gone != "" {
			out = append(out, "no "+gone)
		}
		gone = ""
	}
	for _, s := range d.Stages {
		switch s.Sign {
		case "-":
			flush()
			gone = s.Type
			continue
		case "+":
			line := s.Type
			if gone != "" {
				line, gone = line+" instead of "+gone, ""
			}
			if len(s.Kernel) > 0 {
				line += ": " + strings.Join(s.Kernel, ", ")
			}
			out = append(out, line)
		case "~":
			flush()
			out = append(out, s.Type+" with "+strings.Join(s.Keys, ", "))
		}
	}
	flush()
	if len(out) > 0 {
		out = append(out, "a pod ends with "+strings.Join(ends(to), " · "))
	}
	return out
}

// runningPods says what becomes of those that were born with the old list.
func (d Difference) runningPods(a, b *List) []string {
	var out []string
	if a.Name != b.Name {
		out = append(out,
			fmt.Sprintf("the network's name changes: a runtime does not find what %q made; enichaind takes that away as they end, after chain apply", a.Name))
	}
	for _, s := range d.Stages {
		switch s.Sign {
		case "-":
			line := "keep what " + s.Type + " made until they end"
			if len(s.Kernel) > 0 {
				line += "; enichaind then takes it away: " + strings.Join(s.Kernel, ", ")
			}
			out = append(out, line)
		case "+":
			out = append(out, "have nothing of "+s.Type+", whose DEL runs for them, too")
		case "~":
			out = append(out, "keep "+s.Type+" as it was when they started")
		}
	}
	return out
}

// Text is the difference for people.
func (d Difference) Text() string {
	if d.Same() {
		return "no difference\n"
	}
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	section := func(head string, lines []string) {
		for i, line := range lines {
			if i > 0 {
				head = ""
			}
			fmt.Fprintf(w, "%s\t%s\n", head, line)
		}
	}
	section("list", d.List)
	var stages, facts []string
	for _, s := range d.Stages {
		stages = append(stages, strings.TrimSpace(s.Sign+" "+s.Type+"  "+strings.Join(s.Keys, ", ")))
	}
	section("stages", stages)
	longest := 0
	for _, f := range d.Facts {
		longest = max(longest, len(f.Fact))
	}
	for _, f := range d.Facts {
		facts = append(facts, fmt.Sprintf("%s %-*s   %s", f.Sign, longest, f.Fact, f.Means))
	}
	section("facts", facts)
	section("new pods", slices.Clone(d.New))
	section("running", d.Running)
	_ = w.Flush() // into memory
	return b.String()
}

// keysOf are the keys of a map in alphabetical order.
func keysOf[K ~string, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

package chain

import (
	"fmt"
	"slices"
	"strings"

	"github.com/enichain/enichain/chain/contract"
)

// ruleCheck: a stage's CHECK bears what later stages do.
func ruleCheck(j *judge, s *step) {
	if j.l.DisableCheck || older(j.version, "0.4.0") || !s.hasVerb("CHECK") {
		return
	}
	for _, aspect := range s.known.Checks {
		for _, later := range j.steps[s.number:] {
			if !slices.Contains(later.known.Changes, aspect) {
				continue
			}
			p := Problem{Code: "C201", Severity: Warning,
				Text:  fmt.Sprintf("its CHECK fails once %s has changed the %s", later.name(), aspectWords(aspect)),
				Why:   "CRI-O runs CHECK after every ADD, and no pod starts there; others are told of a drift that is none",
				Fixes: []string{`"disableCheck": true beside "plugins"`}}
			if j.options.Runtime == CRIO {
				p.Severity, p.Why = Error, "CRI-O runs CHECK after every ADD, and no pod starts"
			}
			if aspect == contract.Routes && s.Type != "routed-veth" {
				p.Fixes = append(p.Fixes,
					"or use routed-veth, whose CHECK bears it:   "+j.swap(s.Type, "routed-veth"))
			}
			j.stage(s, "", p)
		}
	}
}

// hasVerb says whether the stage has a verb; a contract that lists none has all.
func (s *step) hasVerb(verb string) bool {
	return !s.known.Foreign() && (len(s.known.Verbs) == 0 || slices.Contains(s.known.Verbs, verb))
}

func aspectWords(a contract.Aspect) string {
	switch a {
	case contract.MAC, contract.MTU:
		return strings.ToUpper(string(a)) + " of the container's interface"
	case contract.Routes:
		return "container's routes"
	}
	return string(a)
}

// ruleDel: a DEL that fails keeps the stages before it from theirs, and one that forgets leaves something behind.
func ruleDel(j *judge, s *step) {
	if slices.Contains(s.known.DelFails, contract.Netns) && s.number > 1 {
		j.stage(s, "", Problem{Code: "C202", Severity: Warning,
			Text: "its DEL fails when the container's network namespace is gone",
			Why: fmt.Sprintf("DEL runs from the last stage to the first and stops at an error: after a reboot or a crash %s of it, and what is held there stays held until a GC",
				neverHear(s.number)),
			Fixes: []string{"run enichaind, which cleans up what DEL did not", "or take it out of the list"}})
	}
	if slices.Contains(s.known.DelFails, contract.PrevResult) && older(j.version, "0.4.0") && s.number > 1 {
		j.stage(s, "", Problem{Code: "C202", Severity: Error,
			Text: "its DEL fails without prevResult, which DEL does not have before CNI 0.4.0",
			Why:  fmt.Sprintf("%s of DEL", neverHear(s.number)), Fixes: []string{versionLines}})
	}
	if slices.Contains(s.known.DelForgets, contract.PrevResult) && older(j.version, "0.4.0") {
		j.stage(s, "", Problem{Code: "C203", Severity: Warning,
			Text: "its DEL removes nothing without prevResult, which DEL does not have before CNI 0.4.0",
			Why:  "its rules stay behind for an address that the next pod gets", Fixes: []string{versionLines}})
	}
	if slices.Contains(s.known.DelForgets, contract.RuntimeConfig) && j.options.Runtime == CRIO {
		p := Problem{Code: "C203", Severity: Warning,
			Text: "CRI-O tells it no ports: it has nothing to do, and its DEL leaves behind what another runtime had it make",
			Why:  "CRI-O does host ports itself, and this DEL removes only the ports that it is told again"}
		if s.Type == "portmap" {
			p.Fixes = []string{"take it out of the list on CRI-O",
				"or use portmap-compat, whose DEL needs no ports:   " + j.swap("portmap", "portmap-compat")}
		}
		j.stage(s, "", p)
	}
}

func neverHear(number int) string {
	switch number {
	case 2:
		return "stage 1 never hears"
	case 3:
		return "stages 1 and 2 never hear"
	}
	return fmt.Sprintf("stages 1 to %d never hear", number-1)
}

// ruleEnd: behind the last stage a pod has an interface, with an address.
func ruleEnd(j *judge) {
	last := j.last()
	if last == nil {
		return
	}
	alone := len(j.steps) == 1 && last.Type == "loopback"
	for _, s := range j.steps {
		if s.Type == "loopback" && !alone {
			j.stage(s, "type", Problem{Code: "C112", Severity: Warning,
				Text: "sets up lo, and adds nothing to this network",
				Why:  "runtimes set lo up by themselves, or by a list of its own", Fixes: []string{"take it out of the list"}})
		}
	}
	if alone {
		j.list("plugins", Problem{Code: "C113", Severity: Warning, Text: "sets up lo, and nothing else",
			Why: "fine as the list that a runtime runs beside others; as a pod's network it gives none", Fixes: []string{"give it a name that sorts behind the pods' network, such as 99-loopback.conf"}})
	}
	unsure := last.unsure || last.known.Foreign()
	broken := slices.ContainsFunc(j.problems, func(p Problem) bool {
		return p.Code == "C101" || p.Code == "C103" || p.Code == "C102" || p.Code == "C108"
	})
	if alone || unsure || broken {
		return
	}
	_, wired := last.after[contract.SandboxInterface]
	_, addressed := last.after[contract.IPs]
	switch {
	case !wired:
		j.list("plugins", Problem{Code: "C113", Severity: Error, Text: "no stage makes the container's interface",
			Why:   "a pod would have no network",
			Fixes: []string{`add { "type": "routed-veth" }`}})
	case !addressed:
		p := Problem{Code: "C113", Severity: Warning, Text: "no stage gives an address",
			Why:   "containerd refuses a pod whose eth0 has none; as a further network of a pod it may do",
			Fixes: []string{`"ipam": { "type": "host-local", "ranges": [[{ "subnet": "10.244.1.0/24" }]] } in the stage that makes the interface`}}
		if strings.HasPrefix(j.options.Runtime, "containerd") {
			p.Severity, p.Why = Error, "containerd refuses a pod whose eth0 has none"
		}
		j.list("plugins", p)
	}
}

package chain

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"github.com/enichain/enichain/chain/contract"
	"github.com/enichain/enichain/chain/spelling"
)

// ruleCapabilities: a runtime hands a stage only what its "capabilities" switch on.
func ruleCapabilities(j *judge, s *step) {
	if s.known.Foreign() {
		return
	}
	heard := slices.Clone(s.known.Capabilities)
	sure := complete(s.Type)
	if s.delegate != nil {
		heard = append(heard, s.delegate.Capabilities...)
		sure = sure && !s.delegate.Foreign() && complete(s.Delegate())
	}
	for _, name := range s.Capabilities() {
		if slices.Contains(heard, name) || !sure {
			continue
		}
		p := Problem{Code: "C104", Severity: Warning, Text: s.Type + " does nothing with this capability",
			Why: "what the runtime hands over for it is not read"}
		if near := spelling.Nearest(name, heard); near != "" {
			p.Fixes = []string{fmt.Sprintf(`"capabilities": { %q: true }`, near)}
		} else {
			p.Fixes = []string{"take " + strconv.Quote(name) + " out"}
		}
		j.stage(s, "capabilities."+name, p)
	}
	j.capabilityOff(s)
}

// capabilityOff: a stage whose whole work is told by a capability has it switched on.
func (j *judge) capabilityOff(s *step) {
	off := func(name string) bool {
		return slices.Contains(s.known.Capabilities, name) && !slices.Contains(s.Capabilities(),
			name) && !s.inline(name)
	}
	if slices.Contains(s.known.Adds, contract.HostPorts) && off("portMappings") {
		j.stage(s, "capabilities", Problem{Code: "C104", Severity: Error, Text: "portMappings is not switched on",
			Why: "no runtime tells it a port: pods start, and their host ports lead nowhere", Fixes: []string{`"capabilities": { "portMappings": true }`}})
	}
	if s.Type == "bandwidth" && off("bandwidth") && !s.any("ingressRate", "egressRate") {
		j.stage(s, "capabilities", Problem{Code: "C104", Severity: Warning,
			Text: "bandwidth is not switched on, and no rate is given", Why: "it limits nobody",
			Fixes: []string{`"capabilities": { "bandwidth": true }`,
				`or "ingressRate": 100000000, "ingressBurst": 1000000`}})
	}
	if _, ok := s.Member("select"); ok && s.annotations() && off("io.kubernetes.cri.pod-annotations") {
		j.stage(s, "select", Problem{Code: "C104", Severity: Error,
			Text: "asks for an annotation, and io.kubernetes.cri.pod-annotations is not switched on",
			Why:  "no runtime tells it the pod's annotations", Fixes: []string{`"capabilities": { "io.kubernetes.cri.pod-annotations": true }`}})
	}
}

// inline says that the list itself gives what the runtime would.
func (s *step) inline(capability string) bool {
	raw, _ := s.Member("runtimeConfig")
	given, ok := memberOf(raw, capability)
	return ok && !isNull(given)
}

// any says whether one of the keys is there.
func (s *step) any(keys ...string) bool {
	return slices.ContainsFunc(keys, func(k string) bool { _, ok := s.Member(k); return ok })
}

func (s *step) annotations() bool {
	raw, _ := s.Member("select")
	var lines []map[string]json.RawMessage
	if json.Unmarshal(raw, &lines) != nil {
		return false
	}
	return slices.ContainsFunc(lines, func(l map[string]json.RawMessage) bool { return len(l["annotation"]) > 0 })
}

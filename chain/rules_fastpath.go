package chain

import (
	"slices"

	"github.com/enichain/enichain/chain/contract"
)

// fastPath: fastpath's program is a link's classifier, and whatever it sends on is seen by nobody behind it.
func (j *judge) fastPath(s *step) {
	for _, other := range j.steps[:s.number-1] {
		if s.Type == "bandwidth" && other.Type == "fastpath" {
			j.limitedFast(s, other, s)
		}
		if s.Type == "fastpath" && other.Type == "bandwidth" {
			j.limitedFast(s, other, other)
		}
		if watches := map[string]bool{"cilium-cni": true}; s.Type == "fastpath" && watches[other.Type] || other.Type == "fastpath" && watches[s.Type] {
			j.stage(s, "", Problem{Code: "C121", Severity: Warning, Text: "stands beside " + other.name(),
				Why:   "an agent that watches packets on the pod's link sees one a second of an established flow",
				Fixes: []string{"take fastpath out of the list"}})
		}
	}
	if s.Type != "fastpath" {
		return
	}
	if by := j.giver(s, contract.Bridge); by != nil {
		j.stage(s, "", Problem{Code: "C121", Severity: Error, Text: "stands behind " + by.name(),
			Why: "packets between a bridge's ports are not routed: it refuses ADD, and no pod starts", Fixes: []string{"take it out of the list",
				"or routed-veth or ptp for the wire"}})
	}
}

// limitedFast: what a pod sends is limited by a classifier of bandwidth's own, and a link has one.
func (j *judge) limitedFast(s, other, limits *step) {
	p := Problem{Code: "C121", Severity: Warning, Text: "stands beside " + other.name(),
		Why:   "a pod with a limit on what it sends does not start: both want the classifier of its link",
		Fixes: []string{"take one of the two out of the list"}}
	if raw, ok := limits.Member("egressRate"); ok && string(raw) != "0" {
		p.Severity, p.Why = Error, "both want the classifier of the pod's link: the second refuses ADD, and no pod starts"
		p.Fixes = append(p.Fixes, "or limit only what pods receive: ingressRate, ingressBurst")
	} else if !slices.Contains(limits.Capabilities(), "bandwidth") {
		return
	}
	j.stage(s, "", p)
}

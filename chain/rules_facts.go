package chain

import (
	"fmt"

	"github.com/enichain/enichain/chain/contract"
)

// ruleFacts: what a stage requires must hold before it.
func ruleFacts(j *judge) {
	for _, s := range j.steps {
		for _, f := range s.known.Requires {
			if _, ok := s.before[f]; ok || s.unsure || s.has(f) {
				continue
			}
			j.stage(s, "", Problem{Code: "C101", Severity: Error, Text: fmt.Sprintf("needs %s, and no stage before it adds that", f)})
		}
	}
}

// has says that the stage's own delegate brings a fact.
func (s *step) has(f contract.Fact) bool {
	if s.delegate == nil {
		return false
	}
	if s.delegate.Foreign() {
		return f == contract.IPs
	}
	for _, a := range s.delegate.Adds {
		if a == f {
			return true
		}
	}
	return false
}

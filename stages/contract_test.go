package stages_test

import (
	"strings"
	"testing"

	"github.com/enichain/enichain/chain/contract"
	"github.com/enichain/enichain/stages"
)

// needy is a stage whose contract says that it builds on others.
type needy struct {
	spy
	contract contract.Contract
}

func (n *needy) Contract() contract.Contract { return n.contract }

// TestContractHolds: a stage that builds on others is never asked to without their result.
func TestContractHolds(t *testing.T) {
	ips := []contract.Fact{contract.IPs}
	for _, tc := range []struct {
		name, command string
		contract      contract.Contract
		prev          string
		refused       bool
	}{
		{"needs", "ADD", contract.Contract{Previous: contract.Needs}, "", true},
		{"needs, at CHECK", "CHECK", contract.Contract{Previous: contract.Needs}, "", true},
		{"needs, at DEL", "DEL", contract.Contract{Previous: contract.Needs}, "", false},
		{"needs and has", "ADD", contract.Contract{Previous: contract.Needs}, `,"prevResult":{"cniVersion":"1.0.0"}`, false},
		{"requires", "ADD", contract.Contract{Requires: ips}, "", true},
		{"requires, or asks a delegate", "ADD", contract.Contract{Requires: ips, Delegates: contract.MayDelegate}, "", false},
		{"uses", "ADD", contract.Contract{Previous: contract.Uses, Requires: ips}, "", false},
		{"nothing said", "ADD", contract.Contract{}, "", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := &needy{contract: tc.contract}
			o := run(t, s, environment(tc.command), strings.TrimSuffix(minimal, "}")+tc.prev+"}")
			if tc.refused {
				if code, msg, _ := refused(t, o); code != 7 || !strings.HasPrefix(msg, "NO_PREVRESULT spy has no prevResult for net/c1/eth0") {
					t.Errorf("code %d %q", code, msg)
				}
			}
			if called := len(s.asked) > 0; called == tc.refused || (o.exit == 0) == tc.refused {
				t.Errorf("exit %d, the stage was called: %t; %s", o.exit, called, o.stdout)
			}
		})
	}
}

func TestStale(t *testing.T) {
	mine, other := stages.Attachment{Network: "n", Container: "a", IfName: "eth0"}, stages.Attachment{Network: "m", Container: "a", IfName: "eth0"}
	for _, tc := range []struct {
		name  string
		valid []stages.Attachment
		of    stages.Attachment
		want  bool
	}{
		{"no list", nil, mine, false},
		{"an empty list", []stages.Attachment{}, mine, true},
		{"in the list", []stages.Attachment{mine}, mine, false},
		{"another interface is in the list", []stages.Attachment{{Network: "n", Container: "a", IfName: "net1"}}, mine, true},
		{"another network's", []stages.Attachment{}, other, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := &stages.Request{Attachment: stages.Attachment{Network: "n"}, Valid: tc.valid}
			if got := r.Stale(tc.of); got != tc.want {
				t.Errorf("Stale = %t", got)
			}
		})
	}
}

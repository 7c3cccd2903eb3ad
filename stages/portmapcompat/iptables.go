package portmapcompat

import (
	"errors"

	goiptables "github.com/coreos/go-iptables/iptables"

	"github.com/enichain/enichain/stages/internal/nfnl"
)

// nat is iptables' table nat of both families.
type nat struct{ nl *nfnl.Conn } // for a look without a process

func openNAT() (nat, error) {
	c, err := nfnl.Open()
	return nat{c}, err
}

func (n nat) close() { n.nl.Close() }

// tries bounds how often a script is written anew because somebody changed what it was written for.
const tries = 10

// list is a chain's rules; ok is false where the chain is not there.
func list(h *goiptables.IPTables, chain string) (all []listed, ok bool, err error) {
	lines, err := h.List("nat", chain)
	var fault *goiptables.Error
	if errors.As(err, &fault) && (fault.ExitStatus() == 1 || fault.IsNotExist()) {
		return nil, false, nil
	}
	return parseRules(lines), err == nil, err
}

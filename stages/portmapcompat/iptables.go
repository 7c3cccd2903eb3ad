package portmapcompat

import "github.com/enichain/enichain/stages/internal/nfnl"

// nat is iptables' table nat of both families.
type nat struct{ nl *nfnl.Conn } // for a look without a process

func openNAT() (nat, error) {
	c, err := nfnl.Open()
	return nat{c}, err
}

func (n nat) close() { n.nl.Close() }

// tries bounds how often a script is written anew because somebody changed what it was written for.
const tries = 10

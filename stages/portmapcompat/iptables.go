package portmapcompat

import (
	"context"
	"errors"

	goiptables "github.com/coreos/go-iptables/iptables"

	"github.com/enichain/enichain/stages"
	"github.com/enichain/enichain/stages/internal/nfnl"
)

// nat is iptables' table nat of both families.
type nat struct{ nl *nfnl.Conn } // for a look without a process

func openNAT() (nat, error) {
	c, err := nfnl.Open()
	return nat{c}, err
}

func (n nat) close() { n.nl.Close() }

// checkNAT is CHECK in iptables.
func checkNAT(ctx context.Context, c call, r *stages.Request) (string, error) {
	n, err := openNAT()
	if err != nil {
		return "", err
	}
	defer n.close()
	return n.check(ctx, c, r)
}

// endedNAT is DEL in iptables, and in upstream's nftables backend.
func endedNAT(ctx context.Context, r *stages.Request) ([]lead, error) {
	n, err := openNAT()
	if err != nil {
		return nil, err
	}
	defer n.close()
	var asked *call
	if c, err := read(r); err == nil && len(c.wants) > 0 {
		asked = &c
	}
	gone, err := n.end(ctx, r, asked)
	return gone, errors.Join(err, n.endUpstream(r))
}

// collectNAT is GC in iptables.
func collectNAT(ctx context.Context, r *stages.Request) ([]lead, error) {
	n, err := openNAT()
	if err != nil {
		return nil, err
	}
	defer n.close()
	return n.collect(ctx, r)
}

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

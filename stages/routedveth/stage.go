// Package routedveth wires a container to the node by a veth pair and routes its addresses to it: a /32 or /128 inside,
// a next hop that exists nowhere (169.254.1.1, fe80::1), one route per address outside, and packets that leave by the
// network interface (ENI) to which their address belongs. It is the stage "routed-veth", and the same code prepares
// and repairs a node's network interfaces for the agent.
package routedveth

import (
	"context"
	"errors"
	"fmt"

	"github.com/enichain/enichain/chain/contract"
	"github.com/enichain/enichain/stages"
	"github.com/enichain/enichain/stages/internal/link"
	"github.com/enichain/enichain/stages/internal/nft"
	"github.com/enichain/enichain/stages/internal/numbers"
)

// Stage is routed-veth.
type Stage struct{}

// New returns the stage; it keeps nothing between calls.
func New() Stage { return Stage{} }

var _ stages.Stage = Stage{}

// Contract says that addresses must come from before, or from a delegate; each gets the next hop of the wire.
func (Stage) Contract() contract.Contract {
	return contract.Contract{
		V:         contract.V,
		Previous:  contract.Uses,
		Requires:  []contract.Fact{contract.IPs},
		Adds:      []contract.Fact{contract.Gateway, contract.SandboxInterface, contract.HostInterface, contract.Routed},
		Delegates: contract.MayDelegate,
		Kernel:    []string{"veth", "routes in enichain-pods", "rules 500 1499 1500", "nft inet enichain-routed-veth"},
		Keys: map[string]string{
			"mtu":        "0 or integer 68..65535 (default 0: the network interface's)",
			"vethPrefix": `string (1 to 4 bytes; default "eni")`,
			"hostVeth":   `"pod" or "attachment" (default "pod", which counts where the runtime names one)`,
			"ipam":       "object (with type, the delegate; default none: addresses come from prevResult)",
		},
	}
}

// Status is 50 where this process cannot change the node's network at all, and otherwise what the delegate says.
func (Stage) Status(ctx context.Context, r *stages.Request) error {
	conf, err := decode(r)
	if err != nil {
		return err
	}
	if err := usable(); err != nil {
		return stages.Errorf(stages.Kernel, "no pod can be wired: %w", err).WithCode(stages.CodeUnavailable)
	}
	return conf.delegate(ctx, r, "STATUS")
}

func usable() error {
	c, err := link.Open()
	if err != nil {
		return err
	}
	defer c.Close()
	up, err := c.Uplink(false)
	if errors.Is(err, link.ErrAbsent) {
		return nil // a node without a way out may still have pods that talk to each other
	}
	if err != nil {
		return err
	}
	primary, err := c.LinkByIndex(up.Link)
	if err != nil {
		return err
	}
	if _, steered := numbers.GroupENI(primary.Group); !steered {
		return nil
	}
	n, err := nft.Open() // needed from the first network interface on
	if err != nil {
		return err
	}
	defer n.Close()
	if _, err = n.Generation(); err != nil {
		return fmt.Errorf("nf_tables does not answer: %w", err)
	}
	return nil
}

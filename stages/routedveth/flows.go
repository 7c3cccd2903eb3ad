package routedveth

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/enichain/enichain/stages/internal/conntrack"
	"github.com/enichain/enichain/stages/internal/nfnl"
)

// ForgetFlows makes the kernel forget every connection that it tracks for the addresses, so that none leads to whoever
// gets them next: a peer that goes on sending keeps the old pod's translation alive for ever. It reads all flows and is
// not for the way of a pod. It returns how many went.
func ForgetFlows(ctx context.Context, addresses []netip.Addr) (int, error) {
	if err := ctx.Err(); err != nil || len(addresses) == 0 {
		return 0, err
	}
	c, err := nfnl.Open()
	if err != nil {
		return 0, fmt.Errorf("cannot forget the flows of %v: %w", addresses, err)
	}
	defer c.Close()
	return conntrack.ForgetAddresses(c, addresses)
}

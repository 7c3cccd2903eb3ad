package sim

import (
	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/agent"
	"github.com/enichain/enichain/ipam/reconcile"
	"github.com/enichain/enichain/ipam/store"
)

// bugs are planted ones: each breaks a rule, and the simulator has to see it. nil = as it should be.
type bugs struct {
	past   func(*store.Past)
	ledger func(*node, agent.Ledger) agent.Ledger
	tick   func(store.Now) store.Now
	survey func(*node, *agent.Surveyed)
	supply func(*ipam.Supply)
	call   func(*fleet, *reconcile.Call) int // how often it is made beside once; below 0: it does not reach EC2
}

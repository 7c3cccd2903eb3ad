package agent

import (
	"context"
	"errors"
	"net/netip"

	"github.com/enichain/enichain/ipam"
)

// Kernel is the node's network namespace as the stages' own code sees and changes it. All methods may be called any
// number of times; they are called by one goroutine at a time.
type Kernel interface {
	// Links lists what may be a network interface of EC2: links with a permanent MAC that are no pod's, with their index,
	// the small number that their group says (-1 = none) and their addresses.
	Links(ctx context.Context) ([]Link, error)
	// Prepare makes link, table, rules and sysctls of one ENI what they must be. nil: they are. ErrMTU: all but the link's MTU.
	Prepare(ctx context.Context, e ENI) error
	// Repair looks at the whole base with these ENIs in it and puts back what is missing, saying what that was in words
	// people can read ("3 rules", "route to 10.0.1.7"). enis is the complete list and never empty: what belongs
	// to other interfaces may go. ErrLookAgain asks for another look a second later.
	Repair(ctx context.Context, enis []ENI) (repaired []string, err error)
	// Forget removes what Prepare made for number n. Its link may be gone.
	Forget(ctx context.Context, n int) error
	// Inspect lists what pods have in the node's namespace.
	Inspect(ctx context.Context) (View, error)
	// Sweep deletes pods' links that were severed (down) by DEL. It returns how many.
	Sweep(ctx context.Context) (int, error)
}

// ErrLookAgain is Kernel.Repair's when all went well and something may be a loss or a pod's end halfway.
var ErrLookAgain = errors.New("a second look will tell")

// ErrMTU is Kernel.Prepare's when the link refuses its MTU and all else is as it must be.
var ErrMTU = errors.New("it serves pods, but not with its MTU")

// View is what the kernel shows of pods.
type View struct {
	Pods []PodLink
}

// PodLink is the host's end of a pod with the addresses that are routed to it by routes of ours. Routes without a link
// of ours come as one with an empty name.
type PodLink struct {
	Name      string
	MAC       string // of the host's end: 02 and 40 bits of SHA-1(network/container/ifname), lower case, colons
	Alias     string // network/container/ifname as written for people, addresses may follow; may be missing
	N         int    // ENI, from the link's group; -1 = unknown
	Up        bool
	Addresses []netip.Addr
}

// InUse is the set of addresses that are routed to pods.
func (v View) InUse() map[netip.Addr]bool {
	used := map[netip.Addr]bool{}
	for _, p := range v.Pods {
		for _, a := range p.Addresses {
			used[a] = true
		}
	}
	return used
}

// Bus is what the agent needs of the bus. bus.Conn is one; FileBus is another, without any network.
type Bus interface {
	// PublishSnapshot returns nil when the stream holds the snapshot.
	PublishSnapshot(ctx context.Context, s ipam.Snapshot) error
	// PublishEvent returns nil when the record is out of this process; nobody acknowledges it.
	PublishEvent(ctx context.Context, instance ipam.InstanceID, inc ipam.Inc, r ipam.Record) error
	// Supplies calls f, one call at a time, for each supply to the instance until ctx ends. f does not block.
	Supplies(ctx context.Context, instance ipam.InstanceID, f func(ipam.Supply)) error
	// Connected says whether messages can pass now.
	Connected() bool
	// Reconnects rises with every connection after the first: what was under way before may be lost, and a server that
	// started anew has forgotten what it was told.
	Reconnects() uint64
	// Changed has an element when one of the two above may say something else; nil: they never do. One reader.
	Changed() <-chan struct{}
}

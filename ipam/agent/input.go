package agent

import (
	"cmp"
	"net/netip"
	"time"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/store"
)

// Now is a reading of both clocks: BOOTTIME decides, the wall clock is for people.
type Now = store.Now

// Input is one thing that happened: exactly one member is set. Inputs and effects are plain data, so that a run can be
// recorded and replayed (docs/protocol.md, L6).
type Input struct {
	Start     *Start       `json:"start,omitempty"`     // the first input of a core
	Timer     bool         `json:"timer,omitempty"`     // Core.Deadline has come
	Bus       *BusState    `json:"bus,omitempty"`       // the bus was lost or found
	Supply    *ipam.Supply `json:"supply,omitempty"`    // a message from the reconciler, of any age
	Bell      bool         `json:"bell,omitempty"`      // somebody committed to the pool file
	Wake      *Wake        `json:"wake,omitempty"`      // the kernel's state may have changed
	Hint      *Hint        `json:"hint,omitempty"`      // what the node's surroundings say
	Pool      *Pool        `json:"pool,omitempty"`      // an effect on the pool file is done
	Published *Published   `json:"published,omitempty"` // Effect.Publish is done
	Drained   *Drained     `json:"drained,omitempty"`   // Effect.Drain is done
	Ledger    *Written     `json:"ledger,omitempty"`    // Effect.Ledger is done
	Links     *Links       `json:"links,omitempty"`     // Effect.ReadLinks is done
	Prepared  *Prepared    `json:"prepared,omitempty"`  // Effect.Prepare is done
	Repaired  *Repaired    `json:"repaired,omitempty"`  // Effect.Repair is done
	Surveyed  *Surveyed    `json:"surveyed,omitempty"`  // Effect.Survey is done
}

// Start is the state of the files when the agent came up; Ledger is what stands on disk.
type Start struct {
	Pool   Pool   `json:"pool"`
	Ledger Ledger `json:"ledger"`
}

// BusState says whether messages can pass.
type BusState struct {
	Up bool `json:"up"`
}

// Wake is a reason to look at the kernel. Who names the process behind the change where the kernel told it; Links is
// true when network interfaces came, went or changed.
type Wake struct {
	Who   string `json:"who,omitempty"`
	Links bool   `json:"links,omitempty"`
}

// Hint is what the agent is told of its node from elsewhere.
type Hint struct {
	MaxPods       int  `json:"maxPods"` // kubelet's limit; 0 = unknown
	Unschedulable bool `json:"unschedulable"`
}

// Pool is what the pool file said at the end of a transaction; every effect on the file answers with it.
type Pool struct {
	Snapshot ipam.Snapshot       `json:"snapshot"` // Floor is the core's business and is 0 here
	Pools    []ipam.SuppliedPool `json:"pools,omitempty"`
	ENIs     []ENI               `json:"enis"`
	Held     []Gone              `json:"held,omitempty"`
	Fenced   []Gone              `json:"fenced,omitempty"`
	HoldAll  bool                `json:"holdAll,omitempty"` // every address without a record of its own is held, too
	// Unproven is the newest s0 of held addresses that wait for protocol A4's second step, Risen the newest s1: the
	// stream has to hold a snapshot at least that new. 0 = none.
	Unproven uint64       `json:"unproven,omitempty"`
	Risen    uint64       `json:"risen,omitempty"`
	Next     ipam.Instant `json:"next,omitempty"`   // when Tick next has something to do; 0 = never
	Mute     time.Time    `json:"mute,omitzero"`    // since when people are told that the bus cannot be reached
	Outbox   int          `json:"outbox,omitempty"` // records that nobody has published
	Done     Done         `json:"done"`
	Err      string       `json:"err,omitempty"` // the transaction failed: all but Done.What is empty
}

// Done is what an effect on the pool file did beside changing it.
type Done struct {
	What     string       `json:"what"`               // the effect: look, accept, links, choose, fence, …
	Refused  []string     `json:"refused,omitempty"`  // accept: what was not taken, and why
	Accepted bool         `json:"accepted,omitempty"` // accept: the supply was newer than what was seen
	Release  ipam.Release `json:"release,omitzero"`   // choose, fence: the wish
	Chosen   []Gone       `json:"chosen,omitempty"`   // choose: what fencing it now would take; fence: what it took
}

// ENI is a supplied network interface with its small number on this node.
type ENI struct {
	N int `json:"n"`
	ipam.SuppliedENI
}

// Gone is an address, or a whole delegated prefix, in one life: fenced or held.
type Gone struct {
	ENI        ipam.ENIID        `json:"eni"`
	Attachment ipam.AttachmentID `json:"attachment"`
	Address    netip.Addr        `json:"address,omitzero"`
	Prefix     netip.Prefix      `json:"prefix,omitzero"`
}

func (g Gone) compare(h Gone) int {
	return cmp.Or(g.Address.Compare(h.Address), g.Prefix.Addr().Compare(h.Prefix.Addr()), cmp.Compare(g.ENI, h.ENI))
}

// Published is the stream's answer to a snapshot: Err empty means that the stream holds Seq.
type Published struct {
	Inc ipam.Inc `json:"inc"`
	Seq uint64   `json:"seq"`
	Err string   `json:"err,omitempty"`
}

// Drained says up to which record the outbox was published; 0 = none.
type Drained struct {
	N   uint64 `json:"n"`
	Err string `json:"err,omitempty"`
}

// Written is the outcome of writing the ledger.
type Written struct {
	Ledger Ledger `json:"ledger"`
	Err    string `json:"err,omitempty"`
}

// Link is a network interface in the node's kernel that may be an ENI: it has a permanent MAC and is no pod's.
type Link struct {
	Name  string `json:"name"`
	Index int    `json:"index"`
	MAC   string `json:"mac"` // lower case, colons
	Up    bool   `json:"up"`
	N     int    `json:"n"` // the small number that its link group says; -1 = it says none
	// Addresses are what the kernel has on the link; none of them can be a pod's.
	Addresses []netip.Addr `json:"addresses,omitempty"`
}

// Links is the whole list of them.
type Links struct {
	Links []Link `json:"links"`
	Err   string `json:"err,omitempty"`
}

// Prepared is the outcome of preparing one ENI: Err empty means that link, table and rules are as they must be. MTU says
// why the link's MTU alone is not: the interface serves all the same.
type Prepared struct {
	N          int               `json:"n"`
	Attachment ipam.AttachmentID `json:"attachment"`
	MTU        string            `json:"mtu,omitempty"`
	Err        string            `json:"err,omitempty"`
}

// Repaired says in words what was missing and is back. Again asks for another look a second later: something looks as
// the DEL of a pod leaves it halfway.
type Repaired struct {
	What  []string `json:"what,omitempty"`
	Again bool     `json:"again,omitempty"`
	Err   string   `json:"err,omitempty"`
}

// Surveyed compares the leases with the kernel: those that look dead.
type Surveyed struct {
	Stale []Stale `json:"stale,omitempty"`
	Err   string  `json:"err,omitempty"`
}

// Stale is a lease whose network namespace is gone and whose address the kernel does not route to a pod.
type Stale struct {
	ipam.Attachment
	Cause string `json:"cause"`
}

package agent

import (
	"time"

	"github.com/enichain/enichain/ipam"
)

// Effect is one thing to do: exactly one member is set. The shell does them in order, and gives each result back as an
// Input (but for Append, Forget, Sweep and Note, which have none, or one that nobody waits for).
type Effect struct {
	Look        bool          `json:"look,omitempty"`        // read the pool file
	Accept      *ipam.Supply  `json:"accept,omitempty"`      // take over a supply: the store judges it
	Links       *SetLinks     `json:"links,omitempty"`       // tell the pool file which interfaces the kernel shows
	Choose      *ipam.Release `json:"choose,omitempty"`      // which addresses would this wish fence? changes nothing
	Fence       *Fence        `json:"fence,omitempty"`       // fence exactly these
	Prove       uint64        `json:"prove,omitempty"`       // the stream holds a snapshot of this seq or newer
	Tick        bool          `json:"tick,omitempty"`        // time has passed: cooling, held, tickets
	Release     *Release      `json:"release,omitempty"`     // end leases of dead pods
	Hint        *Hint         `json:"hint,omitempty"`        // write a changed hint into the pool file
	Mute        *Mute         `json:"mute,omitempty"`        // write down whether the bus can be reached, for people
	Append      []ipam.Record `json:"append,omitempty"`      // records of the agent's own, for the outbox
	Acknowledge uint64        `json:"acknowledge,omitempty"` // the outbox is published up to this record

	Ledger  *Ledger        `json:"ledger,omitempty"`  // write it, durably, before anything else
	Publish *ipam.Snapshot `json:"publish,omitempty"` // to the stream; the answer is its acknowledgement
	Drain   bool           `json:"drain,omitempty"`   // publish what the outbox holds

	ReadLinks bool    `json:"readLinks,omitempty"`
	Prepare   *ENI    `json:"prepare,omitempty"`
	Forget    *int    `json:"forget,omitempty"` // the ENI with this number is gone: its rules, table and chain go
	Repair    *Repair `json:"repair,omitempty"`
	Survey    bool    `json:"survey,omitempty"`
	Sweep     bool    `json:"sweep,omitempty"` // delete links that are down and ours

	Note *Note `json:"note,omitempty"` // a line for the log
}

// SetLinks is the state of all links that may be ENIs, a level: a supplied ENI whose MAC is not among them is gone.
type SetLinks struct {
	Links []LinkState `json:"links"`
}

// LinkState is a link as the kernel shows it, and whether it is prepared for pods.
type LinkState struct {
	Link
	Ready bool `json:"ready"`
}

// Fence is a wish with the addresses that the ledger already has: the transaction fails rather than fence another.
type Fence struct {
	Release ipam.Release `json:"release"`
	Chosen  []Gone       `json:"chosen"`
}

// Repair is of the whole base with these ENIs in it: all whose links are there, and at least one.
type Repair struct {
	ENIs []ENI `json:"enis,omitempty"`
}

// Mute says since when the bus cannot be reached; the zero time: it can.
type Mute struct {
	Since time.Time `json:"since"`
}

// Release ends the leases of attachments, as a DEL that never came would have.
type Release struct {
	Attachments []ipam.Attachment `json:"attachments"`
	Cause       string            `json:"cause"`
}

// Note is a line for the log. Level is info, warn or error.
type Note struct {
	Level string `json:"level"`
	Text  string `json:"text"`
}

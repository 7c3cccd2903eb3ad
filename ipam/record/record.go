// Package record is the form in which a run of a core is kept: one JSON line for each step, with its time, its input
// and its effects. The cores are pure, so a record from a core's first step on can be run again, byte for byte
// (docs/protocol.md, L6).
//
// A record is a header line for each core in it, and step lines. A second header of the same core is a new life: its
// process came up again. The last line of a record that was cut short says why.
package record

import (
	"encoding/json"
	"fmt"
)

// Version of the form. A reader refuses others.
const Version = 1

// The cores that can be recorded.
const (
	Agent     = "agent"
	Reconcile = "reconcile"
)

// Header begins the life of a core: what a new one has to be made of to go the same way.
type Header struct {
	Enichain string          `json:"enichain"` // "record"
	V        int             `json:"v"`        // Version
	Core     string          `json:"core"`     // Agent or Reconcile
	Node     string          `json:"node,omitempty"`
	Seed     *[2]uint64      `json:"seed,omitempty"` // of the core's random source, rand.NewPCG; nil = it has none
	Config   json.RawMessage `json:"config"`         // agent.Options or reconcile.Config
}

// Line is one step of a core.
type Line struct {
	Core string          `json:"core"`
	Node string          `json:"node,omitempty"`
	N    uint64          `json:"n"`   // of this core's life: 1 the first
	Now  json.RawMessage `json:"now"` // agent.Now or reconcile.Now
	In   json.RawMessage `json:"in"`  // agent.Input or reconcile.Input
	Out  json.RawMessage `json:"out"` // the effects, in order; null = none
}

// End is the last line of a record that does not go on although the core did.
type End struct {
	Enichain string `json:"enichain"` // "end"
	Reason   string `json:"reason"`
}

// key tells the cores in one record apart.
type key struct{ core, node string }

func (k key) String() string {
	if k.node == "" {
		return k.core
	}
	return k.core + " of " + k.node
}

func checkCore(core string) error {
	if core != Agent && core != Reconcile {
		return fmt.Errorf("core is %q; want %q or %q", core, Agent, Reconcile)
	}
	return nil
}

// Package try takes one network configuration list through every verb, as a runtime would: by libcni, on a throw-away
// node, with pods that come and go, and looks at what it did: to the result, to the kernel, to packets, and what it
// left behind. What it finds is data; Report.Text is the same for people.
package try

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"time"

	"github.com/enichain/enichain/chain"
	"github.com/enichain/enichain/test/kernel"
)

// Options say how a list is tried. The zero value, with Path, is a full trial without kills.
type Options struct {
	Path         []string          // where the plugins lie (CNI_PATH)
	Contracts    chain.Contracts   // what the stages promise; nil asks the plugins in Path and the built-in knowledge
	Version      string            // CNI version to speak instead of the list's own; "" is the list's
	Families     []string          // "ipv4", "ipv6": what eni-ipam and host-local are told instead of what the list says; nil leaves them
	Ports        []Port            // that the runtime gives; nil is 8080 to 80 over TCP, an empty list none
	Capabilities map[string]any    // more of what the runtime gives, by capability name
	Kill         int               // places in each stage's ADD at which it is killed
	Seed         uint64            // of the places
	Effects      bool              // read the kernel around each stage's ADD and DEL: Step.Changes. Costs some 50 ms a stage
	Promised     bool              // say only hellos that the contracts promise: no other is judged, and each takes 0.3 s
	Progress     func(what string) // told what comes next; may be nil
}

// Port is a host port that leads to the pod.
type Port struct {
	Host      int    `json:"hostPort"`
	Container int    `json:"containerPort"`
	Protocol  string `json:"protocol"`
}

// Step is one verb of one stage.
type Step struct {
	Pod        string          `json:"pod,omitempty"` // "" for STATUS and GC
	Verb       string          `json:"verb"`          // ADD, CHECK, DEL, GC, STATUS; "ADD again", "DEL again" for the second
	Stage      int             `json:"stage"`         // from 1
	Type       string          `json:"type"`
	Took       time.Duration   `json:"took"` // nanoseconds, the process's whole life
	Request    json.RawMessage `json:"request,omitempty"`
	Result     json.RawMessage `json:"result,omitempty"`
	Err        string          `json:"err,omitempty"`
	Code       uint            `json:"code,omitempty"` // CNI error code; 0 with Err: it gave none
	Killed     bool            `json:"killed,omitempty"`
	Changes    []kernel.Change `json:"changes,omitempty"`    // on the node
	PodChanges []kernel.Change `json:"podChanges,omitempty"` // in the pod
}

func (s Step) who() string { return fmt.Sprintf("stage %d %s", s.Stage, s.Type) }

// said is the error with its code.
func (s Step) said() string {
	if s.Code == 0 {
		return s.Err
	}
	return fmt.Sprintf("%s (code %d)", s.Err, s.Code)
}

// Flow is a hello from one place to another.
type Flow struct {
	From     string         `json:"from"`
	To       string         `json:"to"` // what was meant: "web", "web by node:8080"
	Protocol string         `json:"protocol"`
	Address  netip.AddrPort `json:"address"`
	Who      string         `json:"who,omitempty"` // who answered
	Saw      netip.Addr     `json:"saw"`           // the source that it saw
	Err      string         `json:"err,omitempty"`
	Took     time.Duration  `json:"took"`
	Promised bool           `json:"promised"` // by the contracts: else it is only told
}

// Kill is one kill -9 of a stage in its ADD, and what was left after the pod was cleaned up.
type Kill struct {
	Stage int             `json:"stage"`
	Type  string          `json:"type"`
	After time.Duration   `json:"after"` // since the stage was started
	Done  bool            `json:"done"`  // the stage had finished before
	Clean string          `json:"clean"` // "DEL" or "GC"
	Left  []kernel.Change `json:"left,omitempty"`
}

// Report is what a trial found.
type Report struct {
	Name      string          `json:"name"`
	Version   string          `json:"cniVersion"`
	Stages    []string        `json:"stages"`
	Steps     []Step          `json:"steps"`
	Flows     []Flow          `json:"flows"`
	Kills     []Kill          `json:"kills,omitempty"`
	Addresses []netip.Prefix  `json:"addresses"` // of the first pod
	Left      []kernel.Change `json:"left"`      // after the pods, against the time after a pod to warm up
	Stays     []kernel.Change `json:"stays"`     // what the list leaves on a node for good, once: shared chains, empty tables
	Broken    []string        `json:"broken"`    // why this list does not work; empty: it does
	Notes     []string        `json:"notes"`     // worth knowing, and no fault of the list
	Took      time.Duration   `json:"took"`

	said map[string]bool // kinds of reasons that stand in Broken
}

// brokenOnce files a reason, but not another of the same kind.
func (r *Report) brokenOnce(kind, format string, args ...any) {
	if r.said == nil {
		r.said = map[string]bool{}
	}
	if !r.said[kind] {
		r.said[kind] = true
		r.broken(format, args...)
	}
}

func (r *Report) broken(format string, args ...any) {
	r.Broken = once(r.Broken, fmt.Sprintf(format, args...))
}
func (r *Report) note(format string, args ...any) {
	r.Notes = once(r.Notes, fmt.Sprintf(format, args...))
}

// once appends what is not there yet.
func once(all []string, text string) []string {
	for _, t := range all {
		if t == text {
			return all
		}
	}
	return append(all, text)
}

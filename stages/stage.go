// Package stages is the skeleton of a chain's stage: it reads what the CNI specification passes (environment and
// standard input), refuses what cannot be before anything is touched, runs one verb, and answers as the
// specification demands. A stage itself is one folder below and knows nothing of processes.
package stages

import (
	"context"
	"encoding/json"
	"io"
	"slices"

	types100 "github.com/containernetworking/cni/pkg/types/100"

	"github.com/enichain/enichain/chain/contract"
)

// Result is the answer to ADD and what prevResult carries, always in the shape of CNI 1.x inside this program; the
// skeleton converts from and to the version that the list speaks (0.3.0 to 1.1.0).
type Result = types100.Result

// Stage is one link of a chain. All verbs are real: there is no optional method.
type Stage interface {
	// Contract is what the stage declares in VERSION.
	Contract() contract.Contract
	// Add wires the attachment and returns the result for the next stage. It undoes its own work on error.
	Add(context.Context, *Request) (*Result, error)
	// Check finds drift: nil when all that Add made is still there.
	Check(context.Context, *Request) error
	// Del removes all that Add made, any number of times, with or without prevResult and netns.
	Del(context.Context, *Request) error
	// GC removes what belongs to attachments of this network that are not in Request.Valid.
	GC(context.Context, *Request) error
	// Status says whether Add can work at all on this node: nil, or an *Error with code 50 or 51. An error that is no
	// *Error gets 50.
	Status(context.Context, *Request) error
}

// Attachment is the key of everything: one container's attachment to one network by one interface name
// (CNI specification, "Section 2, Parameters").
type Attachment struct {
	Network   string
	Container string
	IfName    string
}

// String is network/container/ifname: the owner as it stands in comments, aliases and records.
func (a Attachment) String() string { return a.Network + "/" + a.Container + "/" + a.IfName }

// Pod is whom the runtime says the attachment is for (CNI_ARGS K8S_POD_NAMESPACE, K8S_POD_NAME); empty by hand.
type Pod struct {
	Namespace string
	Name      string
}

// String is namespace/name, or "" when the runtime named no pod.
func (p Pod) String() string {
	if p.Name == "" {
		return ""
	}
	return p.Namespace + "/" + p.Name
}

// Request is one call of a stage, checked by the skeleton.
type Request struct {
	Command string // ADD, DEL, CHECK, GC or STATUS
	Attachment
	Netns   string            // path; empty where the runtime has none any more
	Path    []string          // CNI_PATH: where delegates are found
	Args    map[string]string // CNI_ARGS
	Pod     Pod
	Version string  // cniVersion of the request
	Type    string  // the configuration's "type": a stage that is somebody's delegate reads the caller's name here
	Config  []byte  // the whole network configuration as it came; in a fused chain only where there is an "ipam"
	Prev    *Result // prevResult; nil when there is none
	// Valid are the attachments that a GC keeps. nil: the runtime gave no list, so nothing may be removed; empty: all
	// of this network is stale.
	Valid []Attachment
	// Environ is the environment as it came: a delegate inherits it (CNI specification, section 4; TRACEPARENT too).
	Environ []string
	// Waited is for the stage to add to: time spent waiting for other processes, for the flight record.
	Waited Waits

	members      map[string]json.RawMessage // Config taken apart
	delegates    bool                       // the stage's contract says so: "ipam" is a known key
	foreignNetns bool                       // Netns was looked at and is not our own: the stages of a fused one need not look again
	stderr       io.Writer                  // where a delegate's standard error goes; nil: nowhere
	call         *call                      // that this request is of; nil where a test or a tool made it
	fused        fusedRow                   // that the stage is one of; nil: a process of its own
}

// Stale says whether a GC may remove what belongs to an attachment: never without a list from the runtime, nor what is
// another network's, nor what the list names.
func (r *Request) Stale(a Attachment) bool {
	return r.Valid != nil && a.Network == r.Network && !slices.Contains(r.Valid, a)
}

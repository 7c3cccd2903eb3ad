// Package contract is what a stage declares about itself: what it needs from the stages before it, what it adds for
// those after it, and which keys it understands. A stage tells it in its answer to VERSION, under Key; package chain
// judges a list by it before a node sees the list.
package contract

// Key is the member of a VERSION answer that carries a Contract. Namespaced: libcni ignores members it does not know.
const Key = "io.enichain/contract"

// V is the version of the declaration itself. A declaration with another v is read as a foreign stage's.
const V = 1

// Fused is the plugin that runs neighbouring stages in one process; FusedKey is the member of its entry that lists them.
const (
	Fused    = "enichain"
	FusedKey = "stages"
)

// Fact is something that is true of an attachment once a stage has run.
type Fact string

// The facts that stages require and add.
const (
	IPs              Fact = "ips"               // the result has at least one address
	Gateway          Fact = "gateway"           // every address has its next hop in ips[].gateway
	ENI              Fact = "eni"               // the result names the network interface behind each address
	SandboxInterface Fact = "sandbox-interface" // the container's interface exists and is in the result
	HostInterface    Fact = "host-interface"    // so is the host's end of it
	Routed           Fact = "routed"            // packets reach the address and leave by the right network interface
	Masquerade       Fact = "masquerade"        // packets that leave the VPC get another source
	HostPorts        Fact = "host-ports"        // ports of the host lead to the container
	Bridge           Fact = "bridge"            // the first interface of the result is a bridge whose port the host's end is
)

// Delegation says whether a stage calls a plugin named in its "ipam" member.
type Delegation string

// Never, may, must.
const (
	NoDelegate   Delegation = ""
	MayDelegate  Delegation = "ipam?"
	MustDelegate Delegation = "ipam"
)

// Previous says what a stage does at ADD with the result of the stages before it.
type Previous string

// What a stage may do with prevResult. A contract without one is read as Needs where it requires a fact, else as Passes.
const (
	Refuses  Previous = "refuses"  // must be first: a prevResult is an error
	Needs    Previous = "needs"    // cannot be first: no prevResult is an error
	Uses     Previous = "uses"     // builds on it where there is one
	Discards Previous = "discards" // never looks at it: what earlier stages gave is lost to those after it
	Passes   Previous = "passes"   // hands it on, and works without one too
)

// Aspect is a part of an attachment that a later stage may change under an earlier one.
type Aspect string

// The aspects that stages change and check.
const (
	MAC    Aspect = "mac"    // of the container's interface
	MTU    Aspect = "mtu"    // of the container's interface
	Routes Aspect = "routes" // in the container's main table
)

// Input is what a runtime may have lost by the time of DEL.
type Input string

// The inputs without which some stages' DEL fails or leaves something behind.
const (
	Netns         Input = "netns"
	PrevResult    Input = "prevResult"
	RuntimeConfig Input = "runtimeConfig"
)

// Contract is one stage's declaration. The members that omit empty are additions that a declaration may lack.
type Contract struct {
	V            int        `json:"v"`
	Previous     Previous   `json:"previous,omitempty"`
	Requires     []Fact     `json:"requires"`     // must hold before the stage runs
	Adds         []Fact     `json:"adds"`         // hold after it
	Exclusive    []Fact     `json:"exclusive"`    // of Adds: no other stage of the list may add them too
	Capabilities []string   `json:"capabilities"` // CNI capability names that change what the stage does
	Delegates    Delegation `json:"delegates,omitempty"`
	Changes      []Aspect   `json:"changes,omitempty"`    // of what earlier stages made
	Checks       []Aspect   `json:"checks,omitempty"`     // CHECK fails when a later stage has changed one of these
	DelFails     []Input    `json:"delFails,omitempty"`   // DEL fails without these, and stages before this one never see it
	DelForgets   []Input    `json:"delForgets,omitempty"` // DEL succeeds without these and leaves something behind
	Verbs        []string   `json:"verbs,omitempty"`      // of CHECK, GC and STATUS, those it has; absent: all
	// Kernel is what the stage puts into the node's kernel, one object or kind of object in words each, for people:
	// "table enichain-pods", "nft inet enichain-snat".
	Kernel []string `json:"kernel,omitempty"`
	// NotUnder are plugins that cannot name this one as their delegate, and why not, in one clause.
	NotUnder map[string]string `json:"notUnder,omitempty"`
	// Keys maps each configuration key to the values it takes, in words that programs read too: kinds joined by ", " and
	// " or ", then a note for people in parentheses. A kind is boolean, string, integer A..B, duration A..B (a string
	// such as "20s"), prefix and address (strings), object, a literal of JSON such as "pod" or 0, or "list of" and the
	// kinds of its items, which reaches to the end. "mtu": "0 or integer 68..65535 (0: the network interface's)".
	Keys map[string]string `json:"keys"`
	// Stages are the declarations of those that a fused plugin has in it; what its entry in a list needs and adds is
	// theirs that it names.
	Stages map[string]Contract `json:"stages,omitempty"`
}

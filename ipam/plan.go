package ipam

import (
	"net/netip"
	"slices"
	"time"
)

// ENIState is where a network interface stands in its life (protocol A3), as far as a plan cares.
type ENIState string

// The states of a network interface.
const (
	ENICreating ENIState = "creating" // a Create is in flight or its outcome unknown; counts as if it had succeeded
	ENIOurs     ENIState = "ours"     // available, made for this node, never used there: to be attached
	ENIUsed     ENIState = "used"     // attached and in use
	ENIDraining ENIState = "draining" // attached; all of it was wished back
	ENILost     ENIState = "lost"     // detached by others while pods lived on it: to be attached again
	ENIRetired  ENIState = "retired"  // available, given up: to be deleted
	ENIForeign  ENIState = "foreign"  // not ours: counts against the limits and is never touched
	ENIOther    ENIState = "other"    // on its way between states, or barred: counts and is left alone for now
)

// NodeENI is one network interface of a node as a plan sees it: what EC2 lists and what calls in flight will add,
// beside the counts of the node's snapshot.
type NodeENI struct {
	ENI        ENIID
	Attachment AttachmentID
	Device     int // device index; of one that is not attached, the one it was made for
	Primary    bool
	State      ENIState
	PodsOK     bool          // pods may use its addresses
	Listed     int           // addresses on it, the primary one apart, with those of calls in flight
	Prefixes   int           // delegated prefixes on it; each takes the place of an address
	Within     int           // addresses in those that any pod may have; they come and go with their prefix alone
	WithinFree int           // of Free
	Fenced     []netip.Addr  // listed ones that the node has given up
	Free       int           // per the snapshot; so are the next two
	Leased     int           // lost ones included
	Cooling    int           //
	Named      bool          // the snapshot knows it
	Age        time.Duration // since the node first saw it
	Blocked    bool          // no address may be asked for here now: its subnet is full, or EC2 refused lately
	Kept       bool          // it would outlive its instance: DeleteOnTermination is not set
}

// Node is what Plan looks at.
type Node struct {
	MaxPods  int // most pods; 0 = unknown
	Waiting  int // live tickets and bound pods without a lease
	Floor    int // least (free − waiting) over the policy's window
	ENIs     []NodeENI
	Grow     bool // may get more: it is heard of
	Warm     bool // may get more than its waiting pods need: it takes new pods
	Scarce   bool // pods of other nodes wait for addresses of its subnets: it keeps nothing warm
	Blocked  bool // no network interface can be created now: its subnet is full, or EC2 refused lately
	Budget   int  // addresses that may be wished back now; Target.AtOnce = a whole network interface too
	MinAge   time.Duration
	Reserved []int // device indexes in use by things that are not listed in ENIs
}

// ActionKind is what is to be done.
type ActionKind string

// The kinds of Action. A wish is a word to the node; all others are one EC2 call each.
const (
	ActAttach   ActionKind = "attach"
	ActAssign   ActionKind = "assign"
	ActCreate   ActionKind = "create"
	ActUnassign ActionKind = "unassign"
	ActDetach   ActionKind = "detach"
	ActDelete   ActionKind = "delete"
	ActBind     ActionKind = "bind" // set DeleteOnTermination
	ActWish     ActionKind = "wish"
)

// Action is one step of a plan. Count, Addresses, Device and Whole stand where the kind needs them.
type Action struct {
	Kind       ActionKind
	ENI        ENIID
	Attachment AttachmentID
	Device     int
	Count      int
	Addresses  []netip.Addr
	Whole      bool
}

// Need is the arithmetic behind a plan: how many addresses a node should have and how many it has.
type Need struct {
	Want    int  // addresses it should have
	Supply  int  // addresses it has that pods can use, now or when calls in flight are done
	Demand  int  // waiting pods that could run
	Ceiling bool // Want was cut by the policy's maximum or by the pods that may run
}

// Deficit is how many addresses are missing.
func (n Need) Deficit() int { return max(n.Want-n.Supply, 0) }

// NeedOf adds up a node. Cooling addresses count as used, since no pod can have one; fenced ones count as gone.
func NeedOf(n Node, t Target, l Limits) Need {
	var need Need
	leased, all, cooling := 0, 0, 0
	for _, e := range n.ENIs {
		all += e.Leased
		if !e.supplies() {
			continue
		}
		need.Supply += e.Listed - len(e.Fenced) + e.Within
		leased += e.Leased
		cooling += e.Cooling
	}
	need.Demand = n.Waiting
	if n.MaxPods > 0 {
		need.Demand = min(need.Demand, max(n.MaxPods-all, 0))
	}
	want := leased + need.Demand
	if n.Warm {
		want = max(want+t.Free(l), t.Minimum)
	}
	limit := n.MaxPods
	if t.Maximum > 0 && (limit == 0 || t.Maximum < limit) {
		limit = t.Maximum
	}
	if limit > 0 && want > limit {
		want, need.Ceiling = max(limit, leased), true
	}
	need.Want = want + cooling
	if t.Maximum > 0 {
		need.Want = min(need.Want, t.Maximum)
	}
	return need
}

// supplies says whether the addresses of e serve pods, now or soon.
func (e NodeENI) supplies() bool {
	switch e.State {
	case ENIUsed, ENICreating, ENIOurs, ENILost:
		return e.PodsOK
	}
	return false
}

// spent says whether nothing on e is of use to the node any more: every address EC2 lists is fenced, and the node
// says that it holds nothing else there.
func (e NodeENI) spent() bool {
	return e.Named && len(e.Fenced) == e.Listed && e.Free+e.Leased+e.Cooling == 0 && e.Prefixes == 0
}

// Plan says what to do about a node, in the order in which to do it. It looks at nothing but its arguments, and the
// plan for a node to which a plan has been applied is empty.
func Plan(n Node, t Target, l Limits) []Action {
	n.ENIs = slices.Clone(n.ENIs)
	if n.Scarce {
		n.Warm = false
	}
	slices.SortStableFunc(n.ENIs, func(a, b NodeENI) int {
		if a.Device != b.Device {
			return a.Device - b.Device
		}
		if a.ENI < b.ENI {
			return -1
		} else if a.ENI > b.ENI {
			return 1
		}
		return 0
	})
	p := planner{n: n, t: t, l: l, need: NeedOf(n, t, l)}
	p.missing = p.need.Deficit()
	p.attach()
	if n.Grow {
		p.assign()
		p.create()
	}
	p.giveBack()
	p.wish()
	return p.actions
}

type planner struct {
	n       Node
	t       Target
	l       Limits
	need    Need
	missing int
	actions []Action
}

func (p *planner) do(a Action) { p.actions = append(p.actions, a) }

// attach puts back what others took away, and attaches what was made for the node and is needed: the addresses of an
// interface of ours are counted as supply, so it is needed if the node would miss them.
func (p *planner) attach() {
	used := p.usedDevices()
	for _, e := range p.n.ENIs {
		wanted := e.State == ENILost || e.State == ENIOurs && p.n.Grow && p.need.Supply-e.Listed < p.need.Want
		if !wanted || p.attached() >= p.l.ENIs {
			continue
		}
		device := e.Device
		if device == 0 || used[device] {
			device = lowestFree(used)
		}
		used[device] = true
		p.do(Action{Kind: ActAttach, ENI: e.ENI, Device: device})
	}
}

// assign asks for what is missing on attached interfaces that have room: on one of them if one has enough.
func (p *planner) assign() {
	var open []NodeENI
	for _, e := range p.n.ENIs {
		if p.room(e) > 0 {
			open = append(open, e)
		}
	}
	for _, e := range open {
		if p.missing > 0 && p.room(e) >= p.missing {
			p.do(Action{Kind: ActAssign, ENI: e.ENI, Count: p.missing})
			p.missing = 0
		}
	}
	for _, e := range open {
		if p.missing > 0 {
			count := min(p.missing, p.room(e))
			p.do(Action{Kind: ActAssign, ENI: e.ENI, Count: count})
			p.missing -= count
		}
	}
}

// room is how many addresses may be asked for on e: none while it has fenced ones, since an Unassign under way could
// meet the same address again (protocol r7).
func (p *planner) room(e NodeENI) int {
	if e.State != ENIUsed || !e.PodsOK || e.Blocked || len(e.Fenced) > 0 {
		return 0
	}
	return max(p.l.PerENI()-e.Listed-e.Prefixes, 0)
}

// create makes new interfaces with their addresses, as many as are needed and allowed.
func (p *planner) create() {
	for _, e := range p.n.ENIs {
		if e.State == ENICreating && e.ENI == "" { // the same token again, until answered
			p.do(Action{Kind: ActCreate, Device: e.Device, Count: e.Listed})
		}
	}
	used := p.usedDevices()
	for _, e := range p.n.ENIs { // also the slots of what is not attached: a token stands for one of them
		used[e.Device] = true
	}
	count := len(p.n.ENIs)
	for p.missing > 0 && !p.n.Blocked && count < p.t.MaxENIsOf(p.l) && p.l.PerENI() > 0 {
		device := lowestFree(used)
		used[device] = true
		size := min(p.missing, p.l.PerENI())
		p.do(Action{Kind: ActCreate, Device: device, Count: size})
		p.missing -= size
		count++
	}
}

// giveBack ends what the node has given up. An interface that is spent but could serve again is emptied, not detached.
func (p *planner) giveBack() {
	for _, e := range p.n.ENIs {
		attached := e.State == ENIUsed || e.State == ENIDraining
		switch {
		case attached && e.spent() && !e.Primary && e.Age >= p.n.MinAge && p.idle(e):
			p.do(Action{Kind: ActDetach, ENI: e.ENI, Attachment: e.Attachment, Device: e.Device})
		case attached && len(e.Fenced) > 0:
			p.do(Action{Kind: ActUnassign, ENI: e.ENI, Addresses: e.Fenced})
		case e.State == ENIRetired:
			p.do(Action{Kind: ActDelete, ENI: e.ENI})
		case attached && e.Kept && !e.Primary:
			p.do(Action{Kind: ActBind, ENI: e.ENI, Attachment: e.Attachment})
		}
	}
}

// idle says whether a spent interface is not needed: without the addresses that it might hold, nothing is missing.
func (p *planner) idle(e NodeENI) bool { return p.need.Deficit() == 0 && e.Attachment != "" }

// wish asks the node to give something up: at most one interface's worth, and nothing while anything is missing.
func (p *planner) wish() {
	if p.need.Deficit() > 0 || p.n.Budget <= 0 || p.busy() {
		return
	}
	if e, ok := p.drainable(); ok {
		p.do(Action{Kind: ActWish, ENI: e.ENI, Count: e.Listed, Whole: true})
		return
	}
	surplus := min(p.n.Floor-p.high(), p.need.Supply-p.need.Want, p.n.Budget)
	if surplus <= 0 {
		return
	}
	var from *NodeENI
	for i, e := range p.n.ENIs { // fewest leases, then the highest device index: so that some interface gets empty
		if e.State == ENIUsed && e.PodsOK && e.Free > e.WithinFree && (from == nil || e.Leased <= from.Leased) {
			from = &p.n.ENIs[i]
		}
	}
	if from != nil {
		p.do(Action{Kind: ActWish, ENI: from.ENI, Count: min(surplus, from.Free-from.WithinFree)})
	}
}

// keep is how many free addresses stay with the node, and high above how many some are given back.
func (p *planner) keep() int {
	if p.n.Scarce {
		return 0
	}
	return p.t.Free(p.l)
}

func (p *planner) high() int {
	if p.n.Scarce {
		return 0
	}
	return p.t.High(p.l)
}

// busy says whether an earlier wish is still on its way through the node and EC2.
func (p *planner) busy() bool {
	return slices.ContainsFunc(p.n.ENIs, func(e NodeENI) bool { return e.State == ENIDraining || len(e.Fenced) > 0 })
}

// drainable finds the interface to give back whole: one above the limit, else one without a lease whose addresses
// nobody needed for a window. The primary one is never among them.
func (p *planner) drainable() (NodeENI, bool) {
	over := len(p.n.ENIs) > p.l.ENIs && p.l.ENIs > 0
	for i := len(p.n.ENIs) - 1; i >= 0; i-- {
		e := p.n.ENIs[i]
		if e.Primary || e.State != ENIUsed || e.Leased+e.Cooling > 0 || !e.Named || e.Prefixes > 0 {
			continue
		}
		if over {
			return e, true
		}
		enough := p.need.Supply-e.Listed >= p.need.Want
		unused := p.n.Floor > p.high() && p.n.Floor-e.Listed >= p.keep() && enough && p.n.Budget >= p.t.AtOnce
		if e.Age >= p.n.MinAge && unused {
			return e, true
		}
	}
	return NodeENI{}, false
}

func (p *planner) attached() int {
	count := 0
	for _, e := range p.n.ENIs {
		if e.Attachment != "" {
			count++
		}
	}
	for _, a := range p.actions {
		if a.Kind == ActAttach {
			count++
		}
	}
	return count
}

// usedDevices are the device indexes that no new attachment may use.
func (p *planner) usedDevices() map[int]bool {
	used := map[int]bool{0: true}
	for _, d := range p.n.Reserved {
		used[d] = true
	}
	for _, e := range p.n.ENIs {
		if e.Attachment != "" || e.State == ENICreating {
			used[e.Device] = true
		}
	}
	for _, a := range p.actions {
		if a.Kind == ActAttach || a.Kind == ActCreate {
			used[a.Device] = true
		}
	}
	return used
}

func lowestFree(used map[int]bool) int {
	for d := 1; ; d++ {
		if !used[d] {
			return d
		}
	}
}

package reconcile

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/enichain/enichain/ipam"
)

// patience is how long a call may wait for its turn before it is planned anew.
const patience = 30 * time.Second

// consider plans for one node and starts the first call of the plan that may be made now.
func (c *Core) consider(now Now, n *node) {
	if !n.listed {
		if n.want == never {
			n.wantList(now, 0)
		}
		return
	}
	if n.snap == nil || n.gone {
		c.bury(now, n)
		return
	}
	c.isFirst(n) // judged by what EC2 shows before our first call, however late the first supply is
	var wish *ipam.Action
	limits, known := c.limits[n.row.Type]
	if known {
		v := c.view(now, n)
		plan := ipam.Plan(v, c.cfg.Pool.Target, limits)
		for i, a := range plan {
			if a.Kind == ipam.ActWish {
				wish = &plan[i]
			}
		}
		c.act(now, n, v, plan)
		n.why = c.whyOf(now, n, v, limits)
		c.hunger(n, v)
		if len(plan) > 0 {
			n.soon(now)
		}
	}
	c.supply(now, n, limits, wish)
	c.doubt(now, n)
}

// act starts the first action of a plan that may be started: one call per node at a time (protocol r1).
func (c *Core) act(now Now, n *node, v ipam.Node, plan []ipam.Action) {
	if n.inflight != nil || now.At < n.retryAt {
		return
	}
	for _, a := range plan {
		call, ok := c.call(now, n, v, a)
		if !ok {
			continue
		}
		c.start(now, n, call)
		return
	}
}

func (c *Core) start(now Now, n *node, call Call) {
	c.ids++
	call.ID, call.Instance = c.ids, n.id
	if c.cfg.DryRun {
		delete(n.creations, call.Device)
		n.retryAt = now.At + c.cfg.Resync
		c.effects = append(c.effects, Effect{Would: &call})
		return
	}
	if m := c.marks[call.Subnet]; m != nil && (call.Action == Assign || call.Action == Create) {
		m.probe = n.id
	}
	if call.Action == Create {
		s := call.Device
		cr := n.creations[s]
		cr.call, cr.deadline, cr.absent = call, never, never
	}
	n.inflight, n.started = &call, now.At
	c.calls[call.ID] = n
	c.effects = append(c.effects, Effect{Call: &call})
}

// call makes an EC2 call of an action, or says that it cannot be made now.
func (c *Core) call(now Now, n *node, v ipam.Node, a ipam.Action) (Call, bool) {
	if _, wait := n.unknown[a.ENI]; wait && a.ENI != "" {
		n.wantList(now, max(n.unknown[a.ENI]-now.At, 0))
		return Call{}, false
	}
	call := Call{ENI: a.ENI, Attachment: a.Attachment, Device: a.Device, Count: a.Count, Addresses: a.Addresses}
	call.Urgency, call.NotAfter = ForWarm, now.At+patience
	if v.Waiting > 0 {
		call.Urgency = ForWaiting
	}
	if t := n.enis[a.ENI]; t != nil {
		call.Subnet = t.Subnet
		if t.missing != never {
			return Call{}, false
		}
	}
	switch a.Kind {
	case ipam.ActAttach:
		call.Action = Attach
	case ipam.ActAssign:
		call.Action = Assign
		most, ok := c.open(now, n, call.Subnet)
		call.Count = min(call.Count, most)
		return call, ok && call.Count > 0
	case ipam.ActCreate:
		call.Action = Create
		return c.create(now, n, call)
	case ipam.ActUnassign, ipam.ActDetach:
		call.Action = Unassign
		if a.Kind == ipam.ActDetach {
			call.Action, call.Addresses = Detach, nil
		}
		if call.Urgency == ForWarm {
			call.Urgency = ForTidy
		}
		return c.giveBack(now, n, call)
	case ipam.ActDelete:
		call.Action, call.Urgency = Delete, ForTidy
	case ipam.ActBind:
		call.Action, call.Urgency = Bind, ForTidy
	default:
		return Call{}, false
	}
	return call, true
}

// giveBack lets a call of a release go only within a round: the node's snapshot was read, then the list begun, both
// within L (protocol A4: whoever holds an older fence is dead before the address can come back).
func (c *Core) giveBack(now Now, n *node, call Call) (Call, bool) {
	if n.fresh(now) {
		call.NotAfter = n.readBegun + LeaseTTL
		return call, true
	}
	if n.want == never {
		n.wantList(now, backoff(n.wantFails, relist, time.Minute))
		n.wantFails++
	}
	return Call{}, false
}

// fresh says whether a round of the node is young enough for what must not rest on old words.
func (n *node) fresh(now Now) bool {
	return n.readBegun != never && now.At < n.readBegun+LeaseTTL/2 && n.basis.Inc == n.snap.Inc
}

// doubted says whether another leader may have made interfaces that we do not know of: we lead since lately, the node
// follows somebody else, or our news of it are older than two heartbeats may be apart.
func (c *Core) doubted(now Now, n *node) bool {
	return now.At-c.ledSince < Visibility+Deadline || n.outbidAt != never || now.At-n.heard > 90*time.Second
}

// create fills a Create: the token, and with it the subnet and the count, are chosen once (protocol A3).
func (c *Core) create(now Now, n *node, call Call) (Call, bool) {
	slot := call.Device
	if cr := n.creations[slot]; cr != nil {
		again := !cr.mismatch && cr.deadline != never && n.begun >= cr.deadline+settle
		if !again {
			n.wantList(now, settle)
		}
		old := cr.call
		old.Urgency, old.NotAfter = call.Urgency, call.NotAfter
		return old, again
	}
	if c.doubted(now, n) && !n.fresh(now) {
		n.wantList(now, 0)
		return Call{}, false
	}
	primary := n.primary()
	subnet, most, _ := c.choose(now, n)
	if subnet == "" || primary == nil || n.incAt != never && now.At-n.incAt < Visibility {
		return Call{}, false
	}
	t := token{inc: n.snap.Inc, gen: n.snap.Gen}
	if old, ok := n.tokens[slot]; ok && old.inc == t.inc && old.gen == t.gen {
		if old.made != "" && n.enis[old.made] != nil {
			return Call{}, false
		}
		t.k = old.k
		if old.made != "" {
			t.k++ // what this token made is proven gone
		}
	}
	call.Subnet, call.Count = subnet, min(call.Count, most)
	call.Groups = c.cfg.Pool.Groups
	if len(call.Groups) == 0 {
		call.Groups = primary.Groups
	}
	call.Token = t.text(n.id, slot)
	call.Tags = map[string]string{}
	for k, v := range c.cfg.Tags {
		call.Tags[k] = v
	}
	call.Tags[TagCluster], call.Tags[TagNode], call.Tags[TagSlot] = c.cfg.Cluster, string(n.id), strconv.Itoa(slot)
	call.About = strings.NewReplacer("{cluster}", c.cfg.Cluster, "{node}", string(n.id), "{pool}", c.cfg.Pool.Name).
		Replace(c.cfg.Pool.About)
	n.creations[slot] = &creation{t: t}
	return call, true
}

// primary is the node's primary network interface, once it is listed.
func (n *node) primary() *tracked {
	for _, t := range n.sorted() {
		if t.Instance == n.id && t.Device == 0 && t.Card == 0 && !t.ghost {
			return t
		}
	}
	return nil
}

// bury deletes what a node without a voice has left behind: only what was given up.
func (c *Core) bury(now Now, n *node) {
	if n.inflight != nil || now.At < n.retryAt {
		return
	}
	for _, t := range n.sorted() {
		if t.retired && t.Instance == "" && t.missing == never {
			c.start(now, n, Call{Action: Delete, ENI: t.ID, Urgency: ForTidy, NotAfter: now.At + patience})
			return
		}
	}
}

// doubt asks for a list where the node's word and EC2's list do not fit, or where the node waits for a newer list
// before it takes an address back (protocol A4, step 4).
func (c *Core) doubt(now Now, n *node) {
	switch {
	case n.want != never:
		return
	case n.snap.Inc != n.basis.Inc:
		n.wantList(now, max(n.begun+settle-now.At, 0))
		return
	case n.published == nil:
		return
	}
	held, odd, leaving := false, false, false
	for _, t := range n.enis {
		leaving = leaving || t.Detaching
	}
	for _, e := range n.published.ENIs {
		s := n.summary(e.ENI)
		odd = odd || n.seen() && (s == nil || !s.Link || s.Lost > 0)
	}
	for _, s := range n.snap.ENIs {
		if t := n.enis[s.ENI]; t != nil && t.Instance == n.id { // addresses that EC2 has there and the node holds down
			all := len(t.Addresses)
			for _, p := range t.Prefixes {
				all += ipam.PrefixSize(p)
			}
			held = held || s.Held > 0 && all > s.Pending+s.Free+s.Leased+s.Cooling+len(s.Fenced)
		}
		odd = odd || n.enis[s.ENI] == nil && !n.ended[s.ENI]
	}
	switch {
	case !odd:
		n.oddSince = never
	case n.oddSince == never:
		n.oddSince = now.At
	}
	switch {
	case leaving:
		n.wantList(now, max(n.begun+3*time.Second-now.At, time.Second))
	case held && n.basis.Seq < n.snap.Seq:
		after := 10 * time.Second
		if n.snap.Waiting > 0 {
			after = relist
		}
		n.wantList(now, max(n.begun+after-now.At, 0))
	case odd: // often at first, then more and more seldom
		n.wantList(now, max(n.begun+min(max(now.At-n.oddSince, 2*time.Second), time.Minute)-now.At, 0))
	}
}

// whyOf says what keeps a node below its target: the last refusal, a full subnet, or a limit.
func (c *Core) whyOf(now Now, n *node, v ipam.Node, l ipam.Limits) *ipam.Why {
	v.Warm = !n.snap.Unschedulable
	need := ipam.NeedOf(v, c.cfg.Pool.Target, l)
	if need.Deficit() == 0 {
		if len(n.creations) > 0 && v.Waiting > 0 {
			return n.refusal // what is counted on does not come
		}
		if need.Ceiling && c.cfg.Pool.Target.Maximum > 0 && n.snap.Waiting > 0 {
			return &ipam.Why{Code: ipam.WhyPoolLimit, Text: fmt.Sprintf("the policy allows %d addresses on a node", c.cfg.Pool.Target.Maximum), Since: n.whySince(now, ipam.WhyPoolLimit)}
		}
		return nil
	}
	room, marked := 0, ipam.SubnetID("")
	for _, e := range v.ENIs {
		t := n.enis[e.ENI]
		if t == nil || e.State != ipam.ENIUsed || !e.PodsOK {
			continue
		}
		free := max(l.PerENI()-e.Listed-e.Prefixes, 0)
		room += free
		if free > 0 && c.marks[t.Subnet] != nil {
			marked = t.Subnet
		}
	}
	room += l.Addresses(c.cfg.Pool.Target.MaxENIsOf(l) - len(v.ENIs))
	if room == 0 {
		text := fmt.Sprintf("%s holds %d network interfaces of %d addresses for pods; all are in use",
			n.row.Type, c.cfg.Pool.Target.MaxENIsOf(l), l.PerENI())
		return &ipam.Why{Code: ipam.WhyInstanceLimit, Text: text, Since: n.whySince(now, ipam.WhyInstanceLimit)}
	}
	if marked == "" {
		if own := c.candidates(n); len(own) > 0 {
			marked = own[0].ID
		}
	}
	if w := c.whySubnet(now, marked); w != nil {
		return w
	}
	return n.refusal
}

// whySince keeps the time at which a reason was first given.
func (n *node) whySince(now Now, code string) time.Time {
	if n.why != nil && n.why.Code == code {
		return n.why.Since
	}
	return now.Wall
}

// settleCreations ends Creates whose outcome the list shows: the interface is there, or it is proven not to be.
func (c *Core) settleCreations(now Now, n *node, begun time.Duration) {
	for _, s := range n.slots() {
		cr := n.creations[s]
		if n.inflight != nil && n.inflight.Action == Create && n.inflight.Device == s {
			continue
		}
		i := slices.IndexFunc(n.sorted(), func(t *tracked) bool { return slot(t.ENI) == s && !t.ghost })
		switch {
		case i >= 0:
			cr.t.made = n.sorted()[i].ID
			n.tokens[s] = cr.t
			delete(n.creations, s)
		case cr.absent == never:
			cr.absent = begun
			n.wantList(now, Visibility)
		case begun-cr.absent >= Visibility && begun >= cr.deadline+Visibility:
			if cr.mismatch {
				cr.t.k++ // one existed by this token, and is proven gone
			}
			n.tokens[s] = cr.t
			delete(n.creations, s)
		default:
			n.wantList(now, Visibility)
		}
	}
}

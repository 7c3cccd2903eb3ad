package sim

import (
	"net/netip"
	"slices"
	"time"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/reconcile"
	"github.com/enichain/enichain/test/lab/vpc"
)

// policies are those in force.
func (f *fleet) policies() []reconcile.Pool { return f.cfg.Pools }

// window is the shortest of the policies'.
func (f *fleet) window() time.Duration {
	least := 10 * time.Minute
	for _, p := range f.policies() {
		if p.Window > 0 {
			least = min(least, p.Window)
		}
	}
	return least
}

// judgeCall checks what a call must never do; before is the interface as it was.
func (f *fleet) judgeCall(c reconcile.Call, before vpc.NetworkInterface, a reconcile.Answer) {
	n := f.byID[c.Instance]
	if n == nil {
		f.broken("S9", "%s for %s, which does not exist", c.Action, c.Instance)
		return
	}
	if c.ENI != "" && before.ID != "" {
		f.judgeOwner(n, c, before)
	}
	if a.Class != reconcile.Done {
		return
	}
	switch c.Action {
	case reconcile.Unassign, reconcile.Unassign6, reconcile.Detach, reconcile.Delete:
		f.releases++
		f.judgeTaking(n, c, before)
	case reconcile.Create:
		f.judgeCount(n)
		f.judgeStock(n, max(c.Count, 1)+16*c.Prefixes)
		f.judgeStock6(n)
	case reconcile.Assign:
		f.judgeStock(n, c.Count+16*c.Prefixes)
	case reconcile.Assign6:
		f.judgeStock6(n)
	}
}

// judgeOwner is S9: a network interface of another instance, or one that is not ours, is never changed.
func (f *fleet) judgeOwner(n *node, c reconcile.Call, before vpc.NetworkInterface) {
	mine := before.Instance() == string(n.id) || before.Attachment == nil && before.Tags[reconcile.TagNode] == string(n.id)
	if !mine && before.Tags[reconcile.TagNode] != string(n.id) {
		f.broken("S9", "%s for %s on %s, which is %q's", c.Action, n.id, c.ENI, before.Instance())
	}
	primary := before.Attachment != nil && before.Attachment.Device == 0 && before.Attachment.Card == 0
	ours := before.Tags[reconcile.TagCluster] == f.cfg.Cluster
	if before.Tags[reconcile.TagNoManage] == "true" && f.now-f.human.last > 10*time.Minute || !primary && !ours {
		f.broken("S9", "%s for %s on %s, which is not ours to change: %v", c.Action, n.id, c.ENI, before.Tags)
	}
}

// judgeTaking is S3: nothing that a pod has, had a moment ago or could get is taken away.
func (f *fleet) judgeTaking(n *node, c reconcile.Call, before vpc.NetworkInterface) {
	hit := func(x netip.Addr) bool {
		if c.Action == reconcile.Unassign || c.Action == reconcile.Unassign6 {
			return slices.Contains(c.Addresses, x) || slices.ContainsFunc(c.Give, func(p netip.Prefix) bool { return p.Contains(x) })
		}
		return holds(before, x)
	}
	for x, s := range n.pool.addresses {
		if s.ENI != c.ENI || !hit(x) || n.off {
			continue
		}
		switch s.State {
		case ipam.Leased, ipam.Cooling:
			f.broken("S3", "%s of %s takes %s away, which is %s in %s", c.Action, c.ENI, x, s.State, n.id)
		case ipam.Free, ipam.Pending:
			if c.Action != reconcile.Delete && s.Listed {
				f.broken("S3", "%s of %s takes %s away, which is %s in %s (protocol r2)", c.Action, c.ENI, x, s.State, n.id)
			}
		}
	}
	for x, p := range n.wired {
		if p.eni == c.ENI && hit(x) && !f.human.addresses[x] && !f.human.enis[c.ENI] {
			f.broken("S3", "%s of %s takes %s away, which %s has in the kernel of %s", c.Action, c.ENI, x, p.name, n.id)
		}
	}
}

// judgeCount is B1: network interfaces of a node in any state. Two who lead side by side may each make the last one.
func (f *fleet) judgeCount(n *node) {
	i, _ := f.world.Instance(string(n.id))
	limit := typeOf(i.Type).Interfaces
	for _, p := range f.policies() {
		if m := p.Target.MaxENIs; m > 0 && len(f.policies()) == 1 && f.now-f.policed > 5*time.Minute {
			limit = min(limit, m)
		}
	}
	count := 0
	for _, e := range f.world.NetworkInterfaces(f.wall()) {
		if e.Instance() == string(n.id) || e.Tags[reconcile.TagNode] == string(n.id) {
			count++
		}
	}
	if count > limit+max(f.leading(), f.recentLeaders())-1 {
		f.broken("B1", "%s has %d network interfaces, of %d", n.id, count, limit)
	}
}

// recentLeaders counts those whose calls may still have an effect, or whose doings may not be seen by all yet.
func (f *fleet) recentLeaders() int {
	count := 0
	for _, l := range f.leaders {
		if !l.dead || f.now-l.died < reconcile.LeaseTTL+reconcile.Deadline+reconcile.Visibility {
			count++
		}
	}
	return count
}

// judgeStock is B2: addresses on a node are no more than its pods needed lately and its target asks, and one call more.
func (f *fleet) judgeStock(n *node, call int) {
	if f.policed > 0 && f.now-f.policed < 30*time.Minute {
		return // what an earlier policy asked for goes slowly
	}
	i, _ := f.world.Instance(string(n.id))
	limits := limitsOf(typeOf(i.Type))
	stock, left := 0, false
	for _, e := range f.world.NetworkInterfaces(f.wall()) {
		if e.Tags[reconcile.TagNoManage] == "true" {
			continue
		}
		if e.Instance() == string(n.id) || e.Tags[reconcile.TagNode] == string(n.id) {
			stock += len(e.Secondary) + 16*len(e.Prefixes)
			left = left || len(e.Prefixes) > 0
		}
	}
	most := n.pool.peak(f.now, 6*time.Minute)
	slack := (len(f.policies()) - 1) * limits.PerENI() // what one pool has too many is not another's
	for _, p := range f.policies() {
		slack += max(p.Target.Free(limits), p.Target.Minimum)
		if p.Target.Mode == ipam.ModePrefix || p.Target.Mode == ipam.ModeAuto {
			slack += 16
		}
	}
	if f.now-n.lostAt < 10*time.Minute {
		slack += n.lost
	}
	if left && f.policed > 0 {
		slack += 16 // of a policy with prefixes before this one: a prefix goes whole or not at all
	}
	if allowed := (most + slack + call) * max(1, f.recentLeaders()); stock > allowed { // two may fill one gap
		f.broken("B2", "%s has %d addresses; its pods needed %d at most lately, its targets are %d, and a call asks for %d",
			n.id, stock, most, slack, call)
	}
}

// judgeStock6 is B2 of the other family: one /80 is enough for all pods on an interface, and one call may have been in vain.
func (f *fleet) judgeStock6(n *node) {
	stock, allowed := 0, 1
	for _, e := range f.world.NetworkInterfaces(f.wall()) {
		if e.Instance() == string(n.id) || e.Tags[reconcile.TagNode] == string(n.id) {
			stock, allowed = stock+len(e.IPv6Prefixes), allowed+1
		}
	}
	if allowed *= max(1, f.recentLeaders()); stock > allowed {
		f.broken("B2", "%s has %d delegated /80, and may have %d", n.id, stock, allowed)
	}
}

package sim

import (
	"time"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/reconcile"
)

// calm ends all faults.
func (f *fleet) calm() {
	f.bus.loss, f.bus.repeat, f.bus.stray, f.bus.late, f.lost = 0, 0, 0, 100*time.Millisecond, 0
	f.world.ClearFault(f.wall(), "", "")
	for _, n := range f.nodes {
		n.killIn = 0
		if n.cut {
			n.setCut(false)
		}
		if n.cordon {
			n.setCordon(false)
		}
	}
	alive := f.alive()
	for _, l := range alive {
		l.stalled = 0
	}
	for _, l := range alive[:max(len(alive)-1, 0)] {
		l.die()
	}
	f.say("calm")
}

// settle lets everything come right, and checks what must be true then (L1 to L4). Windows are those of the policy in
// force; the shape of it: pods are served or told why, then fences and orphans are gone, then nothing happens any more.
func (f *fleet) settle() {
	f.run(time.Minute) // faults with a length end
	f.calm()
	f.run(3 * time.Minute)
	f.calm() // what was to come back after a crash has
	f.run(5 * time.Minute)
	if len(f.faults) > 0 {
		return
	}
	f.judgeServed()
	f.run(30 * time.Minute)
	if len(f.faults) > 0 {
		return
	}
	f.judgeFences()
	f.judgeOrphans()
	f.judgeLeases()
	f.run(f.givingBack())
	done := f.mutations()
	f.run(2*f.longest() + 10*time.Minute)
	if got := f.mutations(); got != done && len(f.faults) == 0 {
		f.broken("L4", "%d changes in EC2 with nothing going on", got-done)
	}
	f.sizes()
}

// longest is how long the slowest policy waits between two wishes.
func (f *fleet) longest() (d time.Duration) {
	for _, p := range f.policies() {
		d = max(d, p.Window, p.MinAge)
	}
	return d
}

// givingBack is how long it takes at most until nothing is left to give back: in each window a node gives up one network
// interface, one prefix or AtOnce addresses (B4), and it has no more of them than EC2 lists.
func (f *fleet) givingBack() time.Duration {
	const round = 2 * time.Minute // a heartbeat, the calls, and lists that show them
	atOnce := ipam.MostAtOnce
	for _, p := range f.policies() {
		if p.Target.AtOnce > 0 {
			atOnce = min(atOnce, p.Target.AtOnce)
		}
	}
	most := 0
	for _, n := range f.nodes {
		wishes, singles := 0, 0
		for _, e := range f.world.NetworkInterfaces(f.wall()) {
			if e.Instance() == string(n.id) {
				wishes += 1 + len(e.Prefixes) + len(e.IPv6Prefixes)
				singles += len(e.Secondary)
			}
		}
		most = max(most, wishes+(singles+atOnce-1)/atOnce)
	}
	return time.Duration(most) * (f.longest() + round)
}

// judgeServed is L1: who still waits has been told why.
func (f *fleet) judgeServed() {
	for _, n := range f.nodes {
		if n.off {
			continue
		}
		if n.core == nil {
			f.broken("L1", "%s: no agent runs after all faults have ended", n.id)
			continue
		}
		for _, p := range n.pods {
			if p.state == waiting && f.now-p.asked > 2*time.Minute && !p.refused && n.pool.why(p.pool) == nil {
				f.broken("L1", "%s: %s waits for %s and nobody says why: %q", n.id, p.name, f.now-p.asked, p.cause)
				return
			}
		}
	}
}

// judgeFences is L2, and the end of what is held.
func (f *fleet) judgeFences() {
	for _, n := range f.nodes {
		if n.off {
			continue
		}
		for a, s := range n.pool.addresses {
			if s.State == ipam.Fenced && f.now-s.since > 2*5*time.Minute {
				f.broken("L2", "%s: %s on %s is fenced for %s", n.id, a, s.ENI, f.now-s.since)
				return
			}
		}
	}
}

// judgeOrphans is L3: what no living node has or wants is gone.
func (f *fleet) judgeOrphans() {
	for _, e := range f.world.NetworkInterfaces(f.wall()) {
		if e.Attachment == nil && e.Tags[reconcile.TagCluster] == f.cfg.Cluster && e.Tags[reconcile.TagNoManage] != "true" &&
			!f.human.enis[ipam.ENIID(e.ID)] {
			f.broken("L3", "%s of %s is left over", e.ID, e.Tags[reconcile.TagNode])
			return
		}
	}
}

// judgeLeases compares pool and kernel at rest: every pod that runs has its lease, and no other lease is there.
func (f *fleet) judgeLeases() {
	for _, n := range f.nodes {
		if n.off {
			continue
		}
		for a := range n.pool.leases {
			if a.Network == "sim" && n.podOf(a) == nil {
				f.broken("L1", "%s: the lease of %s, which is long gone, is still there", n.id, a)
				return
			}
		}
		for _, p := range n.pods {
			if _, has := n.pool.leases[p.attachment]; p.state == running && !has {
				f.broken("S7", "%s: %s runs without a lease", n.id, p.name)
				return
			}
		}
	}
}

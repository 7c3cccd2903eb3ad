package sim

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/agent"
	"github.com/enichain/enichain/ipam/store"
	"github.com/enichain/enichain/test/lab/vpc"
)

// node is an instance: its kernel, its files, its agent, and the pods on it.
type node struct {
	f       *fleet
	id      ipam.InstanceID
	kind    string
	maxPods int
	random  *rand.Rand

	off    bool // stopped or terminated
	dead   bool // terminated
	cut    bool // the bus does not reach it
	cordon bool
	boot   string
	boots  int
	booted time.Duration
	skew   time.Duration // of its wall clock

	links map[string]agent.Link // the kernel's, by MAC
	pods  []*pod
	wired map[netip.Addr]*pod // what the kernel routes

	path   string
	store  *store.Store
	file   *agent.PoolFile
	ledger *agent.Ledger
	older  *agent.Ledger // what stood there before
	incs   int

	core   *agent.Core // nil: the agent does not run
	life   int         // rises with each start and end of the agent
	died   time.Duration
	killIn int // effects until the agent is killed; 0 = it is not
	ringAt ipam.Instant
	ring   int

	pool   mirror
	lost   int // addresses that came by a call without an answer
	lostAt time.Duration
}

// boottime is what CLOCK_BOOTTIME reads when a run begins or a node has just booted: agents come up after the kernel.
const boottime = 30 * time.Second

// addNode starts an instance with its agent.
func (f *fleet) addNode(kind string, maxPods int) *node {
	n := f.launch(kind, maxPods, f.subnet.ID, nil)
	n.startAgent()
	return n
}

// launch is an instance that boots; its agent is still to come. nil: EC2 has no room for it.
func (f *fleet) launch(kind string, maxPods int, subnet string, tags map[string]string) *node {
	id := fmt.Sprintf("i-%017x", len(f.nodes)+1)
	if _, _, err := f.world.AddInstance(f.wall(), vpc.Launch{ID: id, Type: kind, Subnet: subnet, Tags: tags}); err != nil {
		f.say("%v", err)
		return nil
	}
	n := &node{f: f, id: ipam.InstanceID(id), kind: kind, maxPods: maxPods, random: source(f.seed, id),
		links: map[string]agent.Link{}, wired: map[netip.Addr]*pod{}, died: -forever}
	n.path = filepath.Join(f.folder(n), "pool.db")
	n.pool.gone, n.pool.fenced = map[store.Life]*departure{}, map[store.Life]bool{}
	n.newBoot()
	f.nodes = append(f.nodes, n)
	f.byID[n.id] = n
	f.watchWorld()
	for _, c := range f.world.Advance(f.wall()) {
		if o := f.byID[ipam.InstanceID(c.Instance)]; o != nil {
			o.linkChanged(c)
		}
	}
	return n
}

// newBoot is a kernel that starts: what lived in memory is gone.
func (n *node) newBoot() {
	n.boots++
	n.boot, n.booted = fmt.Sprintf("boot-%d", n.boots), n.f.now
}

// now reads the node's clocks.
func (n *node) now() store.Now {
	return store.Now{Boot: ipam.Instant(n.f.now - n.booted + boottime), Wall: n.f.wall().Add(n.skew)}
}

// virtual is when the node's BOOTTIME reads at.
func (n *node) virtual(at ipam.Instant) time.Duration { return time.Duration(at) - boottime + n.booted }

// linkChanged is the kernel that sees a network interface come or go.
func (n *node) linkChanged(c vpc.Change) {
	mac := strings.ToLower(c.ENI.MAC)
	switch c.Kind {
	case vpc.LinkAttached:
		at := c.ENI.Attachment
		name := fmt.Sprintf("eth%d", at.Device)
		if at.Card > 0 {
			name = fmt.Sprintf("eth%dc%d", at.Device, at.Card)
		}
		addresses := []netip.Addr{}
		if at.Device == 0 && at.Card == 0 {
			addresses = append(addresses, c.ENI.Primary)
		}
		n.links[mac] = agent.Link{Name: name, Index: 2 + at.Device + 100*at.Card, MAC: mac, Up: true, N: -1, Addresses: addresses}
	case vpc.LinkDetached:
		delete(n.links, mac)
	case vpc.InstanceStopped, vpc.InstanceTerminated:
		clear(n.links)
	default:
		return
	}
	if !n.off {
		n.f.after(time.Millisecond, func() { n.step(agent.Input{Wake: &agent.Wake{Links: true}}) })
	}
}

// kernelLinks lists the links by index.
func (n *node) kernelLinks() []agent.Link {
	var all []agent.Link
	for _, l := range n.links {
		all = append(all, l)
	}
	slices.SortFunc(all, func(a, b agent.Link) int { return a.Index - b.Index })
	return all
}

func (n *node) inUse(a netip.Addr) bool { return n.wired[a] != nil }

// allInUse is inUse as a set.
func (n *node) allInUse() map[netip.Addr]bool {
	used := make(map[netip.Addr]bool, len(n.wired))
	for a := range n.wired {
		used[a] = true
	}
	return used
}

// deliver is a message from the bus at the node's door.
func (n *node) deliver(s ipam.Supply) {
	if n.off || n.cut || n.core == nil {
		return
	}
	n.step(agent.Input{Supply: &s})
}

// loseFile takes the pool file away in a running boot.
func (n *node) loseFile() {
	n.letGo()
	if err := os.Remove(n.path); err != nil && !os.IsNotExist(err) {
		must(err)
	}
}

// spoilFile leaves something at the pool file's path that is none.
func (n *node) spoilFile() {
	n.letGo()
	if _, err := os.Stat(n.path); err == nil {
		must(os.WriteFile(n.path, []byte(strings.Repeat("not a pool file ", 4096)), 0o600))
	}
}

// powerOff ends everything that lives in memory; what EC2 and the disk have stays.
func (n *node) powerOff() {
	n.crash()
	n.off = true
	for _, p := range slices.Clone(n.pods) {
		p.end("the node is off")
	}
	n.pods, n.wired = nil, map[netip.Addr]*pod{}
	n.loseFile()
	n.pool.forget(n)
}

// powerOn is another boot.
func (n *node) powerOn() {
	if n.dead {
		return
	}
	n.off = false
	n.newBoot()
	n.startAgent()
}

// String is the pool in words.
func (n *node) String() string {
	text := fmt.Sprintf("%s %s boot %s off %t cut %t agent %t", n.id, n.kind, n.boot, n.off, n.cut, n.core != nil)
	for _, p := range n.pods {
		if p.state == waiting {
			text += " " + p.name + " waits"
		}
	}
	s := n.pool.state
	text += fmt.Sprintf("\n  inc %s seq %d basis %d seen %+v hold %+v maxPods %d", s.Meta.Inc, s.Meta.Seq, s.Meta.Basis, s.Meta.Seen, s.Meta.Hold, s.Meta.MaxPods)
	for _, e := range s.ENIs {
		text += fmt.Sprintf("\n  %s %s %s #%d listed %t ready %t %+v", e.ENI, e.Attachment, e.Pool, e.Device, e.Listed, e.Ready, e.Counts)
	}
	for _, a := range s.Addresses {
		if a.Address.Is6() && a.State == ipam.Free {
			continue // most of 256
		}
		text += fmt.Sprintf("\n  %s on %s %s lost %t listed %t %s", a.Address, a.ENI, a.State, a.Lost, a.Listed, a.Owner.Container)
	}
	for _, h := range s.Held {
		text += fmt.Sprintf("\n  %s on %s held %+v", h.Address, h.ENI, h.Hold)
	}
	return text
}

package sim

import (
	"fmt"
	"hash"
	"hash/fnv"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"strings"
	"time"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/reconcile"
	"github.com/enichain/enichain/test/lab/vpc"
)

// fleet is nodes, reconcilers, a bus and a VPC in one thread.
type fleet struct {
	clock
	seed      uint64
	dir       string // for the nodes' files
	world     *vpc.World
	vpc       string
	subnet    vpc.Subnet   // of nodes that name none
	subnets   []vpc.Subnet // that one first
	cfg       reconcile.Config
	nodes     []*node // in the order in which they were made
	byID      map[ipam.InstanceID]*node
	leaders   []*leader
	term      uint64
	bus       bus
	random    *rand.Rand // of tests that draw as they go
	bugs      bugs
	policed   time.Duration // since the policy is as it is
	recording *recording

	lost     float64       // part of EC2's answers that are lost; the call may be carried out up to D later
	pacing   bool          // reconcilers keep to EC2's published rates
	unpaced  bool          // a planted bug: they are told to and do not
	advance  time.Duration // when the world's next change is looked for; 0 = nothing is
	keep     bool          // pool files stay open between transactions: quick, and one file descriptor each
	checking bool          // pool files are compared with what they said before, after every transaction

	again int // of a planted bug

	human    human
	releases int // calls that gave back, for what must not have happened
	trace    hash.Hash64
	lines    int
	tail     []string
	quiet    bool // nothing is told: big fleets
	faults   []Violation
}

// Violation is a broken invariant.
type Violation struct {
	Invariant string        `json:"invariant"` // S1…, B1…, L1… of docs/protocol.md, A8, or the rule that was broken
	At        time.Duration `json:"at"`
	Text      string        `json:"text"`
}

func (v Violation) String() string {
	return fmt.Sprintf("%s at %s: %s", v.Invariant, v.At.Round(time.Millisecond), v.Text)
}

// human is what people did in EC2, of which no invariant holds.
type human struct {
	enis      map[ipam.ENIID]bool
	addresses map[netip.Addr]bool
	foreign   map[string]bool // network interfaces of theirs
	last      time.Duration
}

const forever = 1000 * time.Hour

// newFleet makes a fleet in a VPC of its own; the nodes' files go below dir.
func newFleet(seed uint64, dir string, world vpc.Config, cfg reconcile.Config) *fleet {
	f := &fleet{
		seed: seed, dir: dir, cfg: cfg, byID: map[ipam.InstanceID]*node{}, random: source(seed, "test"),
		human: human{enis: map[ipam.ENIID]bool{}, addresses: map[netip.Addr]bool{}, foreign: map[string]bool{}}, trace: fnv.New64a(), checking: true, keep: true,
	}
	f.bus = bus{f: f, random: source(seed, "bus"), late: 100 * time.Millisecond, stream: map[ipam.InstanceID]ipam.Snapshot{},
		said: map[said]time.Duration{}}
	f.world = vpc.New(world, source(seed, "vpc"))
	v, err := f.world.AddVPC(vpc.VPC{CIDRs: []netip.Prefix{mustPrefix("10.110.0.0/16")}, IPv6: mustPrefix("2001:db8:110::/56")})
	must(err)
	f.vpc = v.ID
	f.subnet, err = f.world.AddSubnet(vpc.Subnet{VPC: v.ID, Zone: "lab-1a", CIDR: mustPrefix("10.110.0.0/18"),
		IPv6: mustPrefix("2001:db8:110:1::/64")})
	must(err)
	return f
}

// must is for what cannot fail in a world of our own making.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

func mustPrefix(text string) netip.Prefix { return netip.MustParsePrefix(text) }

// say adds a line to the story of the run.
func (f *fleet) say(format string, args ...any) {
	if f.quiet {
		return
	}
	line := fmt.Sprintf("%10.3f ", f.now.Seconds()) + fmt.Sprintf(format, args...)
	_, _ = f.trace.Write([]byte(line))
	f.lines++
	f.tail = append(f.tail, line)
	if len(f.tail) > 800 {
		f.tail = append([]string(nil), f.tail[400:]...)
	}
}

// broken notes a broken invariant, once.
func (f *fleet) broken(invariant, format string, args ...any) {
	v := Violation{Invariant: invariant, At: f.now, Text: fmt.Sprintf(format, args...)}
	f.say("BROKEN %s", v)
	f.faults = append(f.faults, v)
}

// run lets time pass, until something is broken.
func (f *fleet) run(d time.Duration) {
	end := f.now + d
	for len(f.faults) == 0 && f.next(end) {
		f.watchWorld()
	}
	f.now = max(f.now, end)
}

// watchWorld lets the nodes' kernels see what takes effect in the VPC, when it does.
func (f *fleet) watchWorld() {
	at, some := f.world.Next()
	if !some {
		return
	}
	due := max(at.Sub(start), f.now)
	if f.advance != 0 && f.advance <= due && f.advance >= f.now {
		return
	}
	f.advance = due
	f.after(due-f.now, func() {
		if f.advance <= f.now {
			f.advance = 0
		}
		for _, c := range f.world.Advance(f.wall()) {
			if n := f.byID[ipam.InstanceID(c.Instance)]; n != nil {
				n.linkChanged(c)
			}
		}
	})
}

// folder is where the files of a node are.
func (f *fleet) folder(n *node) string { return filepath.Join(f.dir, string(n.id)) }

// end closes what is open.
func (f *fleet) end() {
	f.close()
	for _, n := range f.nodes {
		n.letGo()
	}
}

// leading counts the reconcilers that believe that they lead.
func (f *fleet) leading() int {
	count := 0
	for _, l := range f.leaders {
		if !l.dead && l.core != nil {
			count++
		}
	}
	return count
}

// calls counts an action's calls by outcome.
func (f *fleet) calls(action string) (accepted, refused int) {
	for _, c := range f.world.Counts() {
		if c.Action == action && !strings.HasPrefix(c.Caller, "human") {
			accepted += c.Accepted
			refused += c.Refused + c.Throttled
		}
	}
	return accepted, refused
}

// mutations counts the calls that EC2 has taken and that change something.
func (f *fleet) mutations() int {
	count := 0
	for _, c := range f.world.Counts() {
		if !strings.HasPrefix(c.Action, "Describe") && !strings.HasPrefix(c.Caller, "human") {
			count += c.Accepted
		}
	}
	return count
}

// story is the end of the run in words, and how everything stands.
func (f *fleet) story() string {
	s := strings.Join(f.tail[max(len(f.tail)-80, 0):], "\n")
	for _, n := range f.nodes {
		s += "\n" + n.String()
	}
	s += "\n" + f.world.Dump(f.wall())
	for _, l := range f.leaders {
		if l.dead || l.core == nil {
			continue
		}
		for _, n := range l.core.Picture(reconcile.Now{At: f.now}).Nodes {
			s += fmt.Sprintf("\n%s of %s: %+v", l.name, n.Instance, n)
		}
	}
	return s
}

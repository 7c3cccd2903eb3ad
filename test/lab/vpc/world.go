package vpc

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// World is an account in one Region: VPCs, subnets, instances, network interfaces. Everything random comes from the
// source given to New, so that the same calls at the same times give the same world. It is safe for concurrent use; no
// method waits.
type World struct {
	mu     sync.Mutex
	config Config
	random *rand.Rand
	now    time.Time // latest instant anybody spoke of; time does not run backwards

	types       map[string]InstanceType
	vpcs        map[string]*VPC
	subnets     map[string]*subnet
	groups      map[string]*SecurityGroup
	defaults    map[string]string // id of the default security group by VPC
	instances   map[string]*instance
	instanceIDs []string        // keys of instances, sorted
	ended       []ended         // terminated instances by time, until they are forgotten
	off         map[string]bool // instances whose machine is off, as told by Advance
	enis        map[string]*timeline
	eniIDs      []string          // keys of enis, sorted
	gone        []departed        // deleted interfaces, until the Horizon has passed
	attached    map[string]string // attachment id → interface id, also of ended attachments of living interfaces
	macs        map[string]bool
	tokens      map[string]*token
	bearers     map[Tag]map[string]bool // interfaces that have, or had in a version that is remembered, a tag
	live        int                     // interfaces that are not deleted
	usage       map[string]int          // network address units by VPC

	filters struct {
		interfaces properties[NetworkInterface]
		instances  properties[InstanceView]
	}
	meters  map[string]*meter
	account account
	faults  []activeFault
	changes changeQueue
	wired   map[string]string // interface id → instance, as told by Advance
	journal journal
}

// New makes an empty world.
func New(config Config, random *rand.Rand) *World {
	types := map[string]InstanceType{}
	for _, t := range InstanceTypes() {
		types[t.Name] = t
	}
	w := &World{
		config: config.withDefaults(), random: random, types: types,
		vpcs: map[string]*VPC{}, subnets: map[string]*subnet{}, groups: map[string]*SecurityGroup{}, defaults: map[string]string{},
		instances: map[string]*instance{}, enis: map[string]*timeline{}, attached: map[string]string{},
		macs: map[string]bool{}, tokens: map[string]*token{}, usage: map[string]int{},
		meters: map[string]*meter{}, account: account{counts: map[countKey]*Count{}}, wired: map[string]string{}, off: map[string]bool{},
		bearers: map[Tag]map[string]bool{},
	}
	w.filters.interfaces, w.filters.instances = interfaceProperties(w), instanceProperties(w)
	return w
}

// Config is how the world behaves, defaults filled in.
func (w *World) Config() Config { return w.config }

// AddVPC makes a VPC, its default security group and its main route table.
func (w *World) AddVPC(v VPC) (VPC, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(v.CIDRs) == 0 {
		return VPC{}, fmt.Errorf("cannot add VPC %s: it has no IPv4 block", v.ID)
	}
	for _, cidr := range v.CIDRs {
		if !cidr.Addr().Is4() || cidr.Bits() < 16 || cidr.Bits() > 28 || cidr != cidr.Masked() {
			return VPC{}, fmt.Errorf("cannot add VPC %s: %s is not an IPv4 network of /16 to /28", v.ID, cidr)
		}
	}
	if v.IPv6.IsValid() && (!v.IPv6.Addr().Is6() || v.IPv6.Bits() != 56 || v.IPv6 != v.IPv6.Masked()) {
		return VPC{}, fmt.Errorf("cannot add VPC %s: %s is not an IPv6 network of /56", v.ID, v.IPv6)
	}
	if v.ID == "" {
		v.ID = w.id("vpc")
	}
	if w.vpcs[v.ID] != nil {
		return VPC{}, fmt.Errorf("cannot add VPC %s: it exists", v.ID)
	}
	v.CIDRs, v.Tags = slices.Clone(v.CIDRs), maps.Clone(v.Tags)
	w.vpcs[v.ID] = &v
	g := w.addGroup(SecurityGroup{VPC: v.ID, Name: "default", Description: "default VPC security group"})
	w.defaults[v.ID] = g.ID
	return v, nil
}

// AddSubnet makes a subnet inside a VPC's blocks, apart from the other subnets.
func (w *World) AddSubnet(s Subnet) (Subnet, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.checkSubnet(s); err != nil {
		return Subnet{}, fmt.Errorf("cannot add subnet %s %s: %w", s.ID, s.CIDR, err)
	}
	if s.ID == "" {
		s.ID = w.id("subnet")
	}
	s.Tags = maps.Clone(s.Tags)
	w.subnets[s.ID] = newSubnet(s)
	return s, nil
}

func (w *World) checkSubnet(s Subnet) error {
	v := w.vpcs[s.VPC]
	switch {
	case v == nil:
		return fmt.Errorf("there is no VPC %q", s.VPC)
	case s.Zone == "":
		return fmt.Errorf("it has no availability zone")
	case !s.CIDR.IsValid() || !s.CIDR.Addr().Is4() || s.CIDR != s.CIDR.Masked() || s.CIDR.Bits() < 16 || s.CIDR.Bits() > 28:
		return fmt.Errorf("its block is not an IPv4 network of /16 to /28")
	case !slices.ContainsFunc(v.CIDRs, func(c netip.Prefix) bool { return within(c, s.CIDR) }):
		return fmt.Errorf("its block is not inside of the VPC's %v", v.CIDRs)
	case s.IPv6.IsValid() && (s.IPv6.Bits() != 64 || s.IPv6 != s.IPv6.Masked() || !within(v.IPv6, s.IPv6)):
		return fmt.Errorf("%s is not an IPv6 /64 inside of the VPC's %s", s.IPv6, v.IPv6)
	case w.subnets[s.ID] != nil:
		return fmt.Errorf("it exists")
	}
	for _, other := range w.subnets {
		if other.VPC == s.VPC && (other.CIDR.Overlaps(s.CIDR) || s.IPv6.IsValid() && other.IPv6.Overlaps(s.IPv6)) {
			return fmt.Errorf("it overlaps %s %s", other.ID, other.CIDR)
		}
	}
	return nil
}

func within(outer, inner netip.Prefix) bool {
	return outer.IsValid() && outer.Bits() <= inner.Bits() && outer.Contains(inner.Addr())
}

// id makes an id as EC2 does: a kind and 17 hex digits, the first of them 0.
func (w *World) id(kind string) string { return fmt.Sprintf("%s-0%016x", kind, w.random.Uint64()) }

// mac makes a locally administered address that no interface of this world has or had.
func (w *World) mac() string {
	for {
		r := w.random.Uint64()
		mac := fmt.Sprintf("06:%02x:%02x:%02x:%02x:%02x", byte(r), byte(r>>8), byte(r>>16), byte(r>>24), byte(r>>32))
		if !w.macs[mac] {
			w.macs[mac] = true
			return mac
		}
	}
}

// tick moves the world's clock; an earlier instant counts as the latest one.
func (w *World) tick(now time.Time) time.Time {
	if now.After(w.now) {
		w.now = now
	}
	w.purge()
	w.forgetInstances()
	w.expireFaults()
	return w.now
}

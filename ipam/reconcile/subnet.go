package reconcile

import (
	"slices"
	"strings"

	"github.com/enichain/enichain/ipam"
)

// Tags of subnets, with the meaning that amazon-vpc-cni-k8s gives them.
const (
	TagRole = "kubernetes.io/role/cni"          // "0" keeps everybody out of the subnet; any other value lets in
	TagFor  = "cni.networking.k8s.aws/cluster/" // and a cluster's name: if there is any, those clusters alone
)

// EC2's codes for a subnet that has no free address; of class SubnetFull, all others say that it has no free, aligned /28.
const (
	full    = "InsufficientFreeAddressesInSubnet" // no address is free
	unclear = "InvalidParameterValue"             // it does not say which of the two it is
)

const block = ipam.PrefixSlots // addresses that a /28 takes

// empty says whether the pool has no choice of its own: then the node's own subnet is it.
func (s Subnets) empty() bool { return len(s.IDs)+len(s.Tags) == 0 }

// discovers says whether the pool takes what is tagged for CNIs, as amazon-vpc-cni-k8s's subnet discovery does; then a
// node's own subnet is among them if it has no such tag.
func (s Subnets) discovers() bool {
	_, ok := s.Tags[TagRole]
	return ok && len(s.Tags) == 1 && len(s.IDs) == 0
}

// take says whether a pool's interfaces of an instance may be in a subnet.
func (s Subnets) take(subnet Subnet, row Instance, cluster string) bool {
	role, tagged := subnet.Tags[TagRole]
	if subnet.Zone != row.Zone || subnet.VPC != row.VPC || role == "0" {
		return false
	}
	if slices.Contains(s.IDs, subnet.ID) {
		return true
	}
	if tagged && !meant(subnet.Tags, cluster) {
		return false
	}
	if s.empty() || s.discovers() && !tagged {
		return subnet.ID == row.Subnet
	}
	for key, value := range s.Tags {
		got, ok := subnet.Tags[key]
		if !ok || got != value && key != TagRole {
			return false
		}
	}
	return len(s.Tags) > 0
}

// meant says whether a subnet is for a cluster: it is for all, or named for this one.
func meant(tags map[string]string, cluster string) bool {
	some := false
	for key := range tags {
		if name, ok := strings.CutPrefix(key, TagFor); ok {
			if name == cluster {
				return true
			}
			some = true
		}
	}
	return !some
}

// candidates are the subnets where a pool's interfaces of a node may be made, that with the most free addresses first.
// Where the pool has IPv6, those without come last, and not at all if it has nothing else.
func (c *Core) candidates(n *node, p Pool) []Subnet {
	var fit []Subnet
	for _, id := range c.zones[zone{n.row.VPC, n.row.Zone}] {
		if s := c.subnets[id]; p.Subnets.take(s, n.row, c.cfg.Cluster) {
			fit = append(fit, s)
		}
	}
	slices.SortFunc(fit, func(a, b Subnet) int {
		if p.has6() && a.CIDR6.IsValid() != b.CIDR6.IsValid() {
			if a.CIDR6.IsValid() {
				return -1
			}
			return 1
		}
		if a.Free != b.Free {
			return b.Free - a.Free
		}
		return strings.Compare(string(a.ID), string(b.ID))
	})
	return fit
}

// zone is where subnets are looked for.
type zone struct{ vpc, zone string }

// choice is where a new interface can be made now, and how.
type choice struct {
	subnet ipam.SubnetID // "" = nowhere
	blocks bool          // it has a free /28, as far as is known
	most   int           // single addresses that may be asked for
}

// choose finds the subnet for a new interface: the first candidate with a free /28 if the pool wants one, else the first
// with free addresses, if single ones will do.
func (c *Core) choose(now Now, n *node, p Pool, l ipam.Limits) choice {
	var found choice
	for _, s := range c.candidates(n, p) {
		if c.gates[gateSubnet+string(s.ID)].shut(now, n) {
			continue
		}
		if p.blocks(l) && c.hasBlock(now, n, s.ID) {
			return choice{s.ID, true, 0}
		}
		if most, ok := c.open(now, n, s.ID); ok && found.subnet == "" && p.singles() {
			found = choice{s.ID, false, most}
		}
	}
	return found
}

// hasBlock says whether a node may ask for a /28 in a subnet now.
func (c *Core) hasBlock(now Now, n *node, id ipam.SubnetID) bool {
	s, ok := c.subnets[id]
	return !c.gates[gateBlocks+string(id)].shut(now, n) && (!ok || s.Free >= block) && !c.marks[id].shutFor(now)
}

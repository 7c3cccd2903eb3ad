package vpc

import (
	"slices"
	"strings"
)

// InstanceType is what EC2 publishes of a type, as far as networks go (DescribeInstanceTypes; the numbers are those of
// EC2's own type records).
type InstanceType struct {
	Name              string
	Hypervisor        string // "nitro", "xen"; empty of bare metal
	VCPUs             int
	MemoryMiB         int
	Performance       string // networkPerformance
	Interfaces        int    // network interfaces in all
	IPv4PerInterface  int    // the primary address and prefixes count
	IPv6PerInterface  int
	InterfacesPerCard []int // by network card index
}

// Prefixes tells whether interfaces may have delegated prefixes: those of instances built on Nitro, bare metal included.
func (t InstanceType) Prefixes() bool { return t.Hypervisor != "xen" }

// Architecture is the processor's: in a family such as c7g the g behind the generation stands for Graviton.
func (t InstanceType) Architecture() string {
	family, _, _ := strings.Cut(t.Name, ".")
	if at := strings.IndexAny(family, "0123456789"); at >= 0 && strings.Contains(family[at:], "g") {
		return "arm64"
	}
	return "x86_64"
}

// InstanceTypes is every type that the lab knows, by name.
func InstanceTypes() []InstanceType {
	one := func(name, hypervisor string, vcpus, mib int, performance string, enis, ips int) InstanceType {
		return InstanceType{name, hypervisor, vcpus, mib, performance, enis, ips, ips, []int{enis}}
	}
	types := []InstanceType{
		one("t2.medium", "xen", 2, 4096, "Low to Moderate", 3, 6),
		one("m4.large", "xen", 2, 8192, "Moderate", 2, 10),
		one("t3.small", "nitro", 2, 2048, "Up to 5 Gigabit", 3, 4),
		one("t3.medium", "nitro", 2, 4096, "Up to 5 Gigabit", 3, 6),
		one("t3.large", "nitro", 2, 8192, "Up to 5 Gigabit", 3, 12),
		one("c7g.medium", "nitro", 1, 2048, "Up to 12.5 Gigabit", 2, 4),
		one("c5.xlarge", "nitro", 4, 8192, "Up to 10 Gigabit", 4, 15),
		one("m5.large", "nitro", 2, 8192, "Up to 10 Gigabit", 3, 10),
		one("m6i.large", "nitro", 2, 8192, "Up to 12.5 Gigabit", 3, 10),
		one("m5.xlarge", "nitro", 4, 16384, "Up to 10 Gigabit", 4, 15),
		one("g5.xlarge", "nitro", 4, 16384, "Up to 10 Gigabit", 4, 15),
		one("m5.4xlarge", "nitro", 16, 65536, "Up to 10 Gigabit", 8, 30),
		one("c5n.18xlarge", "nitro", 72, 196608, "100 Gigabit", 15, 50),
		one("r5.24xlarge", "nitro", 96, 786432, "25 Gigabit", 15, 50),
		one("m5.metal", "", 96, 393216, "25 Gigabit", 15, 50),
		one("trn1.2xlarge", "nitro", 8, 32768, "Up to 12.5 Gigabit", 4, 15),
		one("m7i.48xlarge", "nitro", 192, 786432, "50 Gigabit", 15, 50),
		one("p3dn.24xlarge", "nitro", 96, 786432, "100 Gigabit", 15, 50),
		{"p4d.24xlarge", "nitro", 96, 1179648, "4x 100 Gigabit", 60, 50, 50, []int{15, 15, 15, 15}},
		{"p5.48xlarge", "nitro", 192, 2097152, "3200 Gigabit", 64, 50, 50, slices.Repeat([]int{2}, 32)},
		{"p5en.48xlarge", "nitro", 192, 2097152, "3200 Gigabit", 64, 50, 50, slices.Repeat([]int{4}, 16)},
		{"trn1.32xlarge", "nitro", 128, 524288, "8x 100 Gigabit", 40, 50, 50, slices.Repeat([]int{5}, 8)},
	}
	slices.SortFunc(types, func(a, b InstanceType) int { return strings.Compare(a.Name, b.Name) })
	return types
}

// anyType limits an interface that no instance limits yet: no type of EC2 has more addresses per interface.
func anyType() InstanceType {
	return InstanceType{Hypervisor: "nitro", IPv4PerInterface: 50, IPv6PerInterface: 50}
}

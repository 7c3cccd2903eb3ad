package ipam

import "slices"

// Limits are what an instance type allows (EC2: DescribeInstanceTypes, networkInfo).
type Limits struct {
	ENIs     int  `json:"enis"`     // network interfaces of its default network card, the primary one included; 0 = unknown
	IPv4     int  `json:"ipv4"`     // IPv4 addresses of one network interface, its primary one included
	IPv6     int  `json:"ipv6"`     // IPv6 addresses of one network interface
	Prefixes bool `json:"prefixes"` // /28 and /80 may be delegated: Nitro and bare metal
	// Cards are the most network interfaces of each network card, by its index; empty = one card of ENIs.
	Cards []int `json:"cards,omitempty"`
}

// PerENI is how many addresses or prefixes one network interface can hold for pods: all but its primary one.
func (l Limits) PerENI() int { return max(l.IPv4-1, 0) }

// Addresses is how many single addresses the type can hold for pods on count network interfaces.
func (l Limits) Addresses(count int) int { return max(count, 0) * l.PerENI() }

// OnCard is how many network interfaces a network card can have.
func (l Limits) OnCard(card int) int {
	switch {
	case card < 0 || card > 0 && card >= len(l.Cards):
		return 0
	case len(l.Cards) == 0:
		return l.ENIs
	}
	return l.Cards[card]
}

// Total is how many network interfaces all network cards can have.
func (l Limits) Total() int {
	if len(l.Cards) == 0 {
		return l.ENIs
	}
	total := 0
	for _, most := range l.Cards {
		total += most
	}
	return total
}

// places is how many addresses or prefixes of a family one network interface can hold for pods. An IPv6 address of its
// own takes one of those.
func (l Limits) places(f Family) int {
	switch {
	case f == IPv4:
		return l.PerENI()
	case !l.Prefixes:
		return 0
	}
	return max(l.IPv6-1, 0)
}

// Target is what a pool's policy asks of each of its nodes. Zero is "not asked" for every number. The numbers mean what
// amazon-vpc-cni-k8s means by WARM_IP_TARGET, WARM_ENI_TARGET, WARM_PREFIX_TARGET, MINIMUM_IP_TARGET and MAX_ENI.
type Target struct {
	Warm         int  `json:"warm"`         // free addresses to keep
	WarmENIs     int  `json:"warmEnis"`     // free addresses to keep, in whole network interfaces' worth
	WarmPrefixes int  `json:"warmPrefixes"` // free addresses to keep, in whole prefixes' worth; not in ModeSecondary
	Minimum      int  `json:"minimum"`      // addresses on the node, leased or not
	Maximum      int  `json:"maximum"`      // most addresses on the node; 0 = as many as pods may run there
	MaxENIs      int  `json:"maxEnis"`      // most network interfaces, the primary one included; 0 = the type's limit
	UsePrimary   bool `json:"usePrimary"`   // pods may use the primary network interface's addresses
	AtOnce       int  `json:"atOnce"`       // most addresses wished back in one window; protocol B4: at most MostAtOnce

	Mode     Mode     `json:"mode,omitempty"`     // "" = ModeSecondary
	Families []Family `json:"families,omitempty"` // empty = IPv4 alone
	Cards    []int    `json:"cards,omitempty"`    // network cards that its interfaces go on, in this order; empty = 0
}

// Mode is how a pool gets its IPv4 addresses; IPv6 ones are always of delegated /80 prefixes.
type Mode string

// The modes. Addresses that a node has already are used in every mode, and given back when they are not needed.
const (
	ModeAuto      Mode = "auto"      // as prefix where the type can and the subnet has a free /28, else as secondary
	ModePrefix    Mode = "prefix"    // delegated /28 prefixes, or none
	ModeSecondary Mode = "secondary" // single addresses
)

// PrefixSlots is how many addresses a delegated IPv4 prefix (/28) gives for one place on an interface.
const PrefixSlots = 16

// MostAtOnce is the most addresses that a node is asked for in one window, and the default of Target.AtOnce
// (protocol B4).
const MostAtOnce = 16

// MaxENIsOf is how many network interfaces a node of these limits may have for a pool, in any state, the primary one
// included.
func (t Target) MaxENIsOf(l Limits) int {
	cards, most := t.cards(), 0
	for _, card := range cards {
		most += l.OnCard(card)
	}
	if !slices.Contains(cards, 0) {
		most++
	}
	if t.MaxENIs > 0 {
		return min(t.MaxENIs, most)
	}
	return most
}

// Free is the warm target in addresses. As with amazon-vpc-cni-k8s, a target in addresses (Warm, Minimum) makes those
// in interfaces and prefixes void, and one in prefixes that in interfaces. A pool of IPv6 alone knows addresses only:
// one of its prefixes is more than a node's pods.
func (t Target) Free(l Limits) int {
	switch {
	case t.Warm > 0 || t.Minimum > 0 || Lead(t.Families) == IPv6:
		return t.Warm
	case t.WarmPrefixes > 0 && !t.secondary():
		return t.WarmPrefixes * PrefixSlots
	}
	return t.WarmENIs * l.PerENI()
}

// High is the number of free addresses above which some are given back: the target and as many as come at once, a
// prefix's or a network interface's worth. So what a burst needed is not given back and fetched again by turns.
func (t Target) High(l Limits) int {
	switch {
	case Lead(t.Families) == IPv6:
		return t.Free(l) + worth(IPv6)
	case l.Prefixes && !t.secondary():
		return t.Free(l) + PrefixSlots
	}
	return t.Free(l) + l.PerENI()
}

// unit is how many IPv4 addresses one place on a network interface gives, where its subnet has a free /28 or none; 0 =
// the mode allows nothing there. left is how many addresses the pool's maximum leaves.
func (t Target) unit(l Limits, noPrefixes bool, left int) int {
	switch can := l.Prefixes && !noPrefixes && left >= PrefixSlots; {
	case t.secondary():
		return 1
	case can:
		return PrefixSlots
	case t.Mode == ModeAuto:
		return 1
	}
	return 0
}

// most is the maximum, or the most addresses below it that whole prefixes beside the have addresses come to.
func (t Target) most(have int) int {
	if Lead(t.Families) == IPv4 && t.Mode == ModePrefix && have < t.Maximum {
		return have + (t.Maximum-have)/PrefixSlots*PrefixSlots
	}
	return t.Maximum
}

func (t Target) secondary() bool { return t.Mode == ModeSecondary || t.Mode == "" }

func (t Target) cards() []int {
	if len(t.Cards) == 0 {
		return []int{0}
	}
	return t.Cards
}

// Package numbers holds the numbers by which enichain marks what it puts into a node's kernel, and the arithmetic
// between them. They stand before aws-cni's (rules 512 and 1536, mark 0x80) and clear of kube-proxy's (marks 0x4000,
// 0x8000), portmap's (0x2000), Cilium's (0xf00) and Calico's (0xffff0000), so that all can share a node.
package numbers

// Protocol is the rtnetlink protocol of every route and rule of ours, "enichain" in /etc/iproute2/rt_protos.d:
// the mark by which they are found and without which nothing is touched. Range 0..255; 0..4 are the kernel's.
const Protocol = 233

// MaxN is the highest small number of a network interface on a node; 0 is the primary one.
const MaxN = 127

// MaxProfile is the highest SNAT profile of a link group; 0 stands for "no SNAT".
const MaxProfile = 7

// PodsTable is the routing table with one /32 or /128 per local pod, "enichain-pods" in /etc/iproute2/rt_tables.d.
const PodsTable = 1000

// Rule priorities, lower is earlier: local pods first, then what has an interface's own primary address as source,
// then what bears an interface's mark.
const (
	RulePods = 500
	RuleFrom = 1499
	RuleMark = 1500
)

// RuleInside is the priority of a rule inside a container: what has an address of its second, third … interface as
// source leaves by that interface.
const RuleInside = 1500

// MarkMask covers the only bits of a packet's mark that we ever write; the value in them is n.
const MarkMask uint32 = 0x7f

// Link groups: network interfaces' own links bear ENIGroup+n, host ends of pods PodGroup + 128·k + n.
const (
	ENIGroup    uint32 = 6872 // 6872..6999
	PodGroup    uint32 = 7000 // 7000..8023
	podProfiles uint32 = MaxN + 1
)

// LinkGroups is how many groups there are of network interfaces' links and of pods' host ends.
const LinkGroups = (MaxN + 1) * (MaxProfile + 2)

// SeveredGroup is the group of a pod's host end after its DEL: down, and to be deleted by whoever has the time.
const SeveredGroup uint32 = 6871

// PodGroupMax is the highest group of a pod's host end.
const PodGroupMax = PodGroup + podProfiles*(MaxProfile+1) - 1

// Tables of nf_tables, one per stage, named after it, all of family inet.
const (
	TableRoutedVeth = "enichain-routed-veth"
	TableSNAT       = "enichain-snat"
	TablePortmap    = "enichain-portmap-compat"
)

// Hook priorities: steering comes after everybody's DNAT (dstnat is -100), unsteering after steering.
const (
	PrioritySteer   int32 = -90
	PriorityUnsteer int32 = -89
)

// Filter blocks of fastpath (tc-qdisc, "ingress_block"): links of pods and network interfaces share them, so that the
// program stands in the kernel once. A block goes with the last link that has it.
const (
	BlockIn  uint32 = 2330 // what comes in by a link
	BlockOut uint32 = 2331 // what leaves by it
)

// ENITable is the routing table of network interface n, 1..MaxN: "eni-n".
func ENITable(n int) int { return PodsTable + n }

// InsideTable is the table, inside a container, of its further interface with that index; clear of the node's.
func InsideTable(index int) int { return 2*PodsTable + index }

// LinkGroup is the group of network interface n's own link.
func LinkGroup(n int) uint32 { return ENIGroup + uint32(n) }

// GroupENI is the inverse of LinkGroup; ok is false where the group is not a network interface's.
func GroupENI(group uint32) (n int, ok bool) {
	if group < ENIGroup || group > ENIGroup+MaxN {
		return 0, false
	}
	return int(group - ENIGroup), true
}

// PodLinkGroup is the group of the host end of a pod on network interface n with SNAT profile k.
func PodLinkGroup(n, k int) uint32 { return PodGroup + podProfiles*uint32(k) + uint32(n) }

// PodENI is the inverse of PodLinkGroup; ok is false where the group is no pod's.
func PodENI(group uint32) (n, k int, ok bool) {
	if group < PodGroup || group > PodGroupMax {
		return 0, 0, false
	}
	at := group - PodGroup
	return int(at % podProfiles), int(at / podProfiles), true
}

// ValidN says whether n can be a network interface's small number.
func ValidN(n int) bool { return n >= 0 && n <= MaxN }

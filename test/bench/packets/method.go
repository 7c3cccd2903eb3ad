package packets

// method is how it is measured, for docs/performance.md.
const method = `Every node is a network namespace of its own with five network interfaces, and beside it a namespace that ` +
	`stands for the VPC; its pods were added by the real chain, and are all there at once, so that the nodes are measured ` +
	`in turn. A veth hands a packet on within the sender's system call: what sendmmsg(2) takes is the way from the sender's ` +
	`socket through the node to the receiver's, which drops it by a socket filter. A sample is the mean of 250 packets of ` +
	`an established UDP flow, of 100 first packets of new flows, of 20 TCP connections, or a stream of 32 MiB; a round ` +
	`takes one sample of every node and every way, each round beginning with another, from one thread on one core ` +
	`(SCHED_FIFO where that is allowed). Ratios are medians of the ratios within each round. Four flows take turns at each way, because one flow's place in memory may cost it ` +
	`5 % more than another's. The measured pod is the last one, on a secondary network interface. ` + "\n\n" +
	`The nodes: one whose pods stand in the main table; the same with conntrack and translation hooked in but no rule for ` +
	`an established packet, as any node with kube-proxy has; ours; and one with what amazon-vpc-cni-k8s makes for its pods ` +
	`(a route and two rules each, its marks and its SNAT chain; written by this bench). The same pods, wired alike. ` +
	`kube-proxy's rules are written by this bench, too, as its two modes write them, for 500 services with two endpoints.` + "\n\n" +
	`What our rules cost a packet is two hooks, one look into a hash and five to ten expressions of nftables; on a machine with ` +
	`retpolines and their kin each call costs 15 to 30 ns. What is left to save is in the table of parts: one chain for both ` +
	`stages would save a hook, and each further network interface costs the source check of what comes in two more routing ` +
	`rules.`

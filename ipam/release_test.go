package ipam

import "testing"

func TestPlanGivesBackAddresses(t *testing.T) {
	try(t, []scenario{
		{"by count", `t3.medium
			pool default, warm 4, floor 12, budget 16
			eni 0: 5 singles, 1 leased
			eni 1, young: 5 singles
			eni 2: 4 singles, 1 leased`, `wish eni-1 -3`},
		{"by interface", `t3.medium
			pool default, warm 4, floor 14, budget 16
			eni 0: 5 singles
			eni 1: 5 singles
			eni 2: 4 singles`, `wish eni-2 whole`},
		{"never the primary", `t3.medium
			pool default, floor 6, budget 16
			eni 0: 5 singles
			eni 1: 4 singles, 4 leased`, `wish eni-0 -1`},
		{"young", `t3.medium
			pool default, warm 4, floor 10, budget 16
			eni 0: 5 singles
			eni 1, young: 5 singles`, `wish eni-1 -1`},
		{"within the hysteresis", `t3.medium
			pool default, warm 4, floor 9, budget 16
			eni 0: 5 singles
			eni 1: 4 singles`, ``},
		{"one thing at a time", `t3.medium
			pool default, warm 4, floor 14, budget 16
			eni 0: 5 singles
			eni 1: 5 singles
			eni 2, draining: 4 singles`, ``},
		{"part of the budget is gone", `t3.medium
			pool default, warm 4, floor 14, budget 2
			eni 0: 5 singles
			eni 1: 5 singles
			eni 2: 4 singles`, `wish eni-2 -2`},
		{"pods of other nodes wait", `t3.medium
			pool default, warm 4, scarce, floor 4, budget 16
			eni 0: 5 singles, 1 leased`, `wish eni-0 -4`},
		{"fewest leases first", `t3.medium
			pool default, floor 9, budget 16
			eni 0: 5 singles, 1 leased
			eni 1: 5 singles, 1 leased
			eni 2: 5 singles, 3 leased`, `wish eni-1 -4`},
		{"not below the minimum", `t3.medium
			pool default, minimum 12, floor 13, budget 16
			eni 0: 5 singles
			eni 1: 5 singles, 1 leased
			eni 2: 4 singles`, `wish eni-2 -2`},
		{"above the limit", `t3.medium
			pool default, warm 4, budget 16
			eni 0: 5 singles
			eni 1: 5 singles, 4 leased
			eni 2: 5 singles
			eni 3: 5 singles, 4 leased`, `wish eni-2 whole`},
		{"above the limit of a card", `p5en.48xlarge
			pool default, warm 4, budget 16, cards 1
			eni 0, not for pods
			eni 1/1: 5 singles, 4 leased
			eni 1/2: 5 singles, 4 leased
			eni 1/3: 5 singles, 4 leased
			eni 1/4: 5 singles
			eni 1/5: 5 singles, 1 leased`, `wish eni-1/4 whole`},
	})
}

func TestPlanGivesBackPrefixes(t *testing.T) {
	try(t, []scenario{
		{"a free one", `m5.large
			pool default prefix, warm 4, floor 31, budget 16
			eni 0: /28, 1 leased; /28`, `wish eni-0 -11.0.0.16/28`},
		{"within the hysteresis", `m5.large
			pool default prefix, warm 4, floor 20, budget 16
			eni 0: /28, 12 leased; /28`, ``},
		{"none is free", `m5.large
			pool default prefix, warm 4, floor 40, budget 16
			eni 0: /28, 1 leased; /28, 1 cooling; /28, 1 leased`, ``},
		{"it costs the whole budget", `m5.large
			pool default prefix, warm 4, floor 31, budget 15
			eni 0: /28, 1 leased; /28`, ``},
		{"singles before prefixes", `m5.large
			pool default auto, warm 4, floor 23, budget 16
			eni 0: 4 singles, 1 leased; /28, 1 leased; /28, 11 leased`, `wish eni-0 -3`},
		{"prefixes before singles", `m5.large
			pool default secondary, warm 4, floor 21, budget 16
			eni 0: 5 singles; /28`, `wish eni-0 -11.0.0.0/28`},
		{"not what the target of single addresses rests on", `m5.large
			pool default, warm 4, floor 16, budget 16
			eni 0: 4 singles, 4 leased; /28`, ``},
		{"single addresses beside it", `m5.large
			pool default, warm 4, floor 19, budget 16
			eni 0: 7 singles, 4 leased; /28`, `wish eni-0 -3`},
		{"however large an interface is", `m5.4xlarge
			pool default, warm 4, floor 20, budget 16
			eni 0: 8 singles, 4 leased; /28`, `wish eni-0 -11.0.0.0/28`},
		{"as soon as the target allows", `m5.large
			pool default secondary, warm 4, floor 20, budget 16
			eni 0: 8 singles, 4 leased; /28`, `wish eni-0 -11.0.0.0/28`},
		{"the interface with fewest leases", `m5.large
			pool default prefix, warm 4, floor 40, budget 16
			eni 0: /28; /28, 1 leased
			eni 1, young: /28
			eni 2: /28; /28, 3 leased`, `wish eni-1 -11.1.0.0/28`},
		{"a whole interface", `m5.large
			pool default prefix, warm 4, floor 36, budget 16
			eni 0: /28, 10 leased
			eni 1: 2 singles; /28
			eni 2: /28; /28, 3 leased`, `wish eni-1 whole`},
		{"an interface of both families", `m5.large
			pool default auto, dual, warm 4, floor 32, budget 16
			eni 0: /28; /80
			eni 1: /28; /80`, `wish eni-1 whole`},
		{"not while a pod has IPv6 there", `m5.large
			pool default auto, dual, warm 4, floor 32, budget 16
			eni 0: /28; /80
			eni 1: /28; /80, 1 leased`, `wish eni-0 -11.0.0.0/28`},
		{"not what a bridge waits for", `m5.large
			pool default prefix, warm 4, waiting prefix 1, floor 47, budget 16
			eni 0: /28; /28, 1 leased; /28`, ``},
		{"not while a bridge's comes", `m5.large
			pool default prefix, warm 4, waiting prefix 1, floor 31, budget 16
			eni 0: 6 singles; /28, 1 leased; /28, 1 leased`, `assign eni-0 +1/28`},
		{"not what pods of IPv6 alone wait for", `m5.large
			pool default secondary, dual, floor 18, waiting6 1, budget 16
			eni 0: 9 singles; /80, 250 leased, 6 cooling
			eni 1: 9 singles; /80`, `wish eni-1 -9`},
		{"nor a prefix of that", `m5.large
			pool default secondary, dual, waiting6 1, budget 16
			eni 0: 9 singles; /80, 250 leased, 6 cooling; /80`, ``},
		{"an IPv6 prefix too many", `m5.large
			pool default auto, dual, warm 4, budget 16
			eni 0: /28, 1 leased; /80, 1 leased; /80`, `wish eni-0 -fd00:0:0:1::/80`},
		{"the last IPv6 prefix stays", `m5.large, max pods 29
			pool default auto, dual, warm 4, budget 16
			eni 0: /28, 1 leased; /80`, ``},
		{"IPv6 is not wanted any more", `m5.large
			pool default auto, warm 4, budget 16
			eni 0: /28, 1 leased; /80; /80, 1 leased`, `wish eni-0 -fd00::/80`},
		{"but not while IPv4 is missing", `m5.large
			pool default auto, warm 4, budget 16, blocked
			eni 0, blocked: /28, 16 leased; /80`, ``},
		{"IPv4 is not wanted any more", `m5.large
			pool default auto, ipv6, warm 4, budget 16
			eni 0: 5 singles, 1 leased; /80, 1 leased`, `wish eni-0 -4`},
		{"IPv6 alone", `m5.large
			pool default auto, ipv6, warm 4, floor 500, budget 16
			eni 0: /80, 1 leased; /80`, `wish eni-0 -fd00:0:0:1::/80`},
	})
}

func TestPlanGivesBackWhatServesNoPool(t *testing.T) {
	try(t, []scenario{
		{"empty", `m5.large, budget 16
			pool default, warm 4
			eni 0: 4 singles
			eni 1 of gone, not for pods: 5 singles`, `wish eni-1 whole`},
		{"as it empties", `m5.large, budget 16
			pool default, warm 4
			eni 0: 4 singles
			eni 1 of gone, not for pods: 5 singles, 2 leased; /28`, `wish eni-1 -3`},
		{"its prefixes", `m5.large, budget 16
			pool default, warm 4
			eni 0: 4 singles
			eni 1 of gone, not for pods: 2 singles, 2 leased; /28; /80`, `wish eni-1 -11.1.0.0/28`},
		{"the next window", `m5.large, budget 0
			pool default, warm 4
			eni 0: 4 singles
			eni 1 of gone, not for pods: 5 singles`, ``},
		{"a subnet that is the pool's no more", `m5.large
			pool default, warm 4, budget 16
			eni 0: 4 singles
			eni 1, excluded: 5 singles, 2 leased`, `wish eni-1 -3`},
		{"first comes what is missing", `m5.large
			pool default, warm 4, budget 16
			eni 0, excluded: 4 singles
			eni 1, excluded: 5 singles, 2 leased`, `
			create at 2 +4
			wish eni-0 -4`},
		{"the primary of no pool is let alone", `m5.large, budget 16
			pool default, warm 4
			eni 0 of gone, not for pods: 4 singles
			eni 1: 4 singles`, ``},
		{"spent", `m5.large
			pool default, warm 4
			eni 0: 2 singles, 2 leased
			eni 1 of gone, draining, not for pods: 5 singles, 5 fenced`, `
			assign eni-0 +4
			detach eni-1`},
	})
}

func TestPlanEndsWhatIsFenced(t *testing.T) {
	try(t, []scenario{
		{"nothing is assigned beside it", `t3.medium
			pool default, warm 4
			eni 0: 5 singles, 3 leased, 2 fenced`, `
			create at 1 +4
			unassign eni-0 -2`},
		{"nor beside a prefix", `t3.medium
			pool default auto, warm 4
			eni 0: /28, 16 leased; /28, fenced`, `
			create at 1 +1/28
			unassign eni-0 -11.0.0.16/28`},
		{"nor of the other family", `t3.medium
			pool default auto, warm 4
			eni 0: /80, fenced`, `
			create at 1 +1/28
			unassign eni-0 -fd00::/80`},
		{"a call for each kind", `m5.large
			pool default auto, warm 4
			eni 0: 3 singles, 3 fenced; /28; /28, fenced; /28, fenced; /80, fenced; /80`, `
			unassign eni-0 -3
			unassign eni-0 -11.0.0.16/28 -11.0.0.32/28
			unassign eni-0 -fd00::/80`},
		{"given up whole", `t3.medium
			pool default, warm 4
			eni 0: 5 singles
			eni 1, draining: 4 singles, 4 fenced`, `detach eni-1`},
		{"with prefixes", `t3.medium
			pool default auto, warm 4
			eni 0: 5 singles
			eni 1, draining: 1 singles, 1 fenced; /28, fenced; /80, fenced`, `detach eni-1`},
		{"and now missed", `t3.medium
			pool default, warm 4
			eni 0: 5 singles, 5 leased
			eni 1, draining: 4 singles, 4 fenced`, `
			create at 2 +4
			unassign eni-1 -4`},
		{"a prefix of it is not", `t3.medium
			pool default auto, warm 4
			eni 0: 5 singles
			eni 1, draining: 4 singles, 4 fenced; /28, 1 leased`, `unassign eni-1 -4`},
		{"given up in part", `t3.medium
			pool default, warm 4
			eni 0: 5 singles
			eni 1: 4 singles, 2 fenced`, `unassign eni-1 -2`},
		{"empty", `t3.medium
			pool default, warm 4
			eni 0: 5 singles
			eni 1`, `detach eni-1`},
		{"EC2 calls it empty, the node does not", `t3.medium
			pool default, warm 4
			eni 0: 5 singles
			eni 1, unnamed`, ``},
		{"nor while it has pods there", `t3.medium
			pool default, warm 3
			eni 0: 5 singles
			eni 1: 2 lost`, ``},
		{"retired", `t3.medium
			pool default, warm 4
			eni 0: 5 singles
			eni 1, retired`, `delete eni-1`},
	})
}

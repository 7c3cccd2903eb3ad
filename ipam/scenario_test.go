package ipam

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// scenario is a node and what is to be done about it: see read and write.
type scenario struct {
	name string
	node string
	plan string // lines
}

func try(t *testing.T, scenarios []scenario) {
	t.Helper()
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			n, l := read(t, s.node)
			var want []string
			for _, line := range strings.Split(strings.TrimSpace(s.plan), "\n") {
				want = append(want, strings.TrimSpace(line))
			}
			if diff := cmp.Diff(strings.Join(want, "\n"), strings.TrimSpace(write(Plan(n, l)))); diff != "" {
				t.Errorf("%s\n(-want +got):\n%s", s.node, diff)
			}
		})
	}
}

func TestPlanGrowsByAddresses(t *testing.T) {
	try(t, []scenario{
		{"fresh node", `t3.medium
			pool default, warm 4
			eni 0`, `assign eni-0 +4`},
		{"at target", `t3.medium
			pool default, warm 4
			eni 0: 5 singles, 1 leased`, ``},
		{"what a policy of prefixes left serves", `t3.medium
			pool default, warm 4
			eni 0: /28, 1 leased`, ``},
		{"and takes its places", `t3.medium
			pool default, warm 4
			eni 0: 1 singles, 1 leased; /28, 16 leased; /28, 16 leased; /28, 16 leased`, `
			assign eni-0 +1
			create at 1 +3`},
		{"five wait", `t3.medium
			pool default, warm 4, waiting 5
			eni 0: 5 singles, 5 leased`, `
			create at 1 +5
			create at 2 +4`},
		{"silent", `t3.medium, silent
			pool default, warm 4, waiting 5
			eni 0`, ``},
		{"cordoned", `t3.medium
			pool default, warm 4, cordoned
			eni 0`, ``},
		{"cordoned, and one waits", `t3.medium
			pool default, warm 4, cordoned, waiting 1
			eni 0`, `assign eni-0 +1`},
		{"scarce", `t3.medium
			pool default, warm 4, scarce, waiting 1
			eni 0`, `assign eni-0 +1`},
		{"the interface that has room for all", `t3.medium
			pool default, warm 4
			eni 0: 4 singles, 4 leased
			eni 1: 1 singles, 1 leased`, `assign eni-1 +4`},
		{"none has", `t3.medium
			pool default, warm 4
			eni 0: 4 singles, 4 leased
			eni 1: 4 singles, 4 leased`, `
			assign eni-0 +1
			assign eni-1 +1
			create at 2 +2`},
		{"cooling is not free", `t3.medium
			pool default, warm 4
			eni 0: 5 singles, 1 leased, 4 cooling`, `create at 1 +4`},
		{"max pods", `t3.medium, max pods 6
			pool default, warm 4
			eni 0: 5 singles, 5 leased`, `create at 1 +1`},
		{"max pods bounds those who wait", `t3.medium, max pods 6
			pool default, warm 4, waiting 50
			eni 0: 5 singles, 5 leased`, `create at 1 +1`},
		{"maximum", `t3.medium
			pool default, warm 4, maximum 5
			eni 0: 5 singles, 5 leased`, ``},
		{"minimum", `t3.medium
			pool default, minimum 7
			eni 0`, `
			assign eni-0 +5
			create at 1 +2`},
		{"warm interfaces", `t3.medium
			pool default, warm enis 2
			eni 0: 5 singles`, `create at 1 +5`},
		{"max interfaces", `t3.medium
			pool default, warm 9, max enis 2
			eni 0: 5 singles, 5 leased`, `create at 1 +5`},
		{"foreign ones count", `t3.medium
			pool default, warm 9
			eni 0: 5 singles, 5 leased
			eni 1 of x, foreign`, `create at 2 +5`},
		{"places that are taken", `t3.medium
			pool default, warm 4
			eni 0, taken 3: 1 singles, 1 leased`, `
			assign eni-0 +1
			create at 1 +3`},
		{"no room left", `t3.medium
			pool default, warm 4, waiting 9
			eni 0: 5 singles, 5 leased
			eni 1: 5 singles, 5 leased
			eni 2: 5 singles, 5 leased`, ``},
		{"a full subnet", `t3.medium
			pool default, warm 4, blocked
			eni 0, blocked: 3 singles, 3 leased`, ``},
		{"the primary is not for pods", `t3.medium
			pool default, warm 4
			eni 0, not for pods`, `create at 1 +4`},
	})
}

func TestPlanGoesOnWithWhatWasBegun(t *testing.T) {
	try(t, []scenario{
		{"ours is needed", `t3.medium
			pool default, warm 4
			eni 0: 5 singles, 5 leased
			eni 1, ours: 4 singles`, `attach eni-1 at 1`},
		{"its place is taken", `t3.medium
			pool default, warm 4
			eni 0: 5 singles, 5 leased
			eni 1, ours: 4 singles
			eni 1 of x, foreign`, `attach eni-1 at 2`},
		{"ours is not needed", `t3.medium
			pool default, warm 4
			eni 0: 5 singles
			eni 1, ours: 4 singles`, ``},
		{"one of two is", `t3.medium
			pool default, warm 4
			eni 0: 5 singles, 5 leased
			eni 1, ours: 4 singles
			eni 2, ours: 4 singles`, `attach eni-1 at 1`},
		{"a Create without an answer is supply", `t3.medium
			pool default, warm 4
			eni 0: 5 singles, 5 leased
			eni 1, creating: 4 singles`, `create at 1 +4`},
		{"and made with what it was", `t3.medium
			pool default auto, dual, warm 4
			eni 0: /28, 16 leased; /80, 16 leased
			eni 1, creating: /28, coming; /80, coming`, `create at 1 +1/28 +1/80`},
		{"taken away with pods", `t3.medium
			pool default, warm 4
			eni 0: 5 singles
			eni 1, lost: 3 singles, 1 leased`, `attach eni-1 at 1`},
		{"of no pool, and with pods", `t3.medium
			pool default, warm 4
			eni 0: 5 singles
			eni 1 of gone, lost, not for pods: 3 singles, 1 leased`, `attach eni-1 at 1`},
		{"deletion on termination", `t3.medium
			pool default, warm 4
			eni 0, unbound: 5 singles
			eni 1, unbound, young`, `bind eni-1`},
		{"security groups", `t3.medium
			pool default, warm 4
			eni 0, other groups: 5 singles, 3 leased
			eni 1, other groups, unbound: 3 singles, 1 leased`, `
			regroup eni-1 sg-1
			bind eni-1`},
	})
}

func TestPlanGrowsByPrefixes(t *testing.T) {
	try(t, []scenario{
		{"fresh node", `m5.large
			pool default auto, warm 4
			eni 0`, `assign eni-0 +1/28`},
		{"a burst in one call", `m5.4xlarge, max pods 110
			pool default prefix, warm 4, waiting 110
			eni 0`, `assign eni-0 +7/28`},
		{"on its way", `m5.large
			pool default auto, warm 4
			eni 0: /28, coming`, ``},
		{"the primary is full", `t3.small
			pool default auto, warm 4
			eni 0: 1 singles, 1 leased; /28, 16 leased; /28, 16 leased`, `create at 1 +1/28`},
		{"warm prefixes", `m5.large
			pool default prefix, warm prefixes 2
			eni 0: /28, 1 leased`, `assign eni-0 +2/28`},
		{"a warm prefix is its addresses, not a whole one", `m5.large
			pool default prefix, warm prefixes 1
			eni 0: /28, 8 leased; /28, 8 leased`, ``},
		{"minimum", `m5.large
			pool default prefix, minimum 20
			eni 0`, `assign eni-0 +2/28`},
		{"no Nitro: singles", `t2.medium
			pool default auto, warm 4
			eni 0`, `assign eni-0 +4`},
		{"no Nitro: nothing", `t2.medium
			pool default prefix, warm 4, waiting 1
			eni 0`, ``},
		{"a fragmented subnet: singles", `m5.large
			pool default auto, warm 4, fragmented
			eni 0, fragmented`, `assign eni-0 +4`},
		{"only the primary's is fragmented", `m5.large
			pool default auto, warm 20
			eni 0, fragmented: 5 singles, 5 leased`, `
			assign eni-0 +4
			create at 1 +1/28`},
		{"a fragmented subnet: nothing", `m5.large
			pool default prefix, warm 4, fragmented
			eni 0, fragmented`, ``},
		{"a block is free again", `m5.large
			pool default auto, warm 4
			eni 0: 6 singles, 4 leased`, `assign eni-0 +1/28`},
		{"no place for a prefix", `t3.small
			pool default auto, warm 4
			eni 0: 3 singles, 3 leased`, `create at 1 +1/28`},
		{"what a kept prefix has is its bridge's", `m5.large
			pool default auto, warm 4
			eni 0: /28, 3 leased, 13 kept`, `assign eni-0 +1/28`},
		{"maximum in whole prefixes", `m5.large
			pool default prefix, maximum 20, waiting 30
			eni 0`, `assign eni-0 +1/28`},
		{"and the rest in singles", `m5.large
			pool default auto, maximum 20, waiting 30
			eni 0`, `
			assign eni-0 +1/28
			assign eni-0 +4`},
		{"the rest waits for the interface that is made", `m5.large
			pool default auto, maximum 29, waiting 30
			eni 0, not for pods`, `create at 1 +1/28`},
		{"and goes there", `m5.large
			pool default auto, maximum 29, waiting 30
			eni 0, not for pods
			eni 1, ours: /28`, `
			attach eni-1 at 1
			assign eni-1 +8
			create at 2 +5`},
		{"pods wait for a bridge's prefix", `m5.large
			pool default auto, warm 4, waiting prefix 3
			eni 0: /28, 1 leased`, `assign eni-0 +1/28`},
		{"and for addresses", `m5.large
			pool default auto, warm 4, waiting prefix 1, waiting 9
			eni 0: /28, 10 leased`, `assign eni-0 +2/28`},
		{"it is there", `m5.large
			pool default auto, warm 4, waiting prefix 1
			eni 0: /28, 1 leased; /28`, ``},
		{"it is no supply for others", `m5.large
			pool default auto, warm 4, waiting prefix 1
			eni 0: /28`, `assign eni-0 +1/28`},
		{"no prefixes for single addresses", `m5.large
			pool default secondary, warm 4, waiting prefix 1
			eni 0: 4 singles`, ``},
		{"a bridge's prefix of both families", `m5.large
			pool default auto, dual, warm 4, waiting prefix 1
			eni 0: /28, 1 leased; /80, 1 leased`, `
			assign eni-0 +1/28
			assign eni-0 +1/80`},
	})
}

func TestPlanIPv6(t *testing.T) {
	try(t, []scenario{
		{"dual stack", `m5.large
			pool default auto, dual, warm 4
			eni 0`, `
			assign eni-0 +1/28
			assign eni-0 +1/80`},
		{"families change", `m5.large
			pool default secondary, dual, warm 1
			eni 0: 9 singles, 9 leased
			eni 1: 4 singles, 3 leased`, `
			assign eni-0 +1/80
			assign eni-1 +1/80`},
		{"a new interface has both", `m5.large
			pool default secondary, dual, warm 4
			eni 0: 9 singles, 9 leased; /80, 9 leased`, `create at 1 +4 +1/80`},
		{"more than a /80 serves", `r5.24xlarge
			pool default prefix, dual, minimum 300
			eni 0`, `
			assign eni-0 +19/28
			assign eni-0 +2/80`},
		{"but not more than pods", `r5.24xlarge, max pods 110
			pool default prefix, dual, minimum 300
			eni 0: /28; /28; /28; /28; /28; /28; /28; /28; /28; /28; /28; /28; /28; /28; /28; /28; /28; /28; /28`, `
			assign eni-0 +1/80`},
		{"no Nitro", `t2.medium
			pool default auto, dual, warm 4
			eni 0`, `assign eni-0 +4`},
		{"an IPv4 subnet that is full does not matter", `m5.large
			pool default auto, dual, warm 4, blocked
			eni 0, blocked: 4 singles`, `assign eni-0 +1/80`},
		{"an IPv6 that cannot be does not stop IPv4", `m5.large
			pool default auto, dual, warm 4
			eni 0, blocked6`, `assign eni-0 +1/28`},
		{"pods of IPv6 alone, in a pool of both", `m5.large
			pool default secondary, dual, waiting6 2
			eni 0`, `assign eni-0 +1/80`},
		{"max pods", `m5.large, max pods 5
			pool default secondary, dual, waiting 2, waiting6 2
			eni 0: 1 singles, 1 leased; /80, 4 leased`, `assign eni-0 +1`},
		{"which has no interface", `m5.large
			pool default secondary, dual, waiting6 2
			eni 0, not for pods`, `create at 1 +1/80`},
		{"IPv6 alone", `m5.large
			pool default auto, ipv6, warm 4
			eni 0`, `assign eni-0 +1/80`},
		{"IPv6 alone, many", `m5.large
			pool default auto, ipv6, warm 4, waiting6 300
			eni 0: /80, 100 leased`, `assign eni-0 +1/80`},
		{"IPv6 alone, not on the primary", `m5.large
			pool default auto, ipv6, warm 4
			eni 0, not for pods`, `create at 1 +1/80`},
		{"IPv6 alone, enough", `m5.large
			pool default auto, ipv6, warm 4, waiting6 3
			eni 0: /80, 100 leased`, ``},
		{"IPv6 alone, no subnet with IPv6", `m5.large
			pool default auto, ipv6, warm 4, no ipv6
			eni 0, blocked6`, ``},
		{"IPv6 alone, EC2 refuses", `m5.large
			pool default auto, ipv6, warm 4
			eni 0, blocked6
			eni 1, blocked6, young`, ``},
		{"IPv6 alone, another subnet has it", `m5.large
			pool default auto, ipv6, warm 4
			eni 0, blocked6`, `create at 1 +1/80`},
		{"dual stack, no subnet with IPv6", `m5.large
			pool default auto, dual, warm 4, waiting 20, waiting6 2, no ipv6
			eni 0, blocked6: /28; /28`, ``},
		{"dual stack, no more IPv4 and no subnet with IPv6", `t3.small
			pool default secondary, dual, warm 1, no ipv6
			eni 0, blocked6: 3 singles, 3 leased`, `create at 1 +1`},
		{"IPv6 alone, no Nitro", `t2.medium
			pool default auto, ipv6, warm 4, waiting6 3
			eni 0`, ``},
	})
}

package ipam

import "testing"

func TestPlanSharesANode(t *testing.T) {
	try(t, []scenario{
		{"each its own", `m5.large
			pool default, warm 4
			pool blue, warm 2
			eni 0`, `
			assign eni-0 +4
			create at 1 +2 of blue`},
		{"those that pods wait for first", `m5.large
			pool default, warm 4
			pool blue, waiting 1
			eni 0`, `
			create at 1 +1 of blue
			assign eni-0 +4`},
		{"the last place is for those who wait", `m5.large
			pool default, warm 4
			pool blue, waiting 1
			eni 0: 9 singles, 9 leased
			eni 1: 9 singles, 9 leased`, `create at 2 +1 of blue`},
		{"pods are shared", `m5.large, max pods 10
			pool default, warm 4
			pool blue, warm 4, waiting 2
			eni 0: 5 singles, 5 leased
			eni 1 of blue: 1 singles, 1 leased`, `assign eni-1 +4`},
		{"the limit of one", `m5.4xlarge
			pool default, warm 4
			pool blue, warm 40, max enis 2
			eni 0: 4 singles`, `create at 1 +29 of blue`},
		{"what another has is no supply", `m5.large
			pool default, warm 4
			pool blue, warm 4
			eni 0: 4 singles
			eni 1: 9 singles`, `create at 2 +4 of blue`},
		{"modes differ", `m5.large
			pool default prefix, warm 4
			pool blue secondary, warm 4
			eni 0`, `
			assign eni-0 +1/28
			create at 1 +4 of blue`},
		{"one is blocked", `m5.large
			pool default, warm 4, blocked
			pool blue, warm 4
			eni 0, blocked`, `create at 1 +4 of blue`},
	})
}

func TestPlanCards(t *testing.T) {
	try(t, []scenario{
		{"the first card unless told otherwise", `p4d.24xlarge
			pool default, warm 60
			eni 0: 49 singles, 49 leased`, `
			create at 1 +49
			create at 2 +11`},
		{"the pool's cards in their order", `p5en.48xlarge
			pool default, warm 4
			pool fast, warm 200, cards 2 1
			eni 0: 4 singles`, `
			create at 2/1 +49 of fast
			create at 2/2 +49 of fast
			create at 2/3 +49 of fast
			create at 2/4 +49 of fast
			create at 1/1 +4 of fast`},
		{"the limit of a card", `p5en.48xlarge
			pool default, warm 49
			eni 0: 49 singles, 49 leased
			eni 1: 49 singles, 49 leased
			eni 2: 49 singles, 49 leased
			eni 3: 49 singles, 49 leased
			eni 1/1 of x, foreign`, ``},
		{"ours, of a card that is full", `p5en.48xlarge
			pool default, warm 4, cards 1 2
			eni 0, not for pods
			eni 1/1 of x, foreign
			eni 1/2 of x, foreign
			eni 1/3 of x, foreign
			eni 1/4 of x, foreign
			eni 1/5, ours: 4 singles`, `attach eni-1/5 at 2/1`},
		{"a card that the type has not", `m5.large
			pool default, warm 4, cards 1
			eni 0, not for pods`, ``},
	})
}

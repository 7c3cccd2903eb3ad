package ipam

import "testing"

// TestPlanBesideOthers: what others keep a plan from ending stops neither releases nor growth.
func TestPlanBesideOthers(t *testing.T) {
	try(t, []scenario{
		{"fences on an interface that nobody may touch any more", `t3.medium
			pool default, warm 4, floor 14, budget 16
			eni 0, foreign: 2 singles, 2 fenced
			eni 1: 5 singles
			eni 2: 5 singles`, `wish eni-2 whole`},
		{"given up, but for an address of somebody else's", `t3.medium
			pool default, warm 4, floor 4, budget 16
			eni 0: 5 singles
			eni 1, taken 1: 4 singles, 4 fenced`, `unassign eni-1 -4`},
		{"all is given up that is ours", `t3.medium
			pool default, warm 4, floor 4, budget 16
			eni 0: 5 singles
			eni 1, taken 1`, ``},
		{"surplus beside an address of somebody else's", `t3.medium
			pool default, warm 4, floor 13, budget 16
			eni 0: 5 singles
			eni 1: 5 singles, 1 leased
			eni 2, taken 1: 4 singles`, `wish eni-2 -4`},
	})
}

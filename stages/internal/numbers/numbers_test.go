package numbers

import "testing"

func TestGroupsAreDistinctAndComeBack(t *testing.T) {
	seen := map[uint32]string{}
	for n := 0; n <= MaxN; n++ {
		g := LinkGroup(n)
		if got, ok := GroupENI(g); !ok || got != n {
			t.Errorf("GroupENI(LinkGroup(%d)) = %d, %v", n, got, ok)
		}
		if _, _, ok := PodENI(g); ok {
			t.Errorf("group %d of interface %d reads as a pod's", g, n)
		}
		seen[g] = "eni"
		for k := 0; k <= MaxProfile; k++ {
			g := PodLinkGroup(n, k)
			if was, twice := seen[g]; twice {
				t.Errorf("group %d of pods (%d, %d) is taken by %s", g, n, k, was)
			}
			seen[g] = "pod"
			gotN, gotK, ok := PodENI(g)
			if !ok || gotN != n || gotK != k {
				t.Errorf("PodENI(PodLinkGroup(%d, %d)) = %d, %d, %v", n, k, gotN, gotK, ok)
			}
		}
	}
	for _, g := range []uint32{0, 1, ENIGroup - 1, PodGroupMax + 1} {
		if _, ok := GroupENI(g); ok {
			t.Errorf("group %d reads as an interface's", g)
		}
		if _, _, ok := PodENI(g); ok {
			t.Errorf("group %d reads as a pod's", g)
		}
	}
	if PodGroupMax != 8023 || LinkGroup(1) != 6873 || PodLinkGroup(2, 1) != 7130 {
		t.Errorf("groups moved: %d %d %d", PodGroupMax, LinkGroup(1), PodLinkGroup(2, 1))
	}
}

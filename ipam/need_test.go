package ipam

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// TestNeeds has the arithmetic by numbers: what is wanted and what there is.
func TestNeeds(t *testing.T) {
	for _, test := range []struct {
		name, node string
		want       []Need
	}{
		{"leases, those that wait, warm ones", `m5.large
			pool default, warm 4, waiting 2
			eni 0: 5 singles, 3 leased`, []Need{{Want: 9, Supply: 5, Demand: 2}}},
		{"cooling comes on top", `m5.large
			pool default, warm 4
			eni 0: 9 singles, 3 leased, 2 cooling`, []Need{{Want: 9, Supply: 9}}},
		{"fenced is gone", `m5.large
			pool default, warm 4
			eni 0: 9 singles, 3 leased, 2 fenced`, []Need{{Want: 7, Supply: 7}}},
		{"max pods is a ceiling", `m5.large, max pods 5
			pool default, warm 4, waiting 1
			eni 0: 5 singles, 3 leased`, []Need{{Want: 5, Supply: 5, Demand: 1, Ceiling: true}}},
		{"and the maximum", `m5.large
			pool default, warm 4, waiting 3, maximum 5
			eni 0: 5 singles, 3 leased`, []Need{{Want: 5, Supply: 5, Demand: 3, Ceiling: true}}},
		{"cooling included", `m5.large
			pool default, warm 1, maximum 5
			eni 0: 5 singles, 3 leased, 2 cooling`, []Need{{Want: 5, Supply: 5, Ceiling: true}}},
		{"in whole prefixes", `m5.large
			pool default prefix, warm 4, maximum 20
			eni 0: /28, 14 leased`, []Need{{Want: 16, Supply: 16, Ceiling: true}}},
		{"pods of all pools", `m5.large, max pods 10
			pool default, warm 4
			pool blue, warm 4, waiting 2
			eni 0: 5 singles, 5 leased
			eni 1 of blue: 1 singles, 1 leased`, []Need{{Want: 5, Supply: 5, Ceiling: true},
			{Want: 5, Supply: 1, Demand: 2, Ceiling: true}}},
		{"calls under way are supply", `m5.large
			pool default auto, warm 40
			eni 0: /28, coming
			eni 1, creating: 3 singles
			eni 2, ours: 5 singles`, []Need{{Want: 40, Supply: 24}}},
		{"what has no place is none", `t3.medium
			pool default, warm 4
			eni 0: 5 singles, 5 leased
			eni 1, foreign: 5 singles
			eni 2: 5 singles, 5 leased
			eni 3, ours: 5 singles`, []Need{{Want: 14, Supply: 10}}},
		{"IPv6 counts by itself", `m5.large
			pool default, ipv6, warm 4, waiting6 2
			eni 0: 5 singles; /80, 3 leased`, []Need{{Want: 9, Supply: 256, Demand: 2}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			n, l := read(t, test.node)
			if diff := cmp.Diff(test.want, NeedsOf(n, l), cmpopts.IgnoreUnexported(Need{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestRoom(t *testing.T) {
	for _, test := range []struct {
		name, node string
		want       int
	}{
		{"single addresses", `t3.medium
			pool default, maximum 1, blocked
			eni 0, blocked: 2 singles
			eni 1: 1 singles, 1 fenced`, 3 + 4 + 5},
		{"prefixes", `t3.medium
			pool default auto, fragmented
			eni 0, fragmented: 2 singles; /28`, (2 + 5 + 5) * 16},
		{"no prefixes", `t2.medium
			pool default prefix
			eni 0`, 0},
		{"the pool's own limit", `m5.4xlarge
			pool default, max enis 2
			eni 0: 29 singles`, 29},
		{"a network card", `p5en.48xlarge
			pool default, cards 1
			eni 0, not for pods
			eni 1/1: 40 singles`, 9 + 3*49},
		{"IPv6", `t3.medium
			pool default, ipv6
			eni 0: /80`, (4 + 5 + 5) * 256},
	} {
		t.Run(test.name, func(t *testing.T) {
			n, l := read(t, test.node)
			if got := Room(n, 0, l); got != test.want {
				t.Errorf("room for %d, want %d", got, test.want)
			}
		})
	}
}

func TestTarget(t *testing.T) {
	l := types("m5.large")
	for _, test := range []struct {
		name       string
		t          Target
		free, high int
	}{
		{"addresses", Target{Warm: 4}, 4, 13},
		{"interfaces", Target{WarmENIs: 2}, 18, 27},
		{"addresses make interfaces void", Target{Minimum: 4, WarmENIs: 2}, 0, 9},
		{"prefixes", Target{WarmPrefixes: 2, Mode: ModePrefix}, 32, 48},
		{"prefixes make interfaces void", Target{WarmPrefixes: 2, WarmENIs: 2, Mode: ModeAuto}, 32, 48},
		{"prefixes of single addresses are none", Target{WarmPrefixes: 2, Mode: ModeSecondary}, 0, 9},
		{"addresses in prefixes", Target{Warm: 4, Mode: ModeAuto}, 4, 20},
		{"IPv6", Target{Warm: 4, WarmENIs: 2, Families: []Family{IPv6}}, 4, 260},
		{"both families count by IPv4", Target{Warm: 4, Families: []Family{IPv6, IPv4}}, 4, 13},
	} {
		t.Run(test.name, func(t *testing.T) {
			if free, high := test.t.Free(l), test.t.High(l); free != test.free || high != test.high {
				t.Errorf("free %d, high %d; want %d, %d", free, high, test.free, test.high)
			}
		})
	}
}

func TestSlot(t *testing.T) {
	for text, want := range map[string]Slot{"0": {}, "2": {Device: 2}, "1/2": {Card: 1, Device: 2}} {
		if got, err := ParseSlot(text); err != nil || got != want || got.String() != text {
			t.Errorf("%q is %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "/", "1/", "/1", "-1", "256", "1/2/3", "a"} {
		if s, err := ParseSlot(text); err == nil {
			t.Errorf("%q is %v", text, s)
		}
	}
}

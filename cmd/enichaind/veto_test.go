package main

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/imds"
	"github.com/enichain/enichain/ipam/store"
)

func addrs(texts ...string) (all []netip.Addr) {
	for _, text := range texts {
		all = append(all, netip.MustParseAddr(text))
	}
	return all
}

// TestDisagreements: what the metadata service shows of others, and what may not be there any more, is no disagreement.
func TestDisagreements(t *testing.T) {
	n := -1
	supplied := func(eni string, primary string) store.ENI {
		n++
		return store.ENI{N: n, SuppliedENI: ipam.SuppliedENI{ENI: ipam.ENIID(eni), Primary: netip.MustParseAddr(primary)}, Listed: true}
	}
	has := func(eni, text string, state ipam.State) store.Address {
		return store.Address{ENI: ipam.ENIID(eni), Address: netip.MustParseAddr(text), State: state}
	}
	of := func(prefix string, a store.Address) store.Address {
		a.Prefix = netip.MustParsePrefix(prefix)
		return a
	}
	state := store.State{
		ENIs: []store.ENI{supplied("eni-0", "10.0.0.4"), supplied("eni-1", "10.0.0.5"), supplied("eni-2", "10.0.0.6")},
		Addresses: []store.Address{
			has("eni-0", "10.0.0.10", ipam.Leased), has("eni-0", "10.0.0.11", ipam.Fenced), has("eni-0", "10.0.0.12", ipam.Free),
			of("10.0.0.32/28", has("eni-1", "10.0.0.32", ipam.Free)), of("10.0.0.32/28", has("eni-1", "10.0.0.47", ipam.Leased)),
			of("2600::/80", has("eni-1", "2600::1", ipam.Free)), of("2600::/80", has("eni-1", "2600::2", ipam.Free)),
			has("eni-2", "10.0.0.99", ipam.Free),
		},
	}
	shown := []imds.Interface{
		{ENI: "eni-0", Addresses: addrs("10.0.0.4", "10.0.0.10", "10.0.0.77")},
		{ENI: "eni-1", Addresses: addrs("10.0.0.5", "10.0.0.78"), Prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.0.32/28"), netip.MustParsePrefix("10.0.0.64/28")}},
		{ENI: "eni-foreign", Addresses: addrs("10.0.0.7")},
	}
	want := map[odd]bool{
		{addressMissing, "10.0.0.12 on eni-0"}:    true,
		{addressMissing, "2600::/80 on eni-1"}:    true,
		{eniMissing, "eni-2"}:                     true,
		{addressUnknown, "10.0.0.78 on eni-1"}:    true, // 10.0.0.77 is on the primary one, where others may have addresses
		{addressUnknown, "10.0.0.64/28 on eni-1"}: true,
	}
	if diff := cmp.Diff(want, disagreements(state, shown), cmp.AllowUnexported(odd{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestAlarm: a lag is no alarm; what lasts is told once, and its end is.
func TestAlarm(t *testing.T) {
	var v veto
	var said []string
	base := time.Unix(0, 0)
	for minute, what := range []string{"", "a", "a b", "b", "b", "b", "", "c", ""} {
		odds := map[odd]bool{}
		for _, w := range strings.Fields(what) {
			odds[odd{addressMissing, w}] = true
		}
		v.compared(odds, base.Add(time.Duration(minute)*time.Minute), func(kind string, what []string, since time.Time) {
			said = append(said, fmt.Sprintf("%d: %s %v since %s", minute, kind, what, since.Sub(base)))
		})
		if minute == 5 {
			seconds := 0.0
			v.gather(func(name, _ string, value float64, labels ...string) {
				if name == "imds_disagreement_seconds" && labels[1] == addressMissing {
					seconds = value
				}
			})
			if seconds != 180 {
				t.Errorf("the metric tells %g s, want 180", seconds)
			}
		}
	}
	want := []string{"5: address-missing [b] since 2m0s", "6: address-missing [] since 6m0s"}
	if diff := cmp.Diff(want, said); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

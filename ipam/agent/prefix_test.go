package agent

import (
	"encoding/json"
	"net/netip"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/store"
)

// dual is eni(d, addresses) with a /28 and a /80.
func dual(d, addresses int) ipam.SuppliedENI {
	e := eni(d, addresses)
	e.Subnet6 = netip.MustParsePrefix("fd00:" + strconv.Itoa(d) + "::/64")
	e.Prefixes = []netip.Prefix{blocksOf(d)[0], blocksOf(d)[2]}
	return e
}

func want[T any](t *testing.T, what string, want, got T) {
	t.Helper()
	if d := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

// TestPrefixInTheLedger: one entry, before the fence, also over the loss of the pool file and the node's reboot.
func TestPrefixInTheLedger(t *testing.T) {
	for _, tc := range []struct {
		name string
		lose func(*node)
	}{
		{"the pool file is lost", func(n *node) { check(t, os.Remove(n.config.PoolFile)) }},
		{"the pool file is damaged", func(n *node) { check(t, os.WriteFile(n.config.PoolFile, []byte("not a pool file at all"), 0o600)) }},
		{"the node reboots", func(n *node) { check(t, os.Remove(n.config.PoolFile)); n.config.Boot = "boot-2" }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n := newNode(t, 1)
			n.attach(0)
			n.start()
			n.settle()
			n.send(n.supply(dual(0, 1)))
			wish := n.supply(dual(0, 1))
			wish.Release = []ipam.Release{{ENI: "eni-00", Prefix: blocksOf(0)[0]}}
			n.send(wish)
			fenced := []Gone{{ENI: "eni-00", Attachment: "eni-attach-00", Prefix: blocksOf(0)[0]}}
			ledger, _, err := ReadLedger(n.config.LedgerFile)
			check(t, err)
			want(t, "the ledger", fenced, ledger.Fenced)
			want(t, "the stream", []ipam.PrefixSummary{{Prefix: blocksOf(0)[0], Fenced: true}}, n.bus.stream.ENIs[0].Prefixes)

			tc.lose(n)
			n.start()
			n.settle()
			n.send(n.supply(dual(0, 1)))
			want(t, "fenced still, the rest is back", map[ipam.State]int{ipam.Fenced: 16, ipam.Free: 257}, n.states())
			without := dual(0, 1)
			without.Prefixes = without.Prefixes[1:]
			n.send(n.supply(without))
			ledger, _, err = ReadLedger(n.config.LedgerFile)
			check(t, err)
			want(t, "held in the ledger", fenced, ledger.Held)
			want(t, "and not fenced", 0, len(ledger.Fenced))
			n.send(n.supply(dual(0, 1)))
			want(t, "too early", map[ipam.State]int{ipam.Held: 16, ipam.Free: 257}, n.states())
			n.pass(store.HoldDown + 5*time.Second)
			n.send(n.supply(dual(0, 1)))
			want(t, "in time", map[ipam.State]int{ipam.Free: 273}, n.states())
		})
	}
}

// TestPodOfAPrefixThatTheLedgerCallsFenced: the ledger may say more than is true; then the pod keeps its address, and
// the rest of the prefix is held.
func TestPodOfAPrefixThatTheLedgerCallsFenced(t *testing.T) {
	n := newNode(t, 1)
	n.attach(0)
	pod := blocksOf(0)[0].Addr().Next().Next()
	n.kernel.wire("a", pod)
	check(t, WriteLedger(n.config.LedgerFile, Ledger{Instance: testInstance, Boot: n.config.Boot, Inc: "inc-0",
		Fenced: []Gone{{ENI: "eni-00", Attachment: "eni-attach-00", Prefix: blocksOf(0)[0]}}}))
	n.start()
	n.settle()
	n.send(n.supply(dual(0, 0)))
	want(t, "at first", map[ipam.State]int{ipam.Leased: 1, ipam.Free: 256, ipam.Held: 16}, n.states())
	n.pass(store.HoldDown + 5*time.Second)
	n.send(n.supply(dual(0, 0)))
	want(t, "then", map[ipam.State]int{ipam.Leased: 1, ipam.Free: 256 + 15}, n.states())
}

// TestDualLeaseIsRebuilt from the kernel's marks, both addresses as one lease.
func TestDualLeaseIsRebuilt(t *testing.T) {
	n := newNode(t, 1)
	n.attach(0)
	n.start()
	n.settle()
	n.send(n.supply(dual(0, 1)))
	check(t, n.update(func(tx *store.Tx) error {
		r := n.request("a")
		r.Families = []store.Family{store.IPv4, store.IPv6}
		l, err := tx.Lease(n.now, r)
		if err == nil {
			n.kernel.wire("a", l.Addresses[1], l.Addresses[0]) // in no order
		}
		return err
	}))
	before := n.state().Leases[0]
	check(t, os.Remove(n.config.PoolFile))
	check(t, os.Remove(n.config.LedgerFile))
	n.start()
	n.settle()
	n.send(n.supply(dual(0, 1)))
	after := n.state().Leases
	want(t, "leases", 1, len(after))
	want(t, "addresses", before.Addresses, after[0].Addresses)
	want(t, "interface and pool", []string{"eni-00", "default"}, []string{string(after[0].ENIID), after[0].Pool})
}

// TestPublishOccasionsByPool: what one pool crosses is not hidden by another.
func TestPublishOccasionsByPool(t *testing.T) {
	pools := func(high int) []ipam.SuppliedPool {
		return []ipam.SuppliedPool{
			{Name: "default", Families: []ipam.Family{4, 6}, Low: 2, High: 18, Window: time.Minute},
			{Name: "six", Families: []ipam.Family{6}, Low: 255, High: high, Window: 2 * time.Minute}}
	}
	lease := func(n *node, name, pool string, f store.Family) {
		check(t, n.update(func(tx *store.Tx) error {
			r := n.request(name)
			r.Pool, r.Families = pool, []store.Family{f}
			_, err := tx.Lease(n.now, r)
			return err
		}))
	}
	ticket := func(n *node, pool string, prefix bool, f store.Family) {
		check(t, n.update(func(tx *store.Tx) error {
			r := n.request("w")
			r.Pool, r.Prefix, r.Families = pool, prefix, []store.Family{f}
			tx.Ticket(n.now, r, n.now.After(20*time.Second))
			return nil
		}))
	}
	for _, tc := range []struct {
		name string
		do   func(*node)
		want int
	}{
		{"nothing", func(*node) {}, 0},
		{"a lease in the other family", func(n *node) { lease(n, "a", "default", store.IPv6) }, 0},
		{"a pool falls below its low", func(n *node) { lease(n, "a", "six", store.IPv6); lease(n, "b", "six", store.IPv6) }, 1},
		{"a pod waits for IPv6", func(n *node) { ticket(n, "six", false, store.IPv6) }, 1},
		{"a pod waits for a prefix", func(n *node) { ticket(n, "default", true, store.IPv4) }, 1},
		{"a pod waits for a pool that nobody knows", func(n *node) { ticket(n, "gold", false, store.IPv4) }, 1},
		{"floors rise above high, each after its window", func(n *node) { n.pass(3 * time.Minute) }, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n := newNode(t, 1)
			n.attach(0)
			n.attach(1)
			n.start()
			n.settle()
			n.shell.core.options.Heartbeat = time.Hour
			six := dual(1, 0)
			six.Pool, six.Prefixes = "six", six.Prefixes[1:]
			s := n.supply(dual(0, 5), six)
			s.Pools = pools(200)
			n.send(s)
			n.connect(false)
			n.connect(true)
			n.settle()
			before := n.bus.snapshots
			tc.do(n)
			n.settle()
			want(t, "snapshots", tc.want, n.bus.snapshots-before)
		})
	}
}

// TestFloorsByPool: each over its own window, in its leading family.
func TestFloorsByPool(t *testing.T) {
	n := newNode(t, 1)
	n.attach(0)
	n.attach(1)
	n.start()
	n.settle()
	six := dual(1, 0)
	six.Pool = "six"
	s := n.supply(dual(0, 5), six)
	s.Pools = []ipam.SuppliedPool{{Name: "default", Families: []ipam.Family{4, 6}, Window: time.Minute, High: 4},
		{Name: "six", Families: []ipam.Family{6}, Window: 3 * time.Minute, High: 100}}
	n.send(s)
	n.pass(2 * time.Minute)
	want(t, "after two minutes", []ipam.PoolSummary{{Name: "default", Floor: 5 + 16}, {Name: "six"}}, n.shell.core.snapshot().Pools)
	n.pass(2 * time.Minute)
	want(t, "after four", []ipam.PoolSummary{{Name: "default", Floor: 21}, {Name: "six", Floor: 256}}, n.shell.core.snapshot().Pools)
}

// FuzzLedger: whatever stands in the file, it is read back as it would be written, or refused.
func FuzzLedger(f *testing.F) {
	good, err := json.Marshal(Ledger{Instance: testInstance, Boot: "b", Inc: "i", Seq: 3, HoldAll: true,
		Fenced: []Gone{{ENI: "eni-1", Address: netip.MustParseAddr("10.0.0.1")}, {ENI: "eni-1", Prefix: blocksOf(0)[0]}},
		Held:   []Gone{{ENI: "eni-1", Prefix: blocksOf(0)[2]}}})
	check(f, err)
	f.Add(good)
	f.Add([]byte(`{"iid":"i","boot":"b","inc":"c","fenced":[{"eni":"e","prefix":"0.0.0.0/0"}]}`))
	f.Add([]byte(`{"iid":"i","boot":"b","inc":"c","held":[{"eni":"e"}]}`))
	f.Add([]byte(`{"iid":"i","boot":"b","inc":"c"}{}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		l, err := ParseLedger(text)
		if err != nil {
			return
		}
		again, err := json.Marshal(l)
		check(t, err)
		m, err := ParseLedger(again)
		if err != nil || !l.says(m) {
			t.Errorf("%q is read as %+v, and that as %+v (%v)", text, l, m, err)
		}
	})
}

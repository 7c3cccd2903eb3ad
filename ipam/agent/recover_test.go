package agent

import (
	"encoding/base64"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/store"
)

var comparePrefix = cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })

var compareAddr = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// cacheEntry is a cached result as libcni writes it.
func cacheEntry(a ipam.Attachment, netns, list string, addresses ...string) string {
	ips := make([]string, 0, len(addresses))
	for _, s := range addresses {
		ips = append(ips, fmt.Sprintf(`{"address":%q,"interface":1}`, s))
	}
	return fmt.Sprintf(`{"kind":"cniCacheV1","containerId":%q,"config":%q,"ifName":%q,"networkName":%q,"netns":%q,
		"cniArgs":[["K8S_POD_NAMESPACE","shop"],["K8S_POD_NAME","cart"]],"result":{"cniVersion":"1.0.0","ips":[%s]}}`,
		a.Container, base64.StdEncoding.EncodeToString([]byte(list)), a.IfName, a.Network, netns, strings.Join(ips, ","))
}

const poolList = `{"name":"test","plugins":[{"type":"eni-ipam"},{"type":"routed-veth"}]}`

func TestParseCached(t *testing.T) {
	a := attachment("c1")
	for _, tc := range []struct {
		name, text string
		want       cached
		ok         bool
	}{
		{"a stage of its own", cacheEntry(a, "/run/netns/1", poolList, "10.0.0.10/32"),
			cached{Attachment: a, Netns: "/run/netns/1", Pod: "shop/cart", Addresses: []netip.Addr{addr("10.0.0.10")}, FromPool: true}, true},
		{"a delegate", cacheEntry(a, "", `{"name":"x","plugins":[{"type":"ptp","ipam":{"type":"eni-ipam"}}]}`, "10.0.0.10/24", "fd00::10/128"),
			cached{Attachment: a, Pod: "shop/cart", Addresses: []netip.Addr{addr("10.0.0.10"), addr("fd00::10")},
				Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")}, FromPool: true}, true},
		{"a single network", cacheEntry(a, "", `{"type":"eni-ipam"}`), cached{Attachment: a, Pod: "shop/cart", FromPool: true}, true},
		{"another allocator", cacheEntry(a, "", `{"plugins":[{"type":"routed-veth","ipam":{"type":"host-local"}}]}`),
			cached{Attachment: a, Pod: "shop/cart"}, true},
		{"no cache entry", `{"kind":"podman"}`, cached{}, false},
		{"cut short", `{"kind":"cniCacheV1"`, cached{}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, ok := parseCached([]byte(tc.text))
			if ok != tc.ok {
				t.Fatalf("ok %v", ok)
			}
			if diff := cmp.Diff(tc.want, got, compareAddr, comparePrefix); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestRebuild(t *testing.T) {
	a, b, c, d := attachment("a"), attachment("b"), attachment("c"), attachment("d")
	link := func(owner ipam.Attachment, alias string, addrs ...string) PodLink {
		p := PodLink{Name: "eni" + owner.Container, MAC: OwnerMAC(owner), Alias: alias, Up: true}
		for _, s := range addrs {
			p.Addresses = append(p.Addresses, addr(s))
		}
		return p
	}
	fromPool := func(a ipam.Attachment, netns string, addrs ...string) cached {
		c, ok := parseCached([]byte(cacheEntry(a, netns, poolList, addrs...)))
		if !ok {
			t.Fatal("not parsed")
		}
		return c
	}
	other := fromPool(d, "/there")
	other.FromPool = false
	for _, tc := range []struct {
		name  string
		pods  []PodLink
		cache []cached
		other bool // another boot
		want  []store.Lease
	}{
		{name: "nothing"},
		{name: "by the cache", pods: []PodLink{link(a, "", "10.0.0.10")}, cache: []cached{fromPool(a, "/ns/a", "10.0.0.10/32")},
			want: []store.Lease{{Attachment: a, Addresses: []netip.Addr{addr("10.0.0.10")}, Netns: "/ns/a", Pod: "shop/cart"}}},
		{name: "by the alias", pods: []PodLink{link(a, a.String()+" 10.0.0.10", "10.0.0.10", "fd00::10")},
			want: []store.Lease{{Attachment: a, Addresses: []netip.Addr{addr("10.0.0.10"), addr("fd00::10")}}}},
		{name: "an alias that the MAC belies", pods: []PodLink{link(a, b.String(), "10.0.0.10")},
			want: []store.Lease{{Addresses: []netip.Addr{addr("10.0.0.10")}}}},
		{name: "a route without a link of ours", pods: []PodLink{{Addresses: []netip.Addr{addr("10.0.0.10"), addr("10.0.0.11")}}},
			want: []store.Lease{{Addresses: []netip.Addr{addr("10.0.0.10")}}, {Addresses: []netip.Addr{addr("10.0.0.11")}}}},
		{name: "two links of one owner", pods: []PodLink{link(a, a.String(), "10.0.0.10"), link(a, a.String(), "10.0.0.11")},
			want: []store.Lease{{Attachment: a, Addresses: []netip.Addr{addr("10.0.0.10")}}, {Addresses: []netip.Addr{addr("10.0.0.11")}}}},
		{name: "a severed link", pods: []PodLink{link(a, a.String())}},
		{name: "another allocator's address", pods: []PodLink{link(d, d.String(), "192.168.1.5")}, cache: []cached{other}},
		{name: "wired by another plugin", cache: []cached{fromPool(b, "/there", "10.0.0.11/24"), fromPool(c, "/gone", "10.0.0.12/24")},
			want: []store.Lease{{Attachment: b, Addresses: []netip.Addr{addr("10.0.0.11")}, Netns: "/there", Pod: "shop/cart",
				Prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")}}}},
		{name: "a cache from before the reboot", cache: []cached{fromPool(b, "/there", "10.0.0.11/24")}, other: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := rebuild(View{Pods: tc.pods}, tc.cache, !tc.other, func(path string) bool { return path == "/there" })
			if diff := cmp.Diff(tc.want, got, compareAddr, comparePrefix, cmpopts.IgnoreFields(store.Lease{}, "ENI")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestPoolFileLost: three pods live, one of them known only by its link, one route has no owner at all.
func TestPoolFileLost(t *testing.T) {
	for _, tc := range []struct {
		name string
		lose func(t *testing.T, path string)
	}{
		{"removed", func(t *testing.T, path string) { check(t, os.Remove(path)) }},
		{"emptied", func(t *testing.T, path string) { check(t, os.Truncate(path, 0)) }},
		{"cut short", func(t *testing.T, path string) { check(t, os.Truncate(path, 5000)) }},
		{"overwritten", func(t *testing.T, path string) { check(t, os.WriteFile(path, make([]byte, 32768), 0o600)) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n := ready(t)
			for _, name := range []string{"a", "b"} {
				got, err := n.add(name)
				check(t, err)
				n.kernel.wire(name, got)
			}
			n.kernel.pods = append(n.kernel.pods, PodLink{Addresses: []netip.Addr{addr("10.0.0.14")}})
			check(t, os.MkdirAll(n.config.CacheDir, 0o755))
			check(t, os.WriteFile(filepath.Join(n.config.CacheDir, "test-a-eth0"),
				[]byte(cacheEntry(attachment("a"), "/proc/self/ns/net", poolList, "10.0.0.10/32")), 0o600))
			tc.lose(t, n.config.PoolFile)
			n.step(Input{Bell: true})
			n.settle()
			if got := n.state().Meta.Inc; got != "inc-2" {
				t.Fatalf("inc %s, want a new one", got)
			}
			if _, err := n.add("new"); err == nil {
				t.Error("an address was leasable before the reconciler had spoken")
			}
			n.send(n.supply(eni(0, 5)))
			leases := map[string]string{}
			for _, l := range n.state().Leases {
				leases[l.Attachment.String()] = l.Addresses[0].String()
			}
			want := map[string]string{"test/a/eth0": "10.0.0.10", "test/b/eth0": "10.0.0.11", "#unknown/10.0.0.14/-": "10.0.0.14"}
			if diff := cmp.Diff(want, leases); diff != "" {
				t.Errorf("leases (-want +got):\n%s", diff)
			}
			n.kernel.pods = n.kernel.pods[:2]
			n.pass(time.Minute)
			if _, unknown := leaseOf(n.state(), store.UnknownAttachment(addr("10.0.0.14"))); unknown {
				t.Error("the address without an owner is leased although nothing routes it any more")
			}
		})
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func leaseOf(s store.State, a ipam.Attachment) (store.Lease, bool) {
	for _, l := range s.Leases {
		if l.Attachment == a {
			return l, true
		}
	}
	return store.Lease{}, false
}

// TestStartKnowing is what a new agent makes of a ledger without a pool file.
func TestStartKnowing(t *testing.T) {
	life := Gone{ENI: "eni-00", Attachment: "eni-attach-00", Address: addr("10.0.0.10")}
	held := Gone{ENI: "eni-00", Attachment: "eni-attach-00", Address: addr("10.0.0.11")}
	old := Ledger{Instance: testInstance, Boot: "boot-1", Inc: "inc-0", Seq: 77, Seen: ipam.Seen{Epoch: 4, Rev: 9}, Gen: 3,
		Fenced: []Gone{life}, Held: []Gone{held}}
	for _, tc := range []struct {
		name   string
		ledger func(Ledger) (Ledger, bool)
		first  bool
		want   map[ipam.State]int // after a supply of four addresses
		seen   ipam.Seen          // before it
	}{
		{"same boot", func(l Ledger) (Ledger, bool) { return l, true }, false,
			map[ipam.State]int{ipam.Free: 2, ipam.Fenced: 1, ipam.Held: 1}, old.Seen},
		{"another boot", func(l Ledger) (Ledger, bool) { l.Boot = "boot-0"; return l, true }, false,
			map[ipam.State]int{ipam.Free: 2, ipam.Fenced: 1, ipam.Held: 1}, old.Seen},
		{"a cloned disk", func(l Ledger) (Ledger, bool) { l.Instance = "i-other"; return l, true }, true,
			map[ipam.State]int{ipam.Free: 4}, ipam.Seen{}},
		{"a cloned disk, and the reconciler knows an earlier inc", func(l Ledger) (Ledger, bool) { l.Instance = "i-other"; return l, true }, false,
			map[ipam.State]int{ipam.Held: 4}, ipam.Seen{}},
		{"no ledger, a new instance", func(Ledger) (Ledger, bool) { return Ledger{}, false }, true,
			map[ipam.State]int{ipam.Free: 4}, ipam.Seen{}},
		{"no ledger, an old instance", func(Ledger) (Ledger, bool) { return Ledger{}, false }, false,
			map[ipam.State]int{ipam.Held: 4}, ipam.Seen{}},
		{"held before anybody said on which interface", func(l Ledger) (Ledger, bool) { l.Held = []Gone{{Address: held.Address}}; return l, true }, false,
			map[ipam.State]int{ipam.Free: 2, ipam.Fenced: 1, ipam.Held: 1}, old.Seen},
		{"a ledger of a file that was held whole", func(l Ledger) (Ledger, bool) { l.HoldAll = true; return l, true }, false,
			map[ipam.State]int{ipam.Fenced: 1, ipam.Held: 3}, old.Seen},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n := newNode(t, 1)
			if l, there := tc.ledger(old); there {
				check(t, WriteLedger(n.config.LedgerFile, l))
			}
			n.attach(0)
			n.start()
			n.settle()
			if got := n.state().Meta.Seen; got != tc.seen {
				t.Errorf("seen %+v, want %+v", got, tc.seen)
			}
			s := n.supply(eni(0, 4))
			s.Epoch, s.First = 5, tc.first
			n.send(s)
			if diff := cmp.Diff(tc.want, n.states()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			n.settle()
			l, found, err := ReadLedger(n.config.LedgerFile)
			check(t, err)
			if !found || l.Instance != testInstance || l.Inc != "inc-1" {
				t.Errorf("ledger on disk: %+v", l)
			}
		})
	}
}

func TestOtherBootEndsLeases(t *testing.T) {
	n := ready(t)
	n.mustAdd("a")
	n.config.Boot = "boot-2"
	n.start()
	n.settle()
	if got := n.state(); len(got.Leases) != 0 || got.Meta.Boot != "boot-2" || got.Meta.Inc != "inc-2" {
		t.Errorf("leases %v, boot %s, inc %s", got.Leases, got.Meta.Boot, got.Meta.Inc)
	}
}

func TestOtherInstanceTakesNothingOver(t *testing.T) {
	n := ready(t)
	n.mustAdd("a")
	n.config.Instance = "i-0fedcba9876543210"
	n.start()
	n.settle()
	if got := n.state(); got.Meta.Instance != n.config.Instance || len(got.Addresses) != 0 || got.Meta.Seen != (ipam.Seen{}) {
		t.Errorf("state %+v", got)
	}
}

func TestRestartTakesTheFileAsItIs(t *testing.T) {
	n := ready(t)
	n.mustAdd("a")
	before := n.bus.verbs()[ipam.ENIAttached]
	n.start()
	n.settle()
	s := n.state()
	if s.Meta.Inc != "inc-1" || len(s.Leases) != 1 {
		t.Errorf("inc %s, leases %v", s.Meta.Inc, s.Leases)
	}
	if got := n.bus.verbs()[ipam.ENIAttached]; got != before {
		t.Errorf("%d events eni.attached, %d before: an old ENI is no news", got, before)
	}
}

func TestNoPoolWithoutALookIntoTheKernel(t *testing.T) {
	n := newNode(t, 1)
	n.kernel.fails = os.ErrPermission
	check(t, n.config.fill())
	st, _, err := n.config.openPool(t.Context(), func(_, format string, args ...any) { t.Logf(format, args...) })
	if err == nil || st != nil {
		t.Fatalf("opened %v, error %v", st, err)
	}
	if exists(n.config.PoolFile) {
		t.Error("a pool file was made")
	}
}

func TestLedgerRefuses(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"nonsense", "{", "cannot read ledger"},
		{"a member of another version", `{"iid":"i-1","boot":"b","inc":"x","frozen":[]}`, "frozen"},
		{"half", `{"iid":"i-1"}`, "must all be there"},
		{"two", `{"iid":"i-1","boot":"b","inc":"x"} {}`, "follows its end"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "ledger")
			check(t, os.WriteFile(path, []byte(tc.text), 0o600))
			if _, _, err := ReadLedger(path); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want %q in it", err, tc.want)
			}
		})
	}
}

// TestUnreadableLedgerHoldsEverything: what was fenced is not known, so nothing is believed.
func TestUnreadableLedgerHoldsEverything(t *testing.T) {
	n := newNode(t, 1)
	check(t, os.MkdirAll(filepath.Dir(n.config.LedgerFile), 0o755))
	check(t, os.WriteFile(n.config.LedgerFile, []byte("{"), 0o600))
	n.attach(0)
	n.start()
	n.settle()
	s := n.supply(eni(0, 4))
	s.First = false
	n.send(s)
	if diff := cmp.Diff(map[ipam.State]int{ipam.Held: 4}, n.states()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

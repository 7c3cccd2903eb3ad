package main

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/reconcile"
	"github.com/enichain/enichain/ipam/store"
	"github.com/enichain/enichain/ipam/store/storetest"
)

// teams is a node with three pools: single addresses; prefixes of both families on a second network card; and one that
// has no interface, cannot grow, and is waited for.
func teams(t *testing.T) *node {
	t.Helper()
	fast := storetest.ENI(1, 2)
	fast.Pool, fast.Card = "payments", 1
	fast.Subnet6, fast.Primary6 = netip.MustParsePrefix("2001:db8:110:b::/64"), netip.MustParseAddr("2001:db8:110:b::5")
	for _, p := range []string{"10.110.11.32/28", "10.110.11.48/28", "2001:db8:110:b:1::/80"} {
		fast.Prefixes = append(fast.Prefixes, netip.MustParsePrefix(p))
	}
	n := newNode(t, storetest.ENI(0, 3), fast)
	day := time.Date(2026, 11, 20, 13, 58, 0, 0, time.UTC)
	n.tell([]ipam.SuppliedPool{
		{Name: "payments", Families: []ipam.Family{ipam.IPv4, ipam.IPv6}, Cooldown: time.Minute, Low: 16, High: 32},
		{Name: "gpu", Families: []ipam.Family{ipam.IPv4}, Low: 1, High: 17,
			Why: &ipam.Why{Code: ipam.WhyNoPrefixes, Text: "t2.micro has no prefixes", Since: day}},
	}, nil)
	n.pod("default/web")
	for _, name := range []string{"shop/cart", "shop/till"} {
		n.podOf("payments", name)
	}
	n.Do(func(tx *store.Tx) error {
		r := storetest.Request("late-373b7e98b5a1")
		r.Pool, r.Pod = "gpu", "lab/train"
		tx.Ticket(n.Now, r, n.Now.After(time.Minute))
		return nil
	})
	n.Pass(5 * time.Second)
	return n
}

// podOf is pod with an address of each family of another pool.
func (n *node) podOf(pool, name string) {
	n.T.Helper()
	r := storetest.Request(strings.ReplaceAll(name, "/", "-") + "-373b7e98b5a1")
	r.Pod, r.Pool, r.Families = name, pool, []store.Family{store.IPv4, store.IPv6}
	n.Lease(r)
}

func TestSeveralPools(t *testing.T) {
	n := teams(t)
	gpu := `
gpu      0 addresses: 0 leased  0 warm  0 cooling
  no network interface yet
  waiting lab/train for 5s
  why    t2.micro has no prefixes (NoPrefixes)
■ leased  □ warm  ◌ cooling  ▨ fenced  × held  ◦ not ready yet  ? lost  P primary (never a pod's)`
	n.golden(exitOK, `
default  3 addresses: 1 leased  2 warm  0 cooling
  eth0   P■□□  10.110.10.0/24
payments 34 addresses: 2 leased  32 warm  0 cooling
         IPv6: 256 addresses: 2 leased  254 warm  0 cooling
  eth1   P■■  10.110.11.0/24
         [□□□□□□□□□□□□□□□□]  10.110.11.32/28
         [□□□□□□□□□□□□□□□□]  10.110.11.48/28
         [■ 2  □ 254]  2001:db8:110:b:1::/80`+gpu+"  [ ] a delegated prefix", "pool")
	n.golden(exitOK, gpu, "pool", "--name", "gpu")
	n.golden(exitWrong, `
enichainctl: no pool "batch" on this node
there are: default, payments, gpu`, "enis", "--name", "batch")
	n.golden(exitWrong, `
node    node-1  i-0a1b2c3d  m5.large    enichaind never ran on this node
pool    default: 3 addresses: 1 leased  2 warm  0 cooling    target 2 warm
pool    payments: 34 addresses: 2 leased  32 warm  0 cooling    target 16 warm
pool    payments: IPv6: 256 addresses: 2 leased  254 warm  0 cooling
pool    gpu: 0 addresses: 0 leased  0 warm  0 cooling    target 1 warm
wait    1 pod without an address, the longest for 5s
chain   not known without enichaind
kernel  as it should be: 2 interfaces, 1 route to pods
last    13:58:00 gpu: t2.micro has no prefixes (NoPrefixes)
WRONG   enichaind never ran on this node
WRONG   the next pod of pool gpu has to wait for an address: t2.micro has no prefixes`, "status")
	n.golden(exitOK, `
ENI     LINK  #  CARD  POOL      SUBNET                        ADDRESSES  LEASED  WARM  IPV6 LEASED  PREFIXES          MARK  SEEN BY
eni-00  eth0  0  0     default   10.110.10.0/24 (subnet-0b7c)  3          1       2     0            -                 -     supply kernel
eni-01  eth1  1  1     payments  10.110.11.0/24 (subnet-0b7c)  34         2       32    2            2 × /28, 1 × /80  0x1   supply kernel`, "enis")
	n.golden(exitOK, `
ADDRESS              ENI   NETWORK   CONTAINER               IFNAME  AGE  POD        NETNS
10.110.11.10         eth1  enichain  shop-cart-373b7e98b5a1  eth0    5s   shop/cart  /run/netns/shop-cart-373b7e98b5a1
10.110.11.11         eth1  enichain  shop-till-373b7e98b5a1  eth0    5s   shop/till  /run/netns/shop-till-373b7e98b5a1
2001:db8:110:b:1::   eth1  enichain  shop-cart-373b7e98b5a1  eth0    5s   shop/cart  /run/netns/shop-cart-373b7e98b5a1
2001:db8:110:b:1::2  eth1  enichain  shop-till-373b7e98b5a1  eth0    5s   shop/till  /run/netns/shop-till-373b7e98b5a1`, "leases", "--name", "payments")
	n.alive()
	n.golden(exitWrong, `
lab/train: has waited 5s for an address of pool gpu

  14:00:00  pod.waiting

because   the pool holds 0 addresses: 0 leased  0 warm  0 cooling; t2.micro has no prefixes since 13:58:00
do        use a Nitro instance type, or mode: auto or secondary; IPv6 needs Nitro`, "why", "lab/train")
	text, _ := n.run("status", "--format", "json")
	var v nodeStatus
	if err := json.Unmarshal([]byte(text), &v); err != nil || len(v.Pools) != 3 || v.Pools[1].IPv6.Leased != 2 || v.Pools[2].Waiting != 1 {
		t.Errorf("%v %s", err, text)
	}
	if text, _ := n.run("__complete", "pool", "--name", ""); !strings.Contains(text, "default\npayments\ngpu\n") {
		t.Error(text)
	}
}

// TestPrefixesAsBlocks: what is wholly warm shares a row when it is much; what is given up or held is told apart.
func TestPrefixesAsBlocks(t *testing.T) {
	e := storetest.ENI(0, 0)
	for i := range 6 {
		e.Prefixes = append(e.Prefixes, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 110, 10, byte(32 + 16*i)}), 28))
	}
	n := newNode(t, e)
	n.pod("default/web")
	wish := ipam.Release{ENI: e.ENI, Prefix: e.Prefixes[5]}
	n.Do(func(tx *store.Tx) error {
		chosen, err := tx.Choose(n.Now, wish)
		if err == nil {
			_, err = tx.Fence(n.Now, wish, chosen)
		}
		return err
	})
	n.golden(exitOK, `
default  96 addresses: 1 leased  79 warm  0 cooling  16 fenced
  eth0   P  10.110.10.0/24
         [■□□□□□□□□□□□□□□□]  10.110.10.32/28
         [□□□□□□□□□□□□□□□□]  10.110.10.48/28
         [□□□□□□□□□□□□□□□□]  10.110.10.64/28
         [□□□□□□□□□□□□□□□□]  10.110.10.80/28
         [□□□□□□□□□□□□□□□□]  10.110.10.96/28
         [▨▨▨▨▨▨▨▨▨▨▨▨▨▨▨▨]  10.110.10.112/28
■ leased  □ warm  ◌ cooling  ▨ fenced  × held  ◦ not ready yet  ? lost  P primary (never a pod's)  [ ] a delegated prefix`, "pool")
	gone := e
	gone.Prefixes = e.Prefixes[:5]
	n.Give(gone)
	n.golden(exitOK, `
default  80 addresses: 1 leased  79 warm  0 cooling  16 held
  eth0   P  10.110.10.0/24
         [■□□□□□□□□□□□□□□□]  10.110.10.32/28
         [□□□□□□□□□□□□□□□□]  10.110.10.48/28
         [□□□□□□□□□□□□□□□□]  10.110.10.64/28
         [□□□□□□□□□□□□□□□□]  10.110.10.80/28
         [□□□□□□□□□□□□□□□□]  10.110.10.96/28
         [× 16]  10.110.10.112/28
■ leased  □ warm  ◌ cooling  ▨ fenced  × held  ◦ not ready yet  ? lost  P primary (never a pod's)  [ ] a delegated prefix`, "pool")
	many := e
	many.Prefixes = append(e.Prefixes[:5:5], netip.MustParsePrefix("10.110.10.192/28"))
	n.Give(many)
	if text, _ := n.run("pool"); !strings.Contains(text, "         [□] × 5 more prefixes, all warm\n") {
		t.Error(text)
	}
	if text, code := n.run("leases", "--state", "held"); code != exitOK || !strings.Contains(text, "10.110.10.112/28  eth0  held") {
		t.Errorf("exit %d\n%s", code, text)
	}
}

// TestCure: every reason of ours not to grow has advice of its own.
func TestCure(t *testing.T) {
	for _, code := range []string{ipam.WhyInstanceLimit, ipam.WhyPoolLimit, ipam.WhyNoPrefixes, ipam.WhyFragmented, reconcile.WhyNoSubnet,
		reconcile.WhyNoGroup, reconcile.WhyNoPool, reconcile.WhyNoIPv6, reconcile.WhyTakenAway,
		reconcile.WhyEnding, reconcile.WhyNoLimits, "InsufficientCidrBlocks",
		"InsufficientFreeAddressesInSubnet", "UnauthorizedOperation", "RequestLimitExceeded"} {
		if got := cure(code); got == cure("anything else") {
			t.Errorf("%s: %s", code, got)
		}
	}
}

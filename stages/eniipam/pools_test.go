package eniipam_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/store/storetest"
)

// eni6 is interface n with a /80 of its own, and with count IPv4 addresses.
func eni6(n, count int) ipam.SuppliedENI {
	e := storetest.ENI(n, count)
	e.Subnet6, e.Primary6 = netip.MustParsePrefix("fd00:10::/64"), netip.MustParseAddr("fd00:10::5")
	e.Prefixes = []netip.Prefix{netip.MustParsePrefix("fd00:10:0:0:a::/80")}
	return e
}

func pool(name string, families ...ipam.Family) ipam.SuppliedPool {
	return ipam.SuppliedPool{Name: name, Families: families}
}

// TestFamilies: what a pool never has is an error at once, or left out where the list allows it.
func TestFamilies(t *testing.T) {
	both, six := `,"families":["ipv4","ipv6"]`, `,"families":["ipv6"]`
	may := both + `,"optional":["ipv6"]`
	ip4 := `"ips":[{"interface":0,"address":"10.110.10.10/32","gateway":"169.254.1.1"}]`
	dual := `"address":"10.110.10.10/32","gateway":"169.254.1.1"},{"interface":0,"address":"fd00:10:0:0:a::/128","gateway":"fe80::1"}]`
	for _, tc := range []struct {
		name, conf, want string
		pool             ipam.SuppliedPool
		eni              ipam.SuppliedENI
	}{
		{"IPv4 of a pool of both", "", ip4, pool("default", 4, 6), eni6(0, 1)},
		{"IPv6 of a pool of both", six, `"ips":[{"interface":0,"address":"fd00:10:0:0:a::/128","gateway":"fe80::1"}]`, pool("default", 4, 6), eni6(0, 1)},
		{"both", both, dual, pool("default", 4, 6), eni6(0, 1)},
		{"IPv6 of a pool of IPv6 alone", six, `"routes":[{"dst":"::/0"}]`, pool("default", 6), eni6(0, 0)},
		{"IPv4 of a pool of IPv6 alone", "", `CONFIG no address for enichain/c/eth0: families: it asks for "ipv4", and pool "default" has ["ipv6"] alone; ` +
			`say families: ["ipv6"] here, or give the pool families ["ipv4", "ipv6"] in enichaind's configuration`, pool("default", 6), eni6(0, 0)},
		{"both of a pool of IPv4 alone", both, `CONFIG no address for enichain/c/eth0: families: it asks for "ipv6", and pool "default" has ["ipv4"] alone; ` +
			`say families: ["ipv4"], or optional: ["ipv6"] here, or give the pool families ["ipv4", "ipv6"] in enichaind's configuration`, pool("default", 4), storetest.ENI(0, 1)},
		{"may go without: no such family", may, ip4, pool("default", 4), storetest.ENI(0, 1)},
		{"may go without: none there now", may, ip4, pool("default", 4, 6), storetest.ENI(0, 1)},
		{"may go without: there is one", may, dual, pool("default", 4, 6), eni6(0, 1)},
		{"must have: none there now", both + `,"wait":"0s"`, "POOL_EMPTY no address for enichain/c/eth0: 0 of 0 IPv6 addresses leased", pool("default", 4, 6), storetest.ENI(0, 1)},
		{"IPv4 of it is gone", both + `,"wait":"0s"`, "POOL_EMPTY no address for enichain/c/eth0: 0 of 0 leased", pool("default", 4, 6), eni6(0, 0)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n := newNode(t)
			n.Supply.Pools = []ipam.SuppliedPool{tc.pool}
			n.Give(tc.eni)
			if strings.HasPrefix(tc.want, "CONFIG") || strings.HasPrefix(tc.want, "POOL") {
				_, msg := n.refused("ADD", "c", n.conf(tc.conf))
				if !strings.HasPrefix(msg, tc.want) {
					t.Errorf("got  %s\nwant %s", msg, tc.want)
				}
				want(t, "nothing was taken", nil, n.leases())
				return
			}
			out := n.must("ADD", "c", n.conf(tc.conf))
			if !strings.Contains(out, tc.want) {
				t.Errorf("got  %s\nwant %s", out, tc.want)
			}
			want(t, "the same attachment again", out, n.must("ADD", "c", n.conf(tc.conf)))
		})
	}
}

// TestLeaseSurvivesItsFamily: a pool that loses a family keeps the leases of it.
func TestLeaseSurvivesItsFamily(t *testing.T) {
	n := newNode(t)
	n.Supply.Pools = []ipam.SuppliedPool{pool("default", 4, 6)}
	n.Give(eni6(0, 1))
	conf := n.conf(`,"families":["ipv4","ipv6"]`)
	out := n.must("ADD", "c", conf)
	n.Supply.Pools = []ipam.SuppliedPool{pool("default", 4)}
	n.Give(eni6(0, 1))
	want(t, "again", out, n.must("ADD", "c", conf))
	n.refused("ADD", "d", conf)
	n.must("DEL", "c", conf)
	want(t, "leases", nil, n.leases())
}

// TestPools are the errors of several pools on a node.
func TestPools(t *testing.T) {
	n := newNode(t)
	full := pool("payments", 4)
	full.Why = &ipam.Why{Code: "InsufficientFreeAddressesInSubnet", Text: "subnet-p has 0 free addresses"}
	n.Supply.Pools = []ipam.SuppliedPool{pool("default", 4), full, pool("batch", 4)}
	n.Give(storetest.ENI(0, 1))
	n.agentLives(0)
	for _, tc := range []struct{ name, conf, want string }{
		{"unknown", n.conf(`,"wait":"0s","pool":"gold"`), `in pool "gold"; pool "gold" is not here: this node has pools default, payments and batch; name one of those`},
		{"no interface yet", n.conf(`,"wait":"0s","pool":"batch"`), `in pool "batch"; pool "batch" has no network interface on this node yet; the reconciler was asked for one`},
		{"its own why", n.conf(`,"wait":"0s","pool":"payments"`), `in pool "payments"; subnet-p has 0 free addresses`},
		{"ptp of another pool than the primary's", n.delegated("ptp", `,"pool":"batch"`),
			`ptp needs the primary network interface, and that is of pool "default", not "batch"; say "pool": "default", or use routed-veth`},
	} {
		if _, msg := n.refused("ADD", "c", tc.conf); !strings.Contains(msg, tc.want) {
			t.Errorf("%s:\ngot  %s\nwant %s", tc.name, msg, tc.want)
		}
	}
	closed := storetest.ENI(0, 1)
	closed.PodsOK = false
	n.Give(closed)
	if _, msg := n.refused("ADD", "c", n.delegated("ptp", "")); !strings.Contains(msg, `pool "default" has usePrimary: false; change that`) {
		t.Error(msg)
	}
	n.Supply.Pools = n.Supply.Pools[:1]
	n.Give(storetest.ENI(0, 0))
	if _, msg := n.refused("ADD", "c", n.conf(`,"wait":"0s"`)); strings.Contains(msg, "subnet-p") {
		t.Errorf("another pool's why: %s", msg)
	}
}

// TestStatusOfPools: ready is a list whose own pool can serve, whatever other pools do.
func TestStatusOfPools(t *testing.T) {
	n := newNode(t)
	other := storetest.ENI(1, 1)
	other.Pool = "other"
	n.Supply.Pools = []ipam.SuppliedPool{pool("default", 4), pool("other", 4)}
	n.Give(storetest.ENI(0, 0), other)
	if code, msg := n.refused("STATUS", "", n.conf("")); code != 50 || !strings.Contains(msg, "no address was ever leasable") {
		t.Errorf("%d %s", code, msg)
	}
	n.must("STATUS", "", n.conf(`,"pool":"other"`))
	n.must("STATUS", "", n.conf(`,"pool":"not-on-this-node","select":[{"namespace":"x","pool":"other"}]`))
	if _, msg := n.refused("STATUS", "", n.conf(`,"pool":"not-on-this-node"`)); !strings.Contains(msg, `no address in pool "not-on-this-node"`) {
		t.Error(msg)
	}
	n.refused("STATUS", "", n.conf(`,"select":[{"namespace":"x","pool":"other"}]`))
	n.Give(storetest.ENI(0, 1), other)
	n.must("STATUS", "", n.conf(`,"select":[{"namespace":"x","pool":"none"}]`))
}

// TestGatewaysOfBothFamilies: each has one of its own, taken by the first who needs it.
func TestGatewaysOfBothFamilies(t *testing.T) {
	n := newNode(t)
	n.Give(eni6(0, 4))
	four, both := n.delegated("ptp", ""), n.delegated("ptp", `,"families":["ipv4","ipv6"]`)
	n.must("ADD", "a", four)
	out := n.must("ADD", "b", both)
	want(t, "addresses", true, strings.Contains(out, `"ips":[{"address":"10.110.10.12/24","gateway":"10.110.10.10"},`+
		`{"address":"fd00:10::a:0:0:2/64","gateway":"fd00:10:0:0:a::"}]`))
	for _, l := range n.State().Leases {
		if l.Network == "#gateway" {
			want(t, "gateways", 2, len(l.Addresses))
		}
	}
	n.must("DEL", "b", both)
	n.must("DEL", "a", four)
	want(t, "leases", nil, n.leases())
}

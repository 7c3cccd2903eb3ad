package routedveth_test

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"github.com/enichain/enichain/stages/internal/linktest"
	"github.com/enichain/enichain/stages/routedveth"
)

const (
	rules1 = `
500: from all lookup 1000 proto 233
1499: from 10.0.1.20 lookup 1001 proto 233
1500: from all fwmark 0x1/0x7f lookup 1001 proto 233
32766: from all lookup main
32767: from all lookup default`
	rules0 = `
500: from all lookup 1000 proto 233
32766: from all lookup main
32767: from all lookup default`
	table1 = `
table inet enichain-routed-veth {
	map eni-by-link {
		type devgroup : verdict
		size 1152
		elements = { 6873 : jump eni-1,
			     7000 : jump pods-0,
			     7001 : jump pods-1,
			     7128 : jump pods-0,
			     7129 : jump pods-1,
			     7256 : jump pods-0,
			     7257 : jump pods-1,
			     7384 : jump pods-0,
			     7385 : jump pods-1,
			     7512 : jump pods-0,
			     7513 : jump pods-1,
			     7640 : jump pods-0,
			     7641 : jump pods-1,
			     7768 : jump pods-0,
			     7769 : jump pods-1,
			     7896 : jump pods-0,
			     7897 : jump pods-1 }
	}

	map eni-by-address {
		type ipv4_addr : verdict
		elements = { 10.0.1.20 : jump eni-1 }
	}

	map eni-by-address-6 {
		type ipv6_addr : verdict
	}

	chain opened {
		ct original ip daddr vmap @eni-by-address
		ct original ip6 daddr vmap @eni-by-address-6
	}

	chain steer {
		type filter hook prerouting priority dstnat + 10; policy accept;
		iifgroup vmap @eni-by-link
	}

	chain pods-0 {
		ct direction reply ct status dnat goto opened
	}

	chain eni-1 {
		meta mark set meta mark & 0xffffff81 | 0x00000001
	}

	chain pods-1 {
		ct direction reply ct status dnat goto opened
		meta mark set meta mark & 0xffffff81 | 0x00000001
	}
}`
	routes1 = `default via 10.0.1.1 dev eth1 table 1001 onlink`
)

func TestPrepare(t *testing.T) {
	n := newNode(t)
	n.Run("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=1", "net.ipv4.conf.default.rp_filter=1", "net.ipv4.conf.lo.rp_filter=1")
	zero := routedveth.ENI{N: 0, MAC: mac0}
	for range 2 {
		n.prepare(zero)
		n.prepare(eni1)
	}
	same(t, "rules", rules1, n.Rules("-4"))
	same(t, "routes", routes1, n.Routes("-4"))
	same(t, "steering", sorted(table1), sorted(n.Ruleset("inet", "enichain-routed-veth")))
	if got := n.Run("ip", "-o", "-4", "address", "show", "dev", "eth1"); !strings.Contains(got, "10.0.1.20/32 scope global noprefixroute eth1") {
		t.Errorf("address of eth1: %s", got)
	}
	if got := n.Run("ip", "-d", "link", "show", "eth1"); !strings.Contains(got, "group 6873") || !strings.Contains(got, "alias eni-1 10.0.1.20 via 10.0.1.1") {
		t.Errorf("link eth1: %s", got)
	}
	for key, want := range map[string]string{"net.ipv4.conf.eth0.rp_filter": "2", "net.ipv4.conf.eth1.rp_filter": "2", "net.ipv4.conf.all.rp_filter": "1",
		"net.ipv4.conf.default.rp_filter": "1", "net.ipv4.conf.lo.rp_filter": "1", "net.ipv4.fwmark_reflect": "1", "net.ipv6.conf.eth1.accept_ra": "0", "net.ipv4.ip_forward": "1"} {
		if got := strings.TrimSpace(n.Run("sysctl", "-n", key)); got != want {
			t.Errorf("%s = %s, want %s", key, got, want)
		}
	}
	for _, e := range []routedveth.ENI{zero, eni1} {
		n.in(func() error { return routedveth.Verify(t.Context(), e) })
	}
}

// sorted makes the table comparable whatever order the kernel lists a hash's elements in.
func sorted(table string) string {
	lines := strings.Split(strings.NewReplacer("elements = { ", "", " }\n", "\n", ",\n", "\n", "\t", " ").Replace(table), "\n")
	var out, run []string
	flush := func() {
		for len(run) > 0 {
			least := 0
			for i := range run {
				if run[i] < run[least] {
					least = i
				}
			}
			out, run = append(out, run[least]), append(run[:least], run[least+1:]...)
		}
	}
	for _, l := range lines {
		l = strings.Join(strings.Fields(l), " ")
		if strings.Contains(l, " : jump ") {
			run = append(run, l)
			continue
		}
		flush()
		if l != "" {
			out = append(out, l)
		}
	}
	flush()
	return strings.Join(out, "\n")
}

func TestPrepareSix(t *testing.T) {
	n := newNode(t, setup6)
	n.Script("sysctl -qw net.ipv6.conf.eth0.accept_ra=1")
	n.prepare(routedveth.ENI{N: 0, MAC: mac0})
	n.prepare(eni1six)
	same(t, "rules", `
500: from all lookup 1000 proto 233
1499: from fd00:2::20 lookup 1001 proto 233
1500: from all fwmark 0x1/0x7f lookup 1001 proto 233
32766: from all lookup main`, n.Rules("-6"))
	if got := n.Routes("-6"); !strings.HasPrefix(got, "default via fe80::fe dev eth1 table 1001") {
		t.Errorf("routes %s", got)
	}
	for key, want := range map[string]string{"net.ipv6.conf.eth0.accept_ra": "2", "net.ipv6.conf.eth1.accept_ra": "0", "net.ipv6.conf.default.accept_ra": "1", "net.ipv6.conf.all.forwarding": "1", "net.ipv6.fwmark_reflect": "1"} {
		if got := strings.TrimSpace(n.Run("sysctl", "-n", key)); got != want {
			t.Errorf("%s = %s, want %s", key, got, want)
		}
	}
	n.in(func() error { return routedveth.Verify(t.Context(), eni1six) })
}

func TestPrepareRefuses(t *testing.T) {
	n := newNode(t)
	bad := eni1
	bad.Primary = netip.MustParseAddr("10.0.2.20")
	noGateway := eni1
	noGateway.Gateway = netip.Addr{}
	absent := eni1
	absent.MAC = "0a:00:00:00:00:99"
	for name, c := range map[string]struct {
		eni  routedveth.ENI
		want string
	}{
		"outside its subnet": {bad, "primary address 10.0.2.20 lies outside subnet 10.0.1.0/24"},
		"no gateway":         {noGateway, "IPv4 gateway invalid IP: want the subnet's router"},
		"n too large":        {routedveth.ENI{N: 128, MAC: mac1}, "n is 128: want 0 to 127"},
		"no address":         {routedveth.ENI{N: 1, MAC: mac1}, "it has no primary address"},
		"MAC":                {routedveth.ENI{N: 0, MAC: "eth0"}, `cannot read MAC "eth0"`},
		"no link":            {absent, "no link has its MAC: 0a:00:00:00:00:99"},
	} {
		err := n.try(func() error { return routedveth.Prepare(t.Context(), c.eni) })
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	if err := n.try(func() error { return routedveth.Verify(t.Context(), absent) }); !errors.Is(err, routedveth.ErrNoLink) {
		t.Errorf("Verify without a link: %v", err)
	}
	same(t, "rules", "32766: from all lookup main\n32767: from all lookup default", n.Rules("-4"))
}

// Each accident must be seen by Verify and mended by Repair, with and without the agent's list.
var accidents = map[string]string{
	"all rules flushed":        "ip rule flush",
	"a flush outran a repair":  "ip rule del pref 32767", // which had put main back already
	"one rule deleted":         "ip rule del pref 1500",
	"a stale rule":             "ip rule add pref 1499 from 10.0.1.99 lookup 1001 proto 233",
	"ruleset flushed":          "nft flush ruleset",
	"steer flushed":            "nft flush chain inet enichain-routed-veth steer",
	"one element deleted":      "nft delete element inet enichain-routed-veth eni-by-link { 7129 }",
	"mark turned":              "nft add rule inet enichain-routed-veth eni-1 counter",
	"table flushed":            "ip route flush table 1001",
	"link down":                "ip link set eth1 down",
	"group lost and an adress": "ip address add 10.0.1.77/24 dev eth1",
	"primary lost":             "ip address flush dev eth1",
	"rp_filter":                "sysctl -qw net.ipv4.conf.eth1.rp_filter=1",
	"not forwarding":           "sysctl -qw net.ipv4.ip_forward=0",
	"pods' routes flushed":     "ip route flush table 1000",
	"pod's link down and up":   "ip link set POD down; ip link set POD up",
}

func TestRepair(t *testing.T) {
	zero := routedveth.ENI{N: 0, MAC: mac0}
	for name, accident := range accidents {
		for _, list := range [][]routedveth.ENI{{zero, eni1}, nil} {
			by := map[bool]string{true: "from the links", false: "by the list"}[list == nil]
			t.Run(name+" "+by, func(t *testing.T) {
				n := newNode(t)
				n.prepare(zero)
				n.prepare(eni1)
				pod := linktest.New(t)
				r := request(t, "c1", pod, onENI("eth1", mac1, "10.0.1.21"))
				added := n.add(r)
				before := n.state()
				n.Script(strings.ReplaceAll(accident, "POD", added.Interfaces[0].Name))
				if n.state() == before {
					t.Fatal("the accident changed nothing")
				}
				var mended []string
				n.in(func() (err error) { mended, err = routedveth.Repair(t.Context(), list); return err })
				if len(mended) == 0 {
					t.Error("Repair says that it mended nothing")
				}
				same(t, "state", before, n.state())
				if err := n.check(r, added); err != nil {
					t.Error(err)
				}
				n.in(func() (err error) { mended, err = routedveth.Repair(t.Context(), list); return err })
				if len(mended) > 0 {
					t.Errorf("a second Repair mended %q", mended)
				}
			})
		}
	}
}

// TestRepairOfOrphans: a rule that leads to no network interface is taken by who has the list of them.
func TestRepairOfOrphans(t *testing.T) {
	n := newNode(t)
	zero := routedveth.ENI{N: 0, MAC: mac0}
	n.prepare(zero)
	before := n.Rules("-4")
	n.Script("ip rule add pref 1500 fwmark 0x9/0x7f lookup 1009 proto 233")
	orphan := n.Rules("-4")
	n.in(func() error { _, err := routedveth.Repair(t.Context(), nil); return err })
	same(t, "rules after an ADD's repair", orphan, n.Rules("-4"))
	n.in(func() error { _, err := routedveth.Repair(t.Context(), []routedveth.ENI{zero}); return err })
	same(t, "rules after the agent's", before, n.Rules("-4"))
}

// TestRepairWithoutList: who knows no network interface takes none away, though its link has lost its mark.
func TestRepairWithoutList(t *testing.T) {
	for name, list := range map[string][]routedveth.ENI{"nil": nil, "empty": {}} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t)
			n.prepare(routedveth.ENI{N: 0, MAC: mac0})
			n.prepare(eni1)
			before := n.Rules("-4")
			n.Script("ip link set eth0 group 0; ip link set eth1 group 0; ip rule del pref 500")
			n.in(func() error { _, err := routedveth.Repair(t.Context(), list); return err })
			same(t, "rules by the links' notes", before, n.Rules("-4"))
			n.Script("ip link set eth0 group 0 alias mine; ip link set eth1 group 0 alias mine")
			n.in(func() error { _, err := routedveth.Repair(t.Context(), list); return err })
			same(t, "rules with nothing to go by", before, n.Rules("-4"))
		})
	}
}

// state is all that routed-veth answers for, as text.
func (n *node) state() string {
	n.t.Helper()
	return strings.Join([]string{
		n.Rules("-4"), n.Rules("-6"), n.Routes("-4"), n.Routes("-6"), sorted(n.Ruleset("inet", "enichain-routed-veth")),
		n.Run("ip", "-o", "-4", "address"), flags(n.Run("ip", "-o", "link")),
		n.Run("sysctl", "net.ipv4.conf.eth1.rp_filter", "net.ipv4.ip_forward", "net.ipv4.fwmark_reflect"),
	}, "\n")
}

// flags leaves out the words of ip's list that change by themselves.
func flags(links string) string {
	var out []string
	for _, l := range strings.Split(links, "\n") {
		f := strings.Fields(l)
		if len(f) > 3 {
			out = append(out, f[1]+strings.Join(f[2:5], " ")+" "+after(f, "group"))
		}
	}
	return strings.Join(out, "\n")
}

func after(words []string, word string) string {
	for i, w := range words {
		if w == word && i+1 < len(words) {
			return words[i+1]
		}
	}
	return ""
}

// TestStatesInAnyOrder walks between "prepared" and "forgotten" of three network interfaces at random; each state must
// look the same however it was reached.
func TestStatesInAnyOrder(t *testing.T) {
	n := newNode(t, `
		ip link add eth2 address 0a:00:00:00:00:30 type veth peer name vpc2 netns VPC`)
	n.prepare(routedveth.ENI{N: 0, MAC: mac0})
	eni2 := routedveth.ENI{N: 2, MAC: "0a:00:00:00:00:30", Primary: netip.MustParseAddr("10.0.2.30"), Gateway: netip.MustParseAddr("10.0.2.1")}
	moved := eni2
	moved.Primary = netip.MustParseAddr("10.0.2.31")
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	seen := map[[2]int]string{}
	state := [2]int{0, 0} // of eth1: absent, there; of eth2: absent, there, with another address
	choices := [2][]*routedveth.ENI{{nil, &eni1}, {nil, &eni2, &moved}}
	for range 40 {
		which := random.IntN(2)
		state[which] = random.IntN(len(choices[which]))
		if e := choices[which][state[which]]; e != nil {
			n.prepare(*e)
		} else {
			n.in(func() error { return routedveth.Forget(t.Context(), which+1) })
		}
		now := n.Rules("-4") + n.Routes("-4") + sorted(n.Ruleset("inet", "enichain-routed-veth"))
		now = strings.Join(sortedLines(now), "\n")
		if was, again := seen[state]; again {
			same(t, "state", was, now)
		}
		seen[state] = now
	}
	if len(seen) < 5 {
		t.Errorf("only %d states were visited", len(seen))
	}
}

func sortedLines(s string) []string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		for j := i; j > 0 && lines[j] < lines[j-1]; j-- {
			lines[j], lines[j-1] = lines[j-1], lines[j]
		}
	}
	return lines
}

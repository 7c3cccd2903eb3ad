package link_test

import (
	"errors"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/enichain/enichain/stages/internal/link"
	"github.com/enichain/enichain/stages/internal/linktest"
	"github.com/enichain/enichain/stages/internal/numbers"
)

func TestAPairStandsInOneRequest(t *testing.T) {
	node, pod := linktest.New(t), linktest.New(t)
	inside, err := link.OpenNetns(pod.Path())
	if err != nil {
		t.Fatal(err)
	}
	defer inside.Close()
	host, sandbox := link.OwnerMACs("enichain/c1/eth0")
	pair := link.Veth{
		Host: link.VethEnd{Name: "eni0123456789a", MAC: host}, Pod: link.VethEnd{Name: "eth0", MAC: sandbox},
		Netns: int(inside.Fd()), MTU: 9001, Group: numbers.PodLinkGroup(1, 0),
	}
	node.Do(func(c *link.Conn) {
		if err := c.Do(link.AddVeth(pair)); err != nil {
			t.Fatal(err)
		}
		got, err := c.LinkByName("eni0123456789a")
		if err != nil {
			t.Fatal(err)
		}
		want := link.Link{
			Index: got.Index, Name: "eni0123456789a", MAC: host, MTU: 9001, Group: 7001, Kind: "veth", Up: true,
			Peer: got.Peer, Elsewhere: true,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("host end (-want +got):\n%s", diff)
		}
		if err := c.Do(link.AddVeth(pair)); !errors.Is(err, unix.EEXIST) {
			t.Errorf("the same pair again: %v, want EEXIST", err)
		}
	})
	pod.Do(func(c *link.Conn) {
		got, err := c.LinkByName("eth0")
		if err != nil || got.MAC != sandbox || got.MTU != 9001 || got.Up || got.Group != 0 {
			t.Errorf("pod's end: %+v, %v", got, err)
		}
		if _, err := c.LinkByName("eth1"); !errors.Is(err, link.ErrAbsent) {
			t.Errorf("LinkByName(eth1): %v, want ErrAbsent", err)
		}
	})
	node.Do(func(c *link.Conn) {
		l, _ := c.LinkByName("eni0123456789a")
		for range 2 {
			if err := c.Do(link.DelLink(l.Index)); err != nil {
				t.Error(err)
			}
		}
	})
}

// TestQuestionsAndChangesInOneSend has questions see what the changes before them did, and a refusal be told wherever it
// stands, though only the last message is acknowledged.
func TestQuestionsAndChangesInOneSend(t *testing.T) {
	node(t).Do(func(c *link.Conn) {
		eth0, err := c.LinkByName("eth0")
		if err != nil {
			t.Fatal(err)
		}
		alias, gone := "eni-0", "eni-1"
		var renamed, absent link.Link
		var out, nowhere link.Way
		err = c.Do(
			link.SetLink(eth0.Index+1000, link.Change{Alias: &gone}),
			link.SetLink(eth0.Index, link.Change{Alias: &alias}),
			link.AskLinkByIndex(eth0.Index, &renamed),
			link.AskLinkByName("eth7", &absent),
			link.AskUplink(false, &out),
			link.AskUplink(true, &nowhere),
		)
		var refused *link.Error
		if !errors.As(err, &refused) || refused.Errno != unix.ENODEV || strings.Contains(err.Error(), "\n") {
			t.Errorf("Do = %v, want ENODEV of the first message alone", err)
		}
		if renamed.Alias != alias || absent.Index != 0 || out.Link != eth0.Index || nowhere.Link != 0 {
			t.Errorf("answers: %+v, %+v, %+v, %+v", renamed, absent, out, nowhere)
		}
		if err := c.Do(link.SetLink(eth0.Index, link.Change{Alias: &gone}), link.SetLink(eth0.Index+1000, link.Change{})); !errors.Is(err, unix.ENODEV) {
			t.Errorf("Do = %v, want the last message's ENODEV", err)
		}
	})
}

// node has a link eth0 with a far end, both up: somewhere for addresses and routes to be.
func node(t *testing.T) *linktest.NS {
	n := linktest.New(t)
	n.Script(`ip link add eth0 type veth peer name far
		ip link set eth0 up; ip link set far up; ip addr add 10.0.0.10/24 dev eth0
		ip route add default via 10.0.0.1`)
	return n
}

func TestEverythingTwiceIsOnce(t *testing.T) {
	n := node(t)
	n.Do(func(c *link.Conn) {
		l, err := c.LinkByName("eth0")
		if err != nil {
			t.Fatal(err)
		}
		alias := "a note"
		mac := link.MAC{2, 0, 0, 0, 0, 9}
		everything := []link.Message{
			link.SetLink(l.Index, link.Change{Alias: &alias, NoLinkAddr: true}),
			link.AddAddress(link.Address{Link: l.Index, Prefix: netip.MustParsePrefix("10.0.1.20/32"), Flags: link.NoPrefixRoute}),
			link.AddAddress(link.Address{Link: l.Index, Prefix: netip.MustParsePrefix("2001:db8::20/128"), Flags: link.NoDAD}),
			link.AddRoute(link.Route{Dst: netip.MustParsePrefix("10.0.0.21/32"), Link: l.Index, Table: numbers.PodsTable,
				Protocol: numbers.Protocol, Scope: link.ScopeLink, Source: netip.MustParseAddr("10.0.0.10")}),
			link.AddRoute(link.Route{Dst: netip.MustParsePrefix("0.0.0.0/0"), Gateway: netip.MustParseAddr("10.0.0.1"),
				Link: l.Index, Table: numbers.ENITable(1), Protocol: numbers.Protocol, OnLink: true}),
			link.AddRoute(link.Route{Dst: netip.MustParsePrefix("2001:db8::21/128"), Link: l.Index,
				Table: numbers.PodsTable, Protocol: numbers.Protocol}),
			link.AddRule(link.Rule{Family: unix.AF_INET, Priority: numbers.RulePods, Table: numbers.PodsTable, Protocol: numbers.Protocol}),
			link.AddRule(link.Rule{Family: unix.AF_INET, Priority: numbers.RuleFrom, Table: numbers.ENITable(1),
				From: netip.MustParsePrefix("10.0.1.20/32"), Protocol: numbers.Protocol}),
			link.AddRule(link.Rule{Family: unix.AF_INET, Priority: numbers.RuleMark, Table: numbers.ENITable(1), Mark: 1,
				Mask: numbers.MarkMask, Protocol: numbers.Protocol}),
			link.AddNeighbour(link.Neighbour{Link: l.Index, Addr: netip.MustParseAddr("10.0.0.21"), MAC: mac}),
			link.AddProxy(l.Index, netip.MustParseAddr("169.254.1.1")), link.AnswerAtOnce(l.Index),
		}
		for range 2 {
			if err := c.Do(everything...); err != nil {
				t.Fatal(err)
			}
		}
	})
	want := "500: from all lookup 1000 proto 233\n1499: from 10.0.1.20 lookup 1001 proto 233\n" +
		"1500: from all fwmark 0x1/0x7f lookup 1001 proto 233\n32766: from all lookup main\n32767: from all lookup default\n"
	if diff := cmp.Diff(want, n.Rules("-4")); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
	want = "10.0.0.21 dev eth0 table 1000 scope link src 10.0.0.10\ndefault via 10.0.0.1 dev eth0 table 1001 onlink\n"
	if diff := cmp.Diff(want, n.Routes("-4")); diff != "" {
		t.Errorf("routes (-want +got):\n%s", diff)
	}
	if got := n.Run("ip", "-d", "link", "show", "eth0"); !strings.Contains(got, "alias a note") || !strings.Contains(got, "addrgenmode none") {
		t.Errorf("alias or addrgenmode is missing in:\n%s", got)
	}
	readBack(t, n)
}

func readBack(t *testing.T, n *linktest.NS) {
	n.Do(func(c *link.Conn) {
		l, _ := c.LinkByName("eth0")
		addresses, err := c.Addresses(l.Index)
		if err != nil {
			t.Fatal(err)
		}
		var words []string
		for _, a := range addresses {
			words = append(words, a.Prefix.String())
		}
		if got := strings.Join(words, " "); !strings.HasPrefix(got, "10.0.0.10/24 10.0.1.20/32 2001:db8::20/128") {
			t.Errorf("addresses %s", got)
		}
		routes, err := c.Routes(link.RouteFilter{Family: unix.AF_INET, Table: numbers.PodsTable, Protocol: numbers.Protocol})
		if err != nil || len(routes) != 1 || routes[0].String() != "10.0.0.21 dev "+itoa(l.Index)+" table 1000 src 10.0.0.10" {
			t.Errorf("routes %v, %v", routes, err)
		}
		if none, err := c.Routes(link.RouteFilter{Family: unix.AF_INET, Table: 1077}); err != nil || len(none) != 0 {
			t.Errorf("routes of a table that never was: %v, %v", none, err)
		}
		neighbours, err := c.Neighbours(l.Index)
		if err != nil || len(neighbours) == 0 || !neighbours[0].Permanent || neighbours[0].MAC.String() != "02:00:00:00:00:09" {
			t.Errorf("neighbours %v, %v", neighbours, err)
		}
		proxies, err := c.Proxies(l.Index)
		if err != nil || len(proxies) != 1 || !proxies[0].Proxy || proxies[0].Addr.String() != "169.254.1.1" {
			t.Errorf("proxies %v, %v", proxies, err)
		}
		if delay, err := link.Sysctl("net/ipv4/neigh/" + l.Name + "/proxy_delay"); err != nil || delay != "0" {
			t.Errorf("proxy delay %q, %v", delay, err)
		}
		for _, q := range []struct {
			mark  uint32
			table int
		}{{0, link.MainTable}, {1, numbers.ENITable(1)}, {0x4001, numbers.ENITable(1)}, {0x80, link.MainTable}} {
			if way, err := c.LookupMarked(false, q.mark); err != nil || way.Table != q.table || way.Link != l.Index {
				t.Errorf("way with mark %#x: %+v, %v; want table %d", q.mark, way, err, q.table)
			}
		}
		up, err := c.Uplink(false)
		if err != nil || up.Name != "eth0" || up.Source.String() != "10.0.0.10" || up.MTU != 1500 {
			t.Errorf("uplink %+v, %v", up, err)
		}
		if _, err := c.Uplink(true); !errors.Is(err, link.ErrAbsent) {
			t.Errorf("uplink for IPv6: %v, want ErrAbsent", err)
		}
	})
}

func TestRemovingTakesOnlyWhatIsMeant(t *testing.T) {
	n := node(t)
	n.Script(`ip route add 10.0.0.21/32 dev far table 1000 proto 233
		ip rule add pref 500 lookup 1000; ip rule add pref 500 lookup 1000 proto 233`)
	n.Do(func(c *link.Conn) {
		l, _ := c.LinkByName("eth0")
		other := link.Route{Dst: netip.MustParsePrefix("10.0.0.21/32"), Link: l.Index, Table: numbers.PodsTable, Protocol: numbers.Protocol}
		rule := link.Rule{Family: unix.AF_INET, Priority: 500, Table: numbers.PodsTable, Protocol: numbers.Protocol}
		for range 2 {
			if err := c.Do(link.DelRoute(other), link.DelRule(rule)); err != nil {
				t.Error(err)
			}
		}
	})
	if got := n.Routes("-4"); !strings.Contains(got, "10.0.0.21 dev far") {
		t.Errorf("the route of another link is gone: %q", got)
	}
	if got := n.Rules("-4"); !strings.HasPrefix(got, "500: from all lookup 1000\n32766") {
		t.Errorf("rules %q", got)
	}
}

func TestARefusalSaysWhatAndWhy(t *testing.T) {
	n := node(t)
	n.Do(func(c *link.Conn) {
		err := c.Do(link.AddRoute(link.Route{Dst: netip.MustParsePrefix("10.9.0.0/16"), Gateway: netip.MustParseAddr("192.0.2.1"), Table: 77}))
		if want := "cannot add route 10.9.0.0/16 via 192.0.2.1 table 77: network is unreachable"; err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %s…", err, want)
		}
		if !strings.Contains(err.Error(), "(") {
			t.Errorf("the kernel's own words are missing: %v", err)
		}
		var e *link.Error
		if !errors.As(err, &e) || e.Errno != unix.ENETUNREACH {
			t.Errorf("%#v", err)
		}
	})
	if err := link.InNetns("/nowhere", func(*link.Conn) error { return nil }); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

func TestSysctlIsTheNamespacesOwn(t *testing.T) {
	a, b := linktest.New(t), linktest.New(t)
	a.Do(func(*link.Conn) {
		if err := link.EnsureSysctl("net/ipv4/ip_forward", "1"); err != nil {
			t.Fatal(err)
		}
	})
	b.Do(func(*link.Conn) {
		if got, err := link.Sysctl("net/ipv4/ip_forward"); got != "0" || err != nil {
			t.Errorf("ip_forward elsewhere: %q, %v", got, err)
		}
	})
	if err := link.EnsureSysctl("net/ipv4/no_such_thing", "1"); err == nil || !strings.Contains(err.Error(), "net/ipv4/no_such_thing") {
		t.Errorf("%v", err)
	}
}

func TestHundredsInOneCall(t *testing.T) {
	n := node(t)
	n.Do(func(c *link.Conn) {
		l, _ := c.LinkByName("eth0")
		var many []link.Message
		for i := range 700 {
			dst := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), 32)
			many = append(many, link.AddRoute(link.Route{Dst: dst, Link: l.Index, Table: numbers.PodsTable, Protocol: numbers.Protocol, Scope: link.ScopeLink}))
		}
		if err := c.Do(many...); err != nil {
			t.Fatal(err)
		}
		all, err := c.Routes(link.RouteFilter{Family: unix.AF_INET, Protocol: numbers.Protocol})
		if err != nil || len(all) != 700 {
			t.Errorf("%d routes, %v", len(all), err)
		}
	})
}

func itoa(i int) string {
	return strings.TrimSuffix(strings.TrimPrefix(link.SetLink(i, link.Change{}).String(), "change link "), "\n")
}

package fabric_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/enichain/enichain/test/lab/fabric"
	"github.com/enichain/enichain/test/need"
)

func up(t *testing.T) *fabric.Fabric {
	t.Helper()
	need.NetAdmin(t)
	need.Tool(t, "nft", "nftables")
	f, err := fabric.Up(t.Context(), fabric.Config{
		Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/16"), netip.MustParsePrefix("2001:db8:10::/56")},
		Subnets:  []netip.Prefix{netip.MustParsePrefix("10.0.1.0/24"), netip.MustParsePrefix("10.0.2.0/24")},
		Services: []netip.Addr{netip.MustParseAddr("169.254.169.254")},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

func node(t *testing.T, f *fabric.Fabric, name string) *fabric.Node {
	t.Helper()
	n, err := f.Instance(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// eni is an interface with MAC 02:…:last; its first address is the primary one.
func eni(id string, device int, last byte, addresses ...string) fabric.Interface {
	i := fabric.Interface{ID: id, Device: device, MAC: net.HardwareAddr{2, 0, 0, 0, 0, last}, Boot: device == 0}
	for _, a := range addresses {
		i.Addresses = append(i.Addresses, netip.MustParseAddr(a))
	}
	return i
}

func attach(t *testing.T, f *fabric.Fabric, node string, i fabric.Interface) {
	t.Helper()
	if err := f.Attach(t.Context(), node, i); err != nil {
		t.Fatal(err)
	}
}

func run(t *testing.T, n *fabric.Node, command string) string {
	t.Helper()
	out, err := n.Exec(t.Context(), "sh", "-c", command)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// answers serves "you are <address>" on port 80 of the node.
func answers(t *testing.T, n *fabric.Node) {
	t.Helper()
	l, err := n.Listen(":80")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprintf(c, "you are %s", c.RemoteAddr().(*net.TCPAddr).IP)
			c.Close()
		}
	}()
}

// ask connects from the node and returns what the other side said; from is the source address, or "". It bears the loss
// of a packet: a SYN is sent again after a second.
func ask(n *fabric.Node, from, to string) string { return askFor(n, from, to, 4*time.Second) }

// askInVain is ask for what is dropped.
func askInVain(n *fabric.Node, from, to string) string {
	return askFor(n, from, to, 500*time.Millisecond)
}

func askFor(n *fabric.Node, from, to string, patience time.Duration) string {
	var said string
	err := n.Do(func() error {
		d := net.Dialer{Timeout: patience}
		if from != "" {
			d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
		}
		c, err := d.Dial("tcp", net.JoinHostPort(to, "80"))
		if err != nil {
			return err
		}
		defer c.Close()
		b, err := io.ReadAll(c)
		said = string(b)
		return err
	})
	if err != nil {
		return err.Error()
	}
	return said
}

func TestWhoReachesWhom(t *testing.T) {
	f := up(t)
	one, two := node(t, f, "node-1"), node(t, f, "node-2")
	first := eni("eni-1", 0, 1, "10.0.1.10", "10.0.1.11", "2001:db8:10:1::10")
	first.Public = map[netip.Addr]netip.Addr{first.Addresses[0]: netip.MustParseAddr("198.51.100.1")}
	attach(t, f, "node-1", first)
	attach(t, f, "node-2", eni("eni-2", 0, 2, "10.0.2.10", "2001:db8:10:2::10"))
	internet, err := f.Outside(t.Context(), fabric.Internet, netip.MustParsePrefix("203.0.113.0/24"), netip.MustParseAddr("203.0.113.10"))
	if err != nil {
		t.Fatal(err)
	}
	client, err := f.Outside(t.Context(), "client", netip.MustParsePrefix("192.168.100.0/24"), netip.MustParseAddr("192.168.100.10"))
	if err != nil {
		t.Fatal(err)
	}
	run(t, one, "ip address add 10.0.1.11/32 dev eth0")
	for _, n := range []*fabric.Node{one, two, internet, client, f.Router()} {
		answers(t, n)
	}
	for _, test := range []struct {
		name, want string
		from       *fabric.Node
		source, to string
	}{
		{name: "node to node", from: one, to: "10.0.2.10", want: "you are 10.0.1.10"},
		{name: "node to node by IPv6", from: one, to: "2001:db8:10:2::10", want: "you are 2001:db8:10:1::10"},
		{name: "secondary address to node", from: one, source: "10.0.1.11", to: "10.0.2.10", want: "you are 10.0.1.11"},
		{name: "node to secondary address", from: two, to: "10.0.1.11", want: "you are 10.0.2.10"},
		{name: "node to internet", from: one, to: "203.0.113.10", want: "you are 198.51.100.1"},
		{name: "internet to node", from: internet, to: "198.51.100.1", want: "you are 203.0.113.10"},
		{name: "outside client to secondary address", from: client, to: "10.0.1.11", want: "you are 192.168.100.10"},
		{name: "secondary address to outside client", from: one, source: "10.0.1.11", to: "192.168.100.10", want: "you are 10.0.1.11"},
		{name: "the router's own address", from: two, to: "169.254.169.254", want: "you are 10.0.2.10"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, ask(test.from, test.source, test.to)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
	if dropped := f.Dropped(); len(dropped) > 0 {
		t.Errorf("the VPC dropped %v: %v", dropped, f.Drops())
	}
}

func TestWhatIsDropped(t *testing.T) {
	f := up(t)
	one, two := node(t, f, "node-1"), node(t, f, "node-2")
	first := eni("eni-1", 0, 1, "10.0.1.10", "10.0.1.11")
	first.Public = map[netip.Addr]netip.Addr{first.Addresses[0]: netip.MustParseAddr("198.51.100.1")}
	attach(t, f, "node-1", first)
	attach(t, f, "node-1", eni("eni-3", 1, 3, "10.0.1.30"))
	attach(t, f, "node-2", eni("eni-2", 0, 2, "10.0.2.10"))
	internet, err := f.Outside(t.Context(), fabric.Internet, netip.MustParsePrefix("203.0.113.0/24"), netip.MustParseAddr("203.0.113.10"))
	if err != nil {
		t.Fatal(err)
	}
	answers(t, two)
	run(t, one, "for a in 11 30 77; do ip address add 10.0.1.$a/32 dev eth0; done")
	for _, test := range []struct {
		name, before, source, to, want string
		from                           *fabric.Node
	}{
		{name: "another interface's source", from: one, source: "10.0.1.30", to: "10.0.2.10",
			want: "source node-1 eni-1 10.0.1.30 10.0.2.10 tcp source is an address of eni-3 (node-1 #1), not of eni-1"},
		{name: "nobody's source", from: one, source: "10.0.1.77", to: "10.0.2.10",
			want: "source node-1 eni-1 10.0.1.77 10.0.2.10 tcp source is not an address of eni-1, nor of any other interface"},
		{name: "nobody's destination", from: two, to: "10.0.1.99",
			want: "nobody node-2 eni-2 10.0.2.10 10.0.1.99 tcp no network interface has the destination"},
		{name: "secondary address to internet", from: one, source: "10.0.1.11", to: "203.0.113.10",
			want: "public node-1 eni-1 10.0.1.11 203.0.113.10 tcp source has no public address, so the internet gateway does not know it"},
		{name: "internet to nobody", from: internet, to: "198.51.100.9",
			want: "unseen outside  203.0.113.10 198.51.100.9 tcp nobody has this public address"},
		{name: "another MAC", from: two, before: "ip link set eth0 address 02:00:00:00:00:99 && ip neigh flush all", to: "10.0.1.10",
			want: "source node-2 eni-2 10.0.2.10 10.0.1.10 tcp source MAC 02:00:00:00:00:99 is not that of eni-2"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.before != "" {
				run(t, test.from, test.before)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			follow := f.Follow(ctx)
			if said := askInVain(test.from, test.source, test.to); !strings.Contains(said, "timeout") {
				t.Errorf("it got through: %s", said)
			}
			d, ok := <-follow
			if !ok {
				t.Fatal("no drop was recorded")
			}
			got := fmt.Sprintf("%s %s %s %s %s %s %s", d.Kind, d.Node, d.ENI, d.Source, d.Destination, d.Protocol, d.Reason)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestAttachAndDetach(t *testing.T) {
	f := up(t)
	n := node(t, f, "node-1")
	attach(t, f, "node-1", eni("eni-1", 0, 1, "10.0.1.10"))
	attach(t, f, "node-1", eni("eni-2", 1, 2, "10.0.1.20", "10.0.1.21"))
	if got := run(t, n, "ip -o link show eth1"); !strings.Contains(got, "02:00:00:00:00:02") || !strings.Contains(got, "mtu 1500") || strings.Contains(got, ",UP") {
		t.Errorf("the link of eni-2 is not bare, of the driver's MTU and of its MAC: %s", got)
	}
	for _, bad := range []struct {
		name string
		node string
		i    fabric.Interface
		want string
	}{
		{"unknown node", "node-9", eni("eni-3", 2, 3, "10.0.1.30"), `there is no node "node-9"`},
		{"attached already", "node-1", eni("eni-2", 2, 3, "10.0.1.30"), "it is attached to node-1"},
		{"taken address", "node-1", eni("eni-3", 2, 3, "10.0.1.21"), "eni-3 cannot have 10.0.1.21: it is eni-2's"},
		{"taken device index", "node-1", eni("eni-3", 1, 3, "10.0.1.30"), "cannot make eth1"},
		{"no address", "node-1", eni("eni-3", 2, 3), "it has no address"},
	} {
		t.Run(bad.name, func(t *testing.T) {
			err := f.Attach(t.Context(), bad.node, bad.i)
			if err == nil || !strings.Contains(err.Error(), bad.want) {
				t.Errorf("got %v, want an error with %q", err, bad.want)
			}
		})
	}
	before := run(t, n, "ip -o link | wc -l")
	if before != "3" {
		t.Errorf("%s links, want lo, eth0, eth1", before)
	}
	for range 2 { // twice is harmless
		if err := f.Detach(t.Context(), "eni-2"); err != nil {
			t.Error(err)
		}
	}
	if out, err := n.Exec(t.Context(), "ip", "link", "show", "eth1"); err == nil {
		t.Errorf("eth1 is still there: %s", out)
	}
	attach(t, f, "node-1", eni("eni-2", 1, 2, "10.0.1.20", "10.0.1.21"))
	if err := f.Terminate(t.Context(), "node-1"); err != nil {
		t.Error(err)
	}
	if _, _, ok := f.Owner(netip.MustParseAddr("10.0.1.21")); ok {
		t.Error("a terminated node's address still has an owner")
	}
}

func TestAddressesMove(t *testing.T) {
	f := up(t)
	one, two := node(t, f, "node-1"), node(t, f, "node-2")
	a, b := eni("eni-1", 0, 1, "10.0.1.10", "10.0.1.50"), eni("eni-2", 0, 2, "10.0.1.20")
	attach(t, f, "node-1", a)
	attach(t, f, "node-2", b)
	for _, n := range []*fabric.Node{one, two} {
		run(t, n, "ip address add 10.0.1.50/32 dev lo")
		answers(t, n)
	}
	asker := node(t, f, "asker")
	attach(t, f, "asker", eni("eni-3", 0, 3, "10.0.2.10"))
	if got := ask(asker, "", "10.0.1.50"); got != "you are 10.0.2.10" {
		t.Errorf("before the move: %s", got)
	}
	a.Addresses = a.Addresses[:1]
	b.Addresses = append(b.Addresses, netip.MustParseAddr("10.0.1.50"))
	if err := f.Addresses(t.Context(), b); err == nil {
		t.Error("an address was given to two interfaces")
	}
	for _, i := range []fabric.Interface{a, b} {
		if err := f.Addresses(t.Context(), i); err != nil {
			t.Fatal(err)
		}
	}
	if got := ask(asker, "", "10.0.1.50"); got != "you are 10.0.2.10" {
		t.Errorf("after the move: %s", got)
	}
	run(t, one, "ip address add 10.0.1.99/32 dev lo")
	a.Unchecked, b.Prefixes = true, []netip.Prefix{netip.MustParsePrefix("10.0.1.64/28")}
	for _, i := range []fabric.Interface{a, b} {
		if err := f.Addresses(t.Context(), i); err != nil {
			t.Fatal(err)
		}
	}
	run(t, two, "ip address add 10.0.1.66/32 dev lo")
	if got := ask(two, "10.0.1.66", "10.0.1.10"); got != "you are 10.0.1.66" {
		t.Errorf("from an address of a prefix: %s", got)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	follow := f.Follow(ctx)
	askInVain(one, "10.0.1.99", "10.0.1.20")
	if d := <-follow; d.Kind != fabric.NoAddress || d.Node != "node-2" {
		t.Errorf("a packet of an unchecked interface was not delivered, and its answer dropped for want of an owner: %+v", d)
	}
	if node, id, _ := f.Owner(netip.MustParseAddr("10.0.1.50")); node != "node-2" || id != "eni-2" {
		t.Errorf("the owner is %s's %s, want node-2's eni-2", node, id)
	}
}

func TestInstanceHasItsOwnFolders(t *testing.T) {
	f := up(t)
	n := node(t, f, "node-1")
	need.Tool(t, "ip", "iproute2")
	probe := "enichain-fabric-test"
	for _, folder := range []string{"/run", "/run/netns", "/var/lib/cni", "/var/lib/enichain", "/etc/cni/net.d", "/etc/enichain",
		"/etc/iproute2/rt_tables.d", "/etc/iproute2/rt_protos.d", "/etc/systemd/network", "/etc"} {
		run(t, n, "touch "+folder+"/"+probe)
		if _, err := os.Lstat(folder + "/" + probe); err == nil {
			t.Errorf("a file that the node wrote to %s is on this machine", folder)
			os.Remove(folder + "/" + probe)
		}
		if _, err := os.Lstat(n.Path(folder + "/" + probe)); err != nil {
			t.Errorf("the node's file is not seen by Path: %v", err)
		}
	}
	if got := run(t, n, "ip netns add pod && ip netns exec pod ip -o link | wc -l && ip netns del pod && hostname"); got != "1\nnode-1" {
		t.Errorf("a namespace in the node: %q", got)
	}
	if _, err := exec.LookPath("nft"); err == nil {
		run(t, n, "nft add table inet mine && nft list tables")
	}
}

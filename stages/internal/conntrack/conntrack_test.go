package conntrack

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/enichain/enichain/stages/internal/link"
	"github.com/enichain/enichain/stages/internal/linktest"
	"github.com/enichain/enichain/stages/internal/nfnl"
	"github.com/enichain/enichain/test/need"
)

func TestFlushForgetsTheChosen(t *testing.T) {
	need.Tool(t, "conntrack", "conntrack")
	n := linktest.New(t)
	n.Script(`
		ip link set lo up
		nft 'add table inet t; add chain inet t c { type filter hook output priority 0; }; add rule inet t c ct state new counter'`)
	send := func(to string) {
		n.Do(func(*link.Conn) {
			c, err := net.Dial("udp", to)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := c.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
		})
	}
	for _, to := range []string{"127.0.0.1:53", "127.0.0.2:53", "127.0.0.1:54", "[::1]:53"} {
		send(to)
	}
	n.Do(func(*link.Conn) {
		c, err := nfnl.Open()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		var seen []string
		for _, six := range []bool{false, true} {
			count, err := Flush(c, six, unix.IPPROTO_UDP, []uint16{53}, func(f Flow) bool {
				seen = append(seen, f.To.String()+" "+f.From.String())
				return f.To.Addr() != netip.MustParseAddr("127.0.0.2")
			})
			if err != nil || count != 1 {
				t.Errorf("Flush, IPv6 %t = %d, %v, want 1", six, count, err)
			}
		}
		for _, want := range []string{"127.0.0.1:53 127.0.0.1", "127.0.0.2:53 127.0.0.2", "[::1]:53 ::1"} {
			if !strings.Contains(strings.Join(seen, "\n"), want) {
				t.Errorf("Flush saw %q, not %q", seen, want)
			}
		}
		if len(seen) != 3 {
			t.Errorf("Flush asked about %q", seen)
		}
	})
	if out := n.Run("conntrack", "-L", "-p", "udp", "--dport", "54"); !strings.Contains(out, "dport=54 ") {
		t.Errorf("another port's flow is gone:\n%s", out)
	}
}

// TestFlushAnswered has two containers behind one port each of two addresses, and forgets what the first answers.
func TestFlushAnswered(t *testing.T) {
	need.Tool(t, "conntrack", "conntrack")
	n := linktest.New(t)
	n.Script(`
		ip link set lo up
		nft 'add table inet t; add chain inet t o { type nat hook output priority -100; }
			add rule inet t o meta nfproto ipv4 udp dport 53 dnat ip to 127.0.0.11
			add rule inet t o meta nfproto ipv4 udp dport 54 dnat ip to 127.0.0.12
			add rule inet t o meta nfproto ipv6 udp dport 53 dnat ip6 to ::1'`)
	n.Do(func(*link.Conn) {
		for _, to := range []string{"127.0.0.1:53", "127.0.0.2:53", "127.0.0.1:54", "127.0.0.11:99", "[::1]:53"} {
			c, err := net.Dial("udp", to)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
			c.Close()
		}
		c, err := nfnl.Open()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		ports := []Port{{unix.IPPROTO_UDP, 53}, {unix.IPPROTO_TCP, 99}, {unix.IPPROTO_UDP, 53}}
		for _, tt := range []struct {
			from string
			want []string
		}{
			{"127.0.0.11", []string{"127.0.0.1:53", "127.0.0.2:53"}},
			{"127.0.0.11", nil},
			{"::1", []string{"[::1]:53"}},
			{"127.0.0.99", nil},
		} {
			var seen []string
			got, err := FlushAnswered(c, netip.MustParseAddr(tt.from), ports, func(f Flow) bool {
				seen = append(seen, f.To.String())
				return true
			})
			slices.Sort(seen)
			if got != len(tt.want) || err != nil || !slices.Equal(seen, tt.want) {
				t.Errorf("FlushAnswered(%s) = %d, %v, asked about %q; want %q", tt.from, got, err, seen, tt.want)
			}
		}
	})
	if out := n.Run("conntrack", "-L", "-p", "udp"); !strings.Contains(out, "dport=54 ") || !strings.Contains(out, "dport=99 ") ||
		strings.Contains(out, "dport=53 ") { // with the blank: a sender's port may be 53375
		t.Errorf("left:\n%s", out)
	}
}

// TestTheKernelFilters holds both filters against a walk that hands over everything, as kernels before 5.8 do it.
func TestTheKernelFilters(t *testing.T) {
	n := linktest.New(t)
	n.Script(`ip link set lo up
		nft 'add table inet t; add chain inet t c { type filter hook output priority 0; }; add rule inet t c ct state new counter'`)
	n.Do(func(*link.Conn) {
		for i := range 20 {
			c, err := net.Dial("udp", "127.0.0."+strconv.Itoa(1+i%4)+":"+strconv.Itoa(50+i%5))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
			c.Close()
		}
		tcp, err := net.DialTimeout("tcp", listen(t), time.Second)
		if err != nil {
			t.Fatal(err)
		}
		defer tcp.Close()
		c, err := nfnl.Open()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		var address, byAnswer nfnl.Attrs
		address.Bytes(ipV4Src, []byte{127, 0, 0, 2})
		byAnswer.Nest(tupleIP|unix.NLA_F_NESTED, address)
		for _, tt := range []struct {
			name  string
			only  nfnl.Attrs
			match func(Flow) bool
			want  int // handed over
		}{
			{"all", nil, func(Flow) bool { return true }, 21},
			{"port", openedTo(unix.IPPROTO_UDP, 53), func(f Flow) bool { return f.To.Port() == 53 }, 4},
			{"protocol", openedTo(unix.IPPROTO_UDP, 0), func(f Flow) bool { return f.Proto == unix.IPPROTO_UDP }, 20},
			{"another protocol", openedTo(unix.IPPROTO_TCP, 0), func(f Flow) bool { return f.Proto == unix.IPPROTO_TCP }, 1},
			{"answer", filtered(attrReply, byAnswer, filterReply, filterSrc),
				func(f Flow) bool { return f.From == netip.AddrFrom4([4]byte{127, 0, 0, 2}) }, 5},
		} {
			over := 0
			with, err := list(c, unix.AF_INET, tt.only, func(f Flow) bool { over++; return tt.match(f) })
			without, err2 := list(c, unix.AF_INET, nil, tt.match)
			if err != nil || err2 != nil || over != tt.want || len(with) != tt.want || len(without) != tt.want {
				t.Errorf("%s: %d handed over, %d of them chosen, without a filter %d (%v, %v); want %d", tt.name, over,
					len(with), len(without), err, err2, tt.want)
			}
		}
	})
}

func listen(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.9:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

// TestManyPorts: however many ports, their flows go in one walk, and no other's.
func TestManyPorts(t *testing.T) {
	n := linktest.New(t)
	n.Script(`ip link set lo up
		nft 'add table inet t; add chain inet t c { type filter hook output priority 0; }; add rule inet t c ct state new counter'`)
	n.Do(func(*link.Conn) {
		c, err := nfnl.Open()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for _, to := range []string{"127.0.0.1:", "[::1]:"} {
			for port := range 20 {
				u, err := net.Dial("udp", to+strconv.Itoa(50+port))
				if err != nil {
					t.Fatal(err)
				}
				if _, err := u.Write([]byte("x")); err != nil {
					t.Fatal(err)
				}
				u.Close()
			}
		}
		var ports []uint16
		var both []Port
		for p := uint16(50); p < 65; p++ {
			ports = append(ports, p, p)
			both = append(both, Port{unix.IPPROTO_UDP, p}, Port{unix.IPPROTO_TCP, p})
		}
		asked := 0
		ask := func(Flow) bool { asked++; return true }
		if count, err := Flush(c, false, unix.IPPROTO_UDP, ports, ask); count != 15 || asked != 15 || err != nil {
			t.Errorf("Flush = %d, %v, asked about %d; want 15", count, err, asked)
		}
		asked = 0
		count, err := FlushAnswered(c, netip.IPv6Loopback(), both, ask)
		if count != 15 || asked != 15 || err != nil {
			t.Errorf("FlushAnswered = %d, %v, asked about %d; want 15", count, err, asked)
		}
		for _, six := range []bool{false, true} {
			if count, err := Flush(c, six, unix.IPPROTO_UDP, []uint16{65, 66, 67, 68, 69}, ask); count != 5 || err != nil {
				t.Errorf("left of the others, IPv6 %t: %d, %v, want 5", six, count, err)
			}
		}
	})
}

func TestForgetAddresses(t *testing.T) {
	need.Tool(t, "conntrack", "conntrack")
	n := linktest.New(t)
	n.Script(`
		ip link set lo up
		nft 'add table ip t; add chain ip t p { type nat hook postrouting priority srcnat; }; add chain ip t o { type nat hook output priority -100; }'
		nft 'add rule ip t p ip saddr 127.0.0.10 snat to 127.0.0.99; add rule ip t o udp dport 53 dnat to 127.0.0.11'`)
	n.Do(func(*link.Conn) {
		for _, f := range []struct{ from, to string }{
			{"127.0.0.10", "127.0.0.2:1000"}, // its SNAT is what a peer could use
			{"127.0.0.1", "127.0.0.3:53"},    // answered by 127.0.0.11 behind a DNAT
			{"127.0.0.1", "127.0.0.12:1000"}, // opened to it
			{"127.0.0.1", "127.0.0.13:1000"}, // a stranger's
		} {
			from := &net.UDPAddr{IP: net.ParseIP(f.from)}
			to := net.UDPAddrFromAddrPort(netip.MustParseAddrPort(f.to))
			c, err := net.DialUDP("udp", from, to)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
			c.Close()
		}
		c, err := nfnl.Open()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		of := []netip.Addr{netip.MustParseAddr("127.0.0.10"), netip.MustParseAddr("127.0.0.11"), netip.MustParseAddr("127.0.0.12")}
		if count, err := ForgetAddresses(c, of); err != nil || count != 3 {
			t.Errorf("ForgetAddresses = %d, %v, want 3", count, err)
		}
		if count, err := ForgetAddresses(c, of); err != nil || count != 0 {
			t.Errorf("the second time: %d, %v, want 0", count, err)
		}
	})
	if left := n.Run("conntrack", "-L", "-p", "udp"); !strings.Contains(left, "dst=127.0.0.13") {
		t.Errorf("a stranger's flow is gone:\n%s", left)
	}
}

func FuzzParse(f *testing.F) {
	var ip, numbers, tup, list nfnl.Attrs
	ip.Bytes(ipV4Src, []byte{127, 0, 0, 1})
	ip.Bytes(ipV4Dst, []byte{127, 0, 0, 2})
	numbers.Uint8(protoNumber, 17)
	numbers.Uint16(protoDstPort, 53)
	tup.Nest(tupleIP, ip)
	tup.Nest(tupleProto, numbers)
	list.Nest(attrOriginal, tup)
	list.Nest(attrReply, tup)
	f.Add([]byte(list))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := parse(b)
		if err != nil {
			return
		}
		again, err := parse(e.identity)
		if err != nil || again.To != e.To {
			t.Errorf("the flow to %v is named for deletion as one to %v, %v", e.To, again.To, err)
		}
	})
}

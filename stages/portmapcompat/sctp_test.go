package portmapcompat

import (
	"encoding/binary"
	"hash/crc32"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/enichain/enichain/stages/internal/link"
	"github.com/enichain/enichain/stages/internal/linktest"
	"github.com/enichain/enichain/test/need"
)

// TestSCTP sends an association's first packet to the host port, by hand: a kernel without SCTP of its own translates and
// tracks it all the same.
func TestSCTP(t *testing.T) {
	need.Tool(t, "conntrack", "conntrack")
	bothBackends(t, func(t *testing.T, config string) {
		w := newWorld(t)
		r := request("a", config, `{"hostPort":36412,"containerPort":5000,"protocol":"SCTP"}`)
		w.add(r)
		w.must(Stage{}.Check, r)
		for _, tt := range []struct{ from, to, pod string }{
			{"198.51.100.1", "10.0.0.10", "10.0.1.1"}, {"2001:db8::1", "fd00::10", "fd00:1::1"},
		} {
			in := rawSCTP(t, w.pods["a"], tt.pod)
			out := rawSCTP(t, w.outside, tt.from)
			to := netip.MustParseAddr(tt.to)
			if err := unix.Sendto(out, initChunk(40000, 36412), 0, sockaddr(to)); err != nil {
				t.Fatal(err)
			}
			if got := portsOf(t, in, to.Is4()); got != [2]uint16{40000, 5000} {
				t.Errorf("from %s to %s: the pod sees ports %v, want 40000 to 5000", tt.from, tt.to, got)
			}
		}
		for _, there := range []bool{true, false} {
			for _, family := range []string{"ipv4", "ipv6"} {
				flows := w.node.Run("conntrack", "-L", "-f", family, "-p", "sctp")
				if strings.Contains(flows, "dport=36412") != there {
					t.Errorf("before DEL %t:\n%s", there, flows)
				}
			}
			w.must(Stage{}.Del, bare("a"))
		}
	})
}

// initChunk is an SCTP packet with an INIT chunk (RFC 9260, 3.3.2) and its checksum.
func initChunk(from, to uint16) []byte {
	p := make([]byte, 12+20)
	binary.BigEndian.PutUint16(p[0:], from)
	binary.BigEndian.PutUint16(p[2:], to)
	p[12] = 1                                    // INIT
	binary.BigEndian.PutUint16(p[14:], 20)       // length
	binary.BigEndian.PutUint32(p[16:], 0x1234)   // initiate tag
	binary.BigEndian.PutUint32(p[20:], 65536)    // window
	binary.BigEndian.PutUint16(p[24:], 1)        // streams out
	binary.BigEndian.PutUint16(p[26:], 1)        // streams in
	binary.BigEndian.PutUint32(p[28:], 0xabcdef) // TSN
	binary.LittleEndian.PutUint32(p[8:], crc32.Checksum(p, crc32.MakeTable(crc32.Castagnoli)))
	return p
}

func sockaddr(a netip.Addr) unix.Sockaddr {
	if a.Is4() {
		return &unix.SockaddrInet4{Addr: a.As4()}
	}
	return &unix.SockaddrInet6{Addr: a.As16()}
}

// rawSCTP is a socket for SCTP packets of an address.
func rawSCTP(t *testing.T, n *linktest.NS, address string) int {
	t.Helper()
	a := netip.MustParseAddr(address)
	family := unix.AF_INET
	if a.Is6() {
		family = unix.AF_INET6
	}
	var fd int
	var err error
	n.Do(func(*link.Conn) { fd, err = unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_SCTP) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	wait := unix.NsecToTimeval(int64(3 * time.Second))
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait); err != nil {
		t.Fatal(err)
	}
	if err := unix.Bind(fd, sockaddr(a)); err != nil {
		t.Fatal(err)
	}
	return fd
}

// portsOf reads one packet and returns its source and destination port; IPv4's raw packets begin with their IP header.
func portsOf(t *testing.T, fd int, four bool) (ports [2]uint16) {
	t.Helper()
	p := make([]byte, 1500)
	n, err := unix.Read(fd, p)
	if err != nil {
		t.Errorf("nothing came: %v", err)
		return ports
	}
	p = p[:n]
	if four {
		p = p[int(p[0]&15)*4:]
	}
	return [2]uint16{binary.BigEndian.Uint16(p), binary.BigEndian.Uint16(p[2:])}
}

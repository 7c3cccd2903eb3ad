package fastpath

import (
	"encoding/binary"
	"net"
	"net/netip"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/enichain/enichain/stages/internal/bpf"
	"github.com/enichain/enichain/stages/internal/link"
	"github.com/enichain/enichain/stages/internal/linktest"
	"github.com/enichain/enichain/stages/internal/numbers"
)

// TestNextPodHearsNothing gives an address its next pod while a peer goes on sending to the one before, and what was learnt
// of that flow still counts: not one packet may come to the new pod.
func TestNextPodHearsNothing(t *testing.T) {
	for _, r := range []route{
		{name: "direct", server: "10.0.0.11:90", by: "10.0.0.11:90"},
		{name: "by a host port", server: "10.0.0.11:80", by: "10.0.0.10:8080"},
		{name: "IPv6", server: "[fd00::11]:90", by: "[fd00::11]:90"},
	} {
		t.Run(r.name, func(t *testing.T) {
			for range 10 {
				if nextPodHearsNothing(t, r) {
					return
				}
			}
			t.Error("the machine is too slow: no flow stayed learnt while the pods changed")
		})
	}
}

// nextPodHearsNothing says whether what was learnt counted to the end.
func nextPodHearsNothing(t *testing.T, r route) bool {
	w := newWorld(t)
	r.from, r.to = w.outside, w.pod
	w.add(request())
	d := w.datagrams(t, r)
	d.establish()
	d.server.Close()
	w.node.Script("ip link set enipod down; ip link set enipod group 6871 name gone") // as DEL does; it is deleted later
	next := linktest.New(t)
	w.wire(next)
	w.add(request())
	var server net.PacketConn
	var err error
	next.Do(func(*link.Conn) { server, err = net.ListenPacket("udp", r.server) })
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	before, _ := w.learnt(r, d)
	for range 100 {
		_, _ = d.client.Write([]byte("for the pod before")) // an error is an answer to an earlier one
	}
	if after, counts := w.learnt(r, d); !counts || after != before {
		return false // it ended meanwhile, and the kernel's own way led to the new pod
	}
	// The packets of a veth are there before its sender's call returns.
	if err := server.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, from, err := server.ReadFrom(make([]byte, 100)); err == nil {
		t.Errorf("the new pod got %d bytes of %s", n, from)
	}
	return true
}

// learnt says until when the flow's way from the client counts that the node has learnt, and whether it still does.
func (w *world) learnt(r route, d *datagrams) (until uint64, counts bool) {
	w.t.Helper()
	from := "eth0"
	if r.from != w.outside {
		from = "enipod"
	}
	w.node.Do(func(c *link.Conn) {
		l, err := c.LinkByName(from)
		if err != nil {
			w.t.Fatal(err)
		}
		p, err := c.BlockProgram(numbers.BlockIn)
		if err != nil {
			w.t.Fatal(err)
		}
		until = w.until(p.Number, l.Index, d.client.LocalAddr().(*net.UDPAddr).AddrPort(), netip.MustParseAddrPort(r.by))
		var now unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_MONOTONIC_COARSE, &now); err != nil {
			w.t.Fatal(err)
		}
		counts = until >= uint64(now.Nano())
	})
	return until, counts
}

// until reads from the program's map how long what was learnt of a UDP flow counts; 0: nothing was.
func (w *world) until(program uint32, index int, from, to netip.AddrPort) uint64 {
	w.t.Helper()
	f, at := ipv4(), 0
	if to.Addr().Is6() {
		f, at = ipv6(), 1
	}
	opened, err := bpf.Open(program)
	if err != nil {
		w.t.Fatal(err)
	}
	defer opened.Close()
	info, err := bpf.Describe(opened)
	if err != nil {
		w.t.Fatal(err)
	}
	table, err := bpf.OpenMap(info.Maps[at])
	if err != nil {
		w.t.Fatal(err)
	}
	defer table.Close()
	key := binary.NativeEndian.AppendUint32(nil, uint32(index))
	key = binary.NativeEndian.AppendUint32(key, protocolUDP)
	key = binary.BigEndian.AppendUint16(key, from.Port())
	key = binary.BigEndian.AppendUint16(key, to.Port())
	key = append(append(key, from.Addr().Unmap().AsSlice()...), to.Addr().AsSlice()...)
	value := make([]byte, f.valueSize())
	attr := struct {
		fd, _             uint32
		key, value, flags uint64
	}{fd: uint32(table.Fd()), key: uint64(uintptr(unsafe.Pointer(&key[0]))), value: uint64(uintptr(unsafe.Pointer(&value[0])))}
	if _, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_MAP_LOOKUP_ELEM, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr)); errno != 0 {
		return 0
	}
	return binary.NativeEndian.Uint64(value[valueUntil:])
}

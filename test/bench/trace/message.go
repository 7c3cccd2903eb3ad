package trace

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// sent looks into what a thread writes to a socket of netlink.
func (t *tracer) sent(pid, fd int, at, size uint64) {
	if size < unix.SizeofNlMsghdr || size > 1<<20 {
		return
	}
	family, ok := t.sockets[t.inside[pid]][fd]
	if !ok {
		return
	}
	text := make([]byte, size)
	remote := []unix.RemoteIovec{{Base: uintptr(at), Len: int(size)}}
	local := []unix.Iovec{{Base: &text[0]}}
	local[0].SetLen(len(text))
	if n, err := unix.ProcessVMReadv(pid, local, remote, 0); err != nil || n != len(text) {
		return
	}
	t.messages(family, text)
}

// sentVector is sent for struct msghdr, whose vector stands behind its name.
func (t *tracer) sentVector(pid, fd int, at uint64) {
	header := t.read(pid, at, 32)
	if header == nil {
		return
	}
	vector, n := binary.NativeEndian.Uint64(header[16:]), binary.NativeEndian.Uint64(header[24:])
	for i := range min(n, 16) {
		if v := t.read(pid, vector+16*i, 16); v != nil {
			t.sent(pid, fd, binary.NativeEndian.Uint64(v), binary.NativeEndian.Uint64(v[8:]))
		}
	}
}

func (t *tracer) read(pid int, at uint64, size int) []byte {
	text := make([]byte, size)
	local := []unix.Iovec{{Base: &text[0]}}
	local[0].SetLen(size)
	n, err := unix.ProcessVMReadv(pid, local, []unix.RemoteIovec{{Base: uintptr(at), Len: size}}, 0)
	if err != nil || n != size {
		return nil
	}
	return text
}

// messages counts those of a send, and names each that asks for a dump: a request to get with NLM_F_DUMP. The same bits
// mean something else in a request to make something.
func (t *tracer) messages(family int, text []byte) {
	for len(text) >= unix.SizeofNlMsghdr {
		size := int(binary.NativeEndian.Uint32(text))
		kind, flags := binary.NativeEndian.Uint16(text[4:]), binary.NativeEndian.Uint16(text[6:])
		if size < unix.SizeofNlMsghdr || size > len(text) {
			return
		}
		t.counts.Messages++
		if name := getter(family, kind); name != "" && flags&unix.NLM_F_DUMP == unix.NLM_F_DUMP {
			t.counts.Dumps = append(t.counts.Dumps, name)
		}
		text = text[min(len(text), (size+3)&^3):]
	}
}

// getter names a message that asks for objects; "" for any other.
func getter(family int, kind uint16) string {
	switch family {
	case unix.NETLINK_ROUTE:
		if kind >= unix.RTM_BASE && kind&3 == 2 { // linux/rtnetlink.h: NEW, DEL, GET and SET of each kind, in fours
			if name, ok := routeGetters[kind]; ok {
				return name
			}
			return fmt.Sprintf("rtnetlink message %d", kind)
		}
	case unix.NETLINK_NETFILTER:
		subsystem, number := kind>>8, kind&0xff
		switch {
		case subsystem == unix.NFNL_SUBSYS_NFTABLES && nftGetters[number] != "":
			return nftGetters[number]
		case subsystem == unix.NFNL_SUBSYS_CTNETLINK && number == 1:
			return "IPCTNL_MSG_CT_GET"
		}
	}
	return ""
}

var routeGetters = map[uint16]string{unix.RTM_GETLINK: "RTM_GETLINK", unix.RTM_GETADDR: "RTM_GETADDR",
	unix.RTM_GETROUTE: "RTM_GETROUTE", unix.RTM_GETNEIGH: "RTM_GETNEIGH", unix.RTM_GETRULE: "RTM_GETRULE"}

var nftGetters = map[uint16]string{unix.NFT_MSG_GETTABLE: "NFT_MSG_GETTABLE", unix.NFT_MSG_GETCHAIN: "NFT_MSG_GETCHAIN",
	unix.NFT_MSG_GETRULE: "NFT_MSG_GETRULE", unix.NFT_MSG_GETSET: "NFT_MSG_GETSET",
	unix.NFT_MSG_GETSETELEM: "NFT_MSG_GETSETELEM", unix.NFT_MSG_GETOBJ: "NFT_MSG_GETOBJ"}

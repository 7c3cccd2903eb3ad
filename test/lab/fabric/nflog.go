package fabric

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// nfnetlink_log, from linux/netfilter/nfnetlink_log.h.
const (
	nfnlSubsysUlog = 4
	nfulMsgPacket  = 0
	nfulMsgConfig  = 1

	nfulaCfgCmd     = 1
	nfulaCfgMode    = 2
	nfulaCfgQthresh = 5

	nfulaIfindexIn = 4
	nfulaHwaddr    = 8
	nfulaPayload   = 9
	nfulaPrefix    = 10

	nfulCfgCmdBind = 1
	nfulCopyPacket = 2
)

// nflog is a socket bound to one group of the network namespace it was opened in.
type nflog struct{ file *os.File }

// packet is what a log rule said of one.
type packet struct {
	prefix              string
	in                  int // index of the link it came by; 0 = unknown
	mac                 []byte
	source, destination netip.Addr
	protocol            string
}

// openNflog binds the group for the calling thread's network namespace: 64 bytes of each packet, each at once.
func openNflog(group uint16) (*nflog, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("cannot open a netfilter socket: %w", err)
	}
	mode := append(binary.BigEndian.AppendUint32(nil, 64), nfulCopyPacket, 0)
	for _, attribute := range [][]byte{
		attr(nfulaCfgCmd, []byte{nfulCfgCmdBind}),
		attr(nfulaCfgMode, mode),
		attr(nfulaCfgQthresh, binary.BigEndian.AppendUint32(nil, 1)),
	} {
		if err := ask(fd, group, attribute); err != nil {
			unix.Close(fd)
			return nil, fmt.Errorf("cannot bind nflog group %d: %w", group, err)
		}
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return &nflog{file: os.NewFile(uintptr(fd), "nflog")}, nil
}

// ask sends one configuration message and reads its acknowledgement.
func ask(fd int, group uint16, attribute []byte) error {
	body := binary.BigEndian.AppendUint16([]byte{unix.AF_UNSPEC, 0}, group) // struct nfgenmsg
	body = append(body, attribute...)
	m := binary.NativeEndian.AppendUint32(nil, uint32(unix.NLMSG_HDRLEN+len(body)))
	m = binary.NativeEndian.AppendUint16(m, nfnlSubsysUlog<<8|nfulMsgConfig)
	m = binary.NativeEndian.AppendUint16(m, unix.NLM_F_REQUEST|unix.NLM_F_ACK)
	m = append(m, make([]byte, 8)...) // sequence, port
	if err := unix.Sendto(fd, append(m, body...), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	answer := make([]byte, 4096)
	n, _, err := unix.Recvfrom(fd, answer, 0)
	if err != nil {
		return err
	}
	messages, err := syscall.ParseNetlinkMessage(answer[:n])
	if err != nil || len(messages) == 0 || messages[0].Header.Type != unix.NLMSG_ERROR || len(messages[0].Data) < 4 {
		return fmt.Errorf("unexpected answer: %w", err)
	}
	if code := int32(binary.NativeEndian.Uint32(messages[0].Data)); code != 0 {
		return unix.Errno(-code)
	}
	return nil
}

func attr(kind uint16, value []byte) []byte {
	a := binary.NativeEndian.AppendUint16(nil, uint16(4+len(value)))
	a = append(binary.NativeEndian.AppendUint16(a, kind), value...)
	for len(a)%4 != 0 {
		a = append(a, 0)
	}
	return a
}

// read calls note for each packet until the socket is closed.
func (l *nflog) read(note func(packet)) {
	buffer := make([]byte, 1<<16)
	for {
		n, err := l.file.Read(buffer)
		if err != nil {
			if pe, ok := err.(*os.PathError); ok && pe.Err == unix.ENOBUFS {
				continue // a burst was lost; the filter dropped it all the same
			}
			return
		}
		messages, err := syscall.ParseNetlinkMessage(buffer[:n])
		if err != nil {
			continue // not ours to mend; the next read starts at a message again
		}
		for _, m := range messages {
			if m.Header.Type == nfnlSubsysUlog<<8|nfulMsgPacket && len(m.Data) >= 4 {
				note(decode(m.Data[4:]))
			}
		}
	}
}

func (l *nflog) close() error { return l.file.Close() }

func decode(b []byte) packet {
	var p packet
	for len(b) >= 4 {
		size, kind := int(binary.NativeEndian.Uint16(b)), binary.NativeEndian.Uint16(b[2:])&0x3fff
		if size < 4 || size > len(b) {
			break
		}
		value := b[4:size]
		switch kind {
		case nfulaIfindexIn:
			p.in = int(binary.BigEndian.Uint32(value))
		case nfulaHwaddr: // be16 length, be16 pad, address
			if len(value) >= 10 {
				p.mac = append([]byte(nil), value[4:10]...)
			}
		case nfulaPrefix:
			p.prefix = strings.TrimRight(string(value), "\x00")
		case nfulaPayload:
			p.source, p.destination, p.protocol = header(value)
		}
		b = b[min((size+3)&^3, len(b)):]
	}
	return p
}

// header reads addresses and protocol of an IPv4 or IPv6 packet.
func header(b []byte) (source, destination netip.Addr, protocol string) {
	var number byte
	switch {
	case len(b) >= 20 && b[0]>>4 == 4:
		source, destination, number = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20])), b[9]
	case len(b) >= 40 && b[0]>>4 == 6:
		source, destination, number = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40])), b[6]
	default:
		return
	}
	names := map[byte]string{unix.IPPROTO_TCP: "tcp", unix.IPPROTO_UDP: "udp", unix.IPPROTO_ICMP: "icmp", unix.IPPROTO_ICMPV6: "icmp"}
	if protocol = names[number]; protocol == "" {
		protocol = strconv.Itoa(int(number))
	}
	return source, destination, protocol
}

package portmapcompat

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"slices"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/enichain/enichain/stages/internal/nfnl"
	"github.com/enichain/enichain/stages/internal/nft"
)

// presence is where a chain of table nat is: iptables exists twice, and each variant sees its own tables alone.
type presence struct{ nft, legacy bool }

func (p presence) any() bool { return p.nft || p.legacy }

func (p presence) or(q presence) presence { return presence{p.nft || q.nft, p.legacy || q.legacy} }

// present says which of these chains of table nat are there, without a process: two or three questions to the kernel
// where there are none, which is so at nearly every DEL.
func present(c *nfnl.Conn, f nft.Family, chains ...string) (map[string]presence, error) {
	found := map[string]presence{}
	in, err := nftHas(c, f, "nat", "")
	if err != nil {
		return nil, err
	}
	if in {
		for _, name := range chains {
			there, err := nftHas(c, f, "nat", name)
			if err != nil {
				return nil, err
			}
			if there {
				found[name] = presence{nft: true}
			}
		}
	}
	old, err := legacyTable(f)
	if err != nil || old == nil {
		return found, err
	}
	for _, name := range chains {
		if bytes.Contains(old, append([]byte(name), 0)) {
			found[name] = found[name].or(presence{legacy: true})
		}
	}
	return found, nil
}

// nftHas says whether nf_tables has a chain, or with an empty name the table.
func nftHas(c *nfnl.Conn, f nft.Family, table, chain string) (bool, error) {
	m := nfnl.Message{Type: unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETTABLE, Family: uint8(f)}
	m.Attrs.Text(unix.NFTA_TABLE_NAME, table) // NFTA_CHAIN_TABLE is the same number
	if chain != "" {
		m.Type = unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETCHAIN
		m.Attrs.Text(unix.NFTA_CHAIN_NAME, chain)
	}
	err := c.Request(m, nil)
	if errors.Is(err, unix.ENOENT) || unsupported(err) {
		return false, nil
	}
	return err == nil, err
}

// unsupported says whether the kernel has no nf_tables at all.
func unsupported(err error) bool {
	return errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EPROTONOSUPPORT) ||
		errors.Is(err, unix.EAFNOSUPPORT)
}

// Of the kernel's user interface for the older tables (linux/netfilter_ipv4/ip_tables.h; ip6_tables.h has the same).
const (
	soGetInfo    = 64 // IPT_SO_GET_INFO
	soGetEntries = 65 // IPT_SO_GET_ENTRIES
	infoSize     = 84 // struct ipt_getinfo: name, hooks (11 numbers), count, size
	entriesHead  = 40 // struct ipt_get_entries before its entries
	nameSize     = 32 // XT_TABLE_MAXNAMELEN
)

// legacyTable is the older kind's table nat as the kernel has it, a chain's name in it ended by a zero byte; nil where the
// namespace has none. The question alone would make one, so /proc is asked before.
func legacyTable(f nft.Family) ([]byte, error) {
	names, level, family := "/proc/thread-self/net/ip_tables_names", unix.SOL_IP, unix.AF_INET
	if f == nft.IPv6 {
		names, level, family = "/proc/thread-self/net/ip6_tables_names", unix.SOL_IPV6, unix.AF_INET6
	}
	list, err := os.ReadFile(names)
	if err != nil || !slices.Contains(strings.Fields(string(list)), "nat") {
		return nil, nil // a kernel without them has no such file
	}
	fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	for range 16 { // the table may grow between the two questions
		info := make([]byte, infoSize)
		copy(info, "nat")
		if err := getsockopt(fd, level, soGetInfo, info); err != nil {
			return nil, err
		}
		size := binary.NativeEndian.Uint32(info[infoSize-4:])
		entries := make([]byte, entriesHead+size)
		copy(entries, "nat")
		binary.NativeEndian.PutUint32(entries[nameSize:], size)
		err := getsockopt(fd, level, soGetEntries, entries)
		if !errors.Is(err, unix.EAGAIN) {
			return entries[entriesHead:], err
		}
	}
	return nil, unix.EAGAIN
}

func getsockopt(fd, level, name int, into []byte) error {
	length := uint32(len(into))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), uintptr(level), uintptr(name),
		uintptr(unsafe.Pointer(&into[0])), uintptr(unsafe.Pointer(&length)), 0)
	if errno != 0 {
		return errno
	}
	return nil
}

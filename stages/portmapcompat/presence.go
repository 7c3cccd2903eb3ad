package portmapcompat

import (
	"bytes"
	"encoding/binary"
	"errors"
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

// others are the tables of others that a DEL looks into, where they are there: nearly always there are none.
type others struct{ nat, upstream inFamilies }

// inFamilies is whether a table is there, by family; nil means that nobody asked.
type inFamilies map[nft.Family]*nft.Answer[bool]

func askOthers() others {
	o := others{inFamilies{}, inFamilies{}}
	for _, f := range families {
		o.nat[f], o.upstream[f] = nft.AskTable("nat").In(f), nft.AskTable(upstreamTable).In(f)
	}
	return o
}

func (o others) questions() (all []nft.Question) {
	for _, f := range families {
		all = append(all, o.nat[f], o.upstream[f])
	}
	return all
}

// has says whether the table may be there.
func (t inFamilies) has(f nft.Family) (bool, error) {
	if t == nil {
		return true, nil
	}
	err := t[f].Err
	if errors.Is(err, nft.ErrNotExist) || unsupported(err) {
		return false, nil
	}
	return err == nil, err
}

// present says which of these chains of table nat are there, without a process.
func present(c *nfnl.Conn, f nft.Family, chains ...string) (map[string]presence, error) {
	found := map[string]presence{}
	asked := make([]*nft.Answer[nft.ChainState], len(chains))
	ask := make([]nft.Question, len(chains))
	for i, name := range chains {
		asked[i] = nft.AskChain("nat", name).In(f)
		ask[i] = asked[i]
	}
	if err := nft.Over(c).Ask(ask...); err != nil {
		return nil, err
	}
	for i, name := range chains {
		switch err := asked[i].Err; {
		case err == nil:
			found[name] = presence{nft: true}
		case !errors.Is(err, nft.ErrNotExist) && !unsupported(err):
			return nil, err
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

// hasLegacy says whether the namespace has a table nat of the older kind. Asking for the table itself would make one.
func hasLegacy(f nft.Family) bool {
	names := "/proc/thread-self/net/ip_tables_names"
	if f == nft.IPv6 {
		names = "/proc/thread-self/net/ip6_tables_names"
	}
	file, err := unix.Open(names, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false // a kernel without them has no such file
	}
	list := make([]byte, 4096) // at most a handful of names
	n, err := unix.Read(file, list)
	unix.Close(file)
	return err == nil && slices.Contains(strings.Fields(string(list[:n])), "nat")
}

// legacyTable is the older kind's table nat as the kernel has it, a chain's name in it ended by a zero byte; nil where the
// namespace has none.
func legacyTable(f nft.Family) ([]byte, error) {
	if !hasLegacy(f) {
		return nil, nil
	}
	level, family := unix.SOL_IP, unix.AF_INET
	if f == nft.IPv6 {
		level, family = unix.SOL_IPV6, unix.AF_INET6
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

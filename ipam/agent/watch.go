package agent

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// WatchKernel calls f when something changed in the network namespace of the calling thread that may concern the
// agent, until ctx ends. What it says is a reason to look, never an order: f must read the state itself. Lost messages
// (ENOBUFS) are such a reason too.
func WatchKernel(ctx context.Context, f func(Wake)) error {
	route, err := listen(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
		unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE)
	if err != nil {
		return err
	}
	tables, err := listen(unix.NETLINK_NETFILTER, unix.NFNLGRP_NFTABLES)
	if err != nil {
		route.Close()
		return err
	}
	context.AfterFunc(ctx, func() { route.Close(); tables.Close() })
	go receive(route, judgeRoute, f)
	nft := nftChanges{}
	go receive(tables, nft.judge, f)
	return nil
}

// watchBuffer is the receive buffer asked for, bytes: a flush of 1,000 rules is about 150 kB of messages.
const watchBuffer = 2 << 20

func listen(protocol int, groups ...int) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, protocol)
	if err != nil {
		return nil, fmt.Errorf("cannot open netlink socket %d: %w", protocol, err)
	}
	// Without root in the first user namespace the larger buffer is not granted; a loss is a resync, so go on.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, watchBuffer)
	err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	for _, group := range groups {
		if err == nil {
			err = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, group)
		}
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("cannot listen to netlink %d: %w", protocol, err)
	}
	return os.NewFile(uintptr(fd), "netlink"), nil
}

// readBuffer is more than the kernel puts into one message to a group, bytes: it makes them of NLMSG_GOODSIZE, at most 8 KiB
// (linux/netlink.h). One that were longer would come cut off, and is a reason to look at everything then.
const readBuffer = 64 << 10

func receive(socket *os.File, judge func(syscall.NetlinkMessage) (Wake, bool), f func(Wake)) {
	buffer := make([]byte, readBuffer)
	for {
		n, err := socket.Read(buffer)
		switch {
		case errors.Is(err, unix.ENOBUFS):
			f(Wake{Links: true})
			continue
		case err != nil:
			return // closed
		}
		messages, err := syscall.ParseNetlinkMessage(buffer[:n])
		if err != nil {
			f(Wake{Links: true})
			continue
		}
		for _, m := range messages {
			if wake, concerns := judge(m); concerns {
				f(wake)
			}
		}
	}
}

// What of ours the kernel shows in its messages: docs/design.md, "One table each".
const (
	ourProtocol   = 233
	firstTable    = 1000
	lastTable     = 1127
	firstPodGroup = 7000
	lastPodGroup  = 8023
	ourTables     = "enichain-"
)

// judgeRoute picks what takes something from us, or adds a network interface.
func judgeRoute(m syscall.NetlinkMessage) (Wake, bool) {
	switch m.Header.Type {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		group, ok := attribute32(m.Data, unix.SizeofIfInfomsg, unix.IFLA_GROUP)
		pod := ok && group >= firstPodGroup && group <= lastPodGroup
		return Wake{Links: true}, !pod
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		return Wake{Links: true, Who: sender(m)}, true
	case unix.RTM_DELRULE:
		return Wake{Who: sender(m)}, true
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		if len(m.Data) < unix.SizeofRtMsg {
			return Wake{}, true
		}
		protocol, table := m.Data[5], uint32(m.Data[4])
		if t, ok := attribute32(m.Data, unix.SizeofRtMsg, unix.RTA_TABLE); ok {
			table = t
		}
		ours := table >= firstTable && table <= lastTable
		taken := m.Header.Type == unix.RTM_DELROUTE && protocol == ourProtocol
		replaced := m.Header.Type == unix.RTM_NEWROUTE && ours && protocol != ourProtocol
		return Wake{Who: sender(m)}, taken || replaced
	}
	return Wake{}, false
}

// nftChanges remembers within one transaction whether it took something of ours: its last message names the process.
type nftChanges struct {
	taken   bool
	element bool // it took elements of ours
}

// elementOwners are the processes that take elements of ours when a pod ends, by their names (15 bytes, TASK_COMM_LEN).
var elementOwners = []string{"portmap-compat", "snat"}

func (c *nftChanges) judge(m syscall.NetlinkMessage) (Wake, bool) {
	switch m.Header.Type {
	case nftType(unix.NFT_MSG_DELTABLE), nftType(unix.NFT_MSG_DELCHAIN), nftType(unix.NFT_MSG_DELRULE), nftType(unix.NFT_MSG_DELSET):
		// The table's name is attribute 1 in all of them (linux/netfilter/nf_tables.h).
		if name, ok := attribute(m.Data, nfgenmsg, 1); ok && bytes.HasPrefix(name, []byte(ourTables)) {
			c.taken = true
		}
	case nftType(unix.NFT_MSG_DELSETELEM):
		if name, ok := attribute(m.Data, nfgenmsg, unix.NFTA_SET_ELEM_LIST_TABLE); ok && bytes.HasPrefix(name, []byte(ourTables)) {
			c.element = true
		}
	case nftType(unix.NFT_MSG_NEWGEN):
		taken, element := c.taken, c.element
		*c = nftChanges{}
		pid, _ := attribute(m.Data, nfgenmsg, unix.NFTA_GEN_PROC_PID)
		name, _ := attribute(m.Data, nfgenmsg, unix.NFTA_GEN_PROC_NAME)
		wake := Wake{}
		if text := strings.TrimRight(string(name), "\x00"); text != "" && len(pid) == 4 {
			wake.Who = fmt.Sprintf("%s (pid %d)", text, binary.BigEndian.Uint32(pid))
			element = element && !slices.Contains(elementOwners, text)
		}
		return wake, taken || element
	}
	return Wake{}, false
}

func nftType(message int) uint16 { return unix.NFNL_SUBSYS_NFTABLES<<8 | uint16(message) }

// nfgenmsg is the size of struct nfgenmsg (linux/netfilter/nfnetlink.h), bytes.
const nfgenmsg = 4

// sender names the process behind a change: the kernel passes on the port of the socket that asked for it, which is
// the process's id for the first socket that it opened. "" when that says nothing.
func sender(m syscall.NetlinkMessage) string {
	pid := m.Header.Pid
	if pid == 0 || pid > 1<<22 || int(pid) == os.Getpid() {
		return ""
	}
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		return fmt.Sprintf("pid %d, which is gone", pid)
	}
	return fmt.Sprintf("%s (pid %d)", strings.TrimSpace(string(name)), pid)
}

func attribute(data []byte, after int, kind uint16) ([]byte, bool) {
	if len(data) < after {
		return nil, false
	}
	for data = data[after:]; len(data) >= unix.SizeofRtAttr; {
		size := int(binary.NativeEndian.Uint16(data))
		if size < unix.SizeofRtAttr || size > len(data) {
			return nil, false
		}
		if binary.NativeEndian.Uint16(data[2:])&^(unix.NLA_F_NESTED|unix.NLA_F_NET_BYTEORDER) == kind {
			return data[unix.SizeofRtAttr:size], true
		}
		data = data[min((size+3)&^3, len(data)):]
	}
	return nil, false
}

func attribute32(data []byte, after int, kind uint16) (uint32, bool) {
	value, ok := attribute(data, after, kind)
	if !ok || len(value) != 4 {
		return 0, false
	}
	return binary.NativeEndian.Uint32(value), true
}

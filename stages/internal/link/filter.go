package link

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"
)

// Blocks are the filters that a link shares with others: one block for what comes in, one for what leaves
// (tc-qdisc(8), "clsact" with "ingress_block" and "egress_block").
type Blocks struct{ In, Out uint32 }

// Handles of the classifier that stands at both ends of a link (linux/pkt_sched.h, TC_H_CLSACT).
const (
	clsactParent = 0xfffffff1
	clsactHandle = 0xffff0000
)

// ShareBlocks makes a link's packets meet the filters of the blocks; EEXIST says that the link has a classifier already.
func ShareBlocks(index int, b Blocks) Message {
	body := tcHeader(uint32(index), clsactHandle, clsactParent, 0)
	body = putText(body, unix.TCA_KIND, "clsact")
	body = put32(body, unix.TCA_INGRESS_BLOCK, b.In)
	body = put32(body, unix.TCA_EGRESS_BLOCK, b.Out)
	return Message{
		typ: unix.RTM_NEWQDISC, flags: unix.NLM_F_CREATE | unix.NLM_F_EXCL, body: body,
		what: func() string { return "let link " + strconv.Itoa(index) + " share filters" },
	}
}

// UnshareBlocks takes a link's classifier away, whosever it is: read SharedBlocks first.
func UnshareBlocks(index int) Message {
	return Message{
		typ: unix.RTM_DELQDISC, body: tcHeader(uint32(index), clsactHandle, clsactParent, 0),
		fine: []unix.Errno{unix.ENOENT, unix.EINVAL, unix.ENODEV},
		what: func() string { return "take the shared filters from link " + strconv.Itoa(index) },
	}
}

// SharedBlocks are a link's; ErrAbsent where it has no classifier, zero where that shares nothing.
func (c *Conn) SharedBlocks(index int) (Blocks, error) {
	var b Blocks
	what := func() string { return "read the shared filters of link " + strconv.Itoa(index) }
	ask := Message{
		typ: unix.RTM_GETQDISC, flags: unix.NLM_F_ECHO, // without it only those hear the answer who listen to all
		body: tcHeader(uint32(index), clsactHandle, clsactParent, 0), what: what,
		take: func(body []byte) error { _, err := parseBlocks(body, &b); return err },
	}
	err := c.Do(ask)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENODEV) {
		return Blocks{}, fmt.Errorf("cannot %s: %w", what(), ErrAbsent)
	}
	return b, err
}

// Sharing lists the links that share these blocks. Its cost grows with the node's links: never on ADD or DEL.
func (c *Conn) Sharing(b Blocks) ([]int, error) {
	var all []int
	list := Message{typ: unix.RTM_GETQDISC, body: tcHeader(0, 0, 0, 0), what: func() string { return "list shared filters" }}
	err := c.dump(list, func() { all = all[:0] }, func(body []byte) error {
		var have Blocks
		index, err := parseBlocks(body, &have)
		if err == nil && have == b {
			all = append(all, index)
		}
		return err
	})
	return all, err
}

func parseBlocks(body []byte, b *Blocks) (index int, err error) {
	if len(body) < tcHeaderSize {
		return 0, errCut
	}
	return int(get32(body[4:])), attributes(body[tcHeaderSize:], func(typ uint16, value []byte) {
		switch typ {
		case unix.TCA_INGRESS_BLOCK:
			b.In = get32(value)
		case unix.TCA_EGRESS_BLOCK:
			b.Out = get32(value)
		}
	})
}

// Program is a filter of a block that is a program of the kernel's virtual machine.
type Program struct {
	Name   string
	Number uint32 // of the program
}

// The place of our filter in a block, and its attributes (linux/pkt_cls.h).
const (
	blockLink   = 0xffffffff // TCM_IFINDEX_MAGIC_BLOCK: the parent is a block
	filterPlace = 233<<16 | 0x0300
	filterOne   = 1

	bpfFD     = 6
	bpfName   = 7
	bpfFlags  = 8
	bpfNumber = 11
	direct    = 1 // TCA_BPF_FLAG_ACT_DIRECT: the program's answer is what becomes of the packet
)

// SetProgram makes the program that is open as fd a block's filter. Without replace, EEXIST says that there is one. The
// block must be a link's already.
func SetProgram(block uint32, name string, fd int, replace bool) Message {
	body := tcHeader(blockLink, filterOne, block, filterPlace)
	body = putText(body, unix.TCA_KIND, "bpf")
	body = nest(body, unix.TCA_OPTIONS, func(b []byte) []byte {
		b = put32(b, bpfFD, uint32(fd))
		b = putText(b, bpfName, name)
		return put32(b, bpfFlags, direct)
	})
	flags := uint16(unix.NLM_F_CREATE | unix.NLM_F_EXCL)
	if replace {
		flags = unix.NLM_F_CREATE | unix.NLM_F_REPLACE
	}
	return Message{
		typ: unix.RTM_NEWTFILTER, flags: flags, body: body,
		what: func() string { return "make program " + name + " the filter of block " + strconv.Itoa(int(block)) },
	}
}

// BlockProgram is a block's filter; ErrAbsent where it has none, or nobody has the block.
func (c *Conn) BlockProgram(block uint32) (Program, error) {
	what := func() string { return "read the filter of block " + strconv.Itoa(int(block)) }
	body := putText(tcHeader(blockLink, filterOne, block, filterPlace), unix.TCA_KIND, "bpf")
	var p Program
	err := c.Do(Message{typ: unix.RTM_GETTFILTER, body: body, what: what, take: func(b []byte) error {
		if len(b) < tcHeaderSize {
			return errCut
		}
		return attributes(b[tcHeaderSize:], func(typ uint16, value []byte) {
			if typ != unix.TCA_OPTIONS {
				return
			}
			_ = attributes(value, func(typ uint16, value []byte) {
				switch typ {
				case bpfName:
					p.Name = text0(value)
				case bpfNumber:
					p.Number = get32(value)
				}
			})
		})
	}})
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EINVAL) {
		return Program{}, fmt.Errorf("cannot %s: %w", what(), ErrAbsent)
	}
	return p, err
}

const tcHeaderSize = 20

// tcHeader is struct tcmsg.
func tcHeader(index, handle, parent, info uint32) []byte {
	b := make([]byte, 4, 128)
	b = binary.NativeEndian.AppendUint32(b, index)
	b = binary.NativeEndian.AppendUint32(b, handle)
	b = binary.NativeEndian.AppendUint32(b, parent)
	return binary.NativeEndian.AppendUint32(b, info)
}

package fastpath

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/enichain/enichain/stages"
	"github.com/enichain/enichain/stages/internal/bpf"
	"github.com/enichain/enichain/stages/internal/link"
	"github.com/enichain/enichain/stages/internal/numbers"
	"github.com/enichain/enichain/stages/internal/sha"
)

// flows is how many flows of a family the node remembers in each direction; beyond that, those used longest ago give way
// and go the kernel's own way. A flow takes about 150 bytes.
const flows = 65536

// blocks are what links share.
func blocks() link.Blocks { return link.Blocks{In: numbers.BlockIn, Out: numbers.BlockOut} }

// programName says which program a block has: the code's hash, but for what differs from kernel to kernel.
func programName() (string, error) {
	code, err := assemble(conntrack{}, map[string]int{})
	if err != nil {
		return "", err
	}
	sum := sha.Sum1(code)
	return "enichain_" + hex.EncodeToString(sum[:3]), nil
}

// load makes maps and program anew; it lives with the file, or a block that has it.
func load(name string) (*os.File, error) {
	c, err := readConntrack()
	if err != nil {
		return nil, err
	}
	maps := map[string]int{}
	for _, f := range []family{ipv4(), ipv6()} {
		m, err := bpf.NewMap("enichain_fast"+f.name, f.keySize(), f.valueSize(), flows)
		if err != nil {
			return nil, err
		}
		defer m.Close()
		maps[f.name] = int(m.Fd())
	}
	code, err := assemble(c, maps)
	if err != nil {
		return nil, err
	}
	return bpf.Load(name, code)
}

// share makes links share the blocks. One that has a classifier of its own keeps that.
func share(c *link.Conn, links []link.Link) error {
	var errs []error
	for _, l := range links {
		err := c.Do(link.ShareBlocks(l.Index, blocks()))
		if errors.Is(err, unix.EEXIST) {
			var have link.Blocks
			if have, err = c.SharedBlocks(l.Index); err == nil && have != blocks() {
				err = fmt.Errorf("link %s has a classifier (tc qdisc) of somebody else", l.Name)
			}
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// install makes our program the filter of both blocks, which some link must have. Two that install at once end with one
// program: what comes first into the block for what comes in is everybody's.
func install(c *link.Conn) error {
	name, err := programName()
	if err != nil {
		return err
	}
	in, err := c.BlockProgram(numbers.BlockIn)
	if errors.Is(err, link.ErrAbsent) || err == nil && in.Name != name {
		if err = put(c, name, err == nil); err != nil {
			return err
		}
		in, err = c.BlockProgram(numbers.BlockIn)
	}
	if err != nil {
		return err
	}
	out, err := c.BlockProgram(numbers.BlockOut)
	if err == nil && out == in || err != nil && !errors.Is(err, link.ErrAbsent) {
		return err
	}
	replace := err == nil
	program, err := bpf.Open(in.Number)
	if err != nil {
		return err
	}
	defer program.Close()
	return c.Do(link.SetProgram(numbers.BlockOut, name, int(program.Fd()), replace).Tolerating(unix.EEXIST))
}

func put(c *link.Conn, name string, replace bool) error {
	program, err := load(name)
	if err != nil {
		return err
	}
	defer program.Close()
	return c.Do(link.SetProgram(numbers.BlockIn, name, int(program.Fd()), replace).Tolerating(unix.EEXIST))
}

// liberal is the setting by which conntrack follows a TCP connection whose packets it does not all see: it would take the
// next one that it sees for one of another connection, and leave it untranslated.
const liberal = "/proc/sys/net/netfilter/nf_conntrack_tcp_be_liberal"

func isLiberal() bool {
	have, err := os.ReadFile(liberal)
	return err == nil && len(have) > 0 && have[0] != '0'
}

func beLiberal() error {
	if isLiberal() {
		return nil
	}
	return os.WriteFile(liberal, []byte("1"), 0)
}

// possible says whether the program is there already, or can be.
func possible() error {
	c, err := link.Open()
	if err != nil {
		return err
	}
	defer c.Close()
	name, err := programName()
	if err != nil {
		return err
	}
	if in, err := c.BlockProgram(numbers.BlockIn); err == nil && in.Name == name {
		return nil
	}
	program, err := load(name)
	if err != nil {
		return err
	}
	return program.Close()
}

// wire is the host's end of the attachment, from prevResult.
func wire(c *link.Conn, r *stages.Request) (link.Link, error) {
	for _, i := range r.Prev.Interfaces {
		if i.Sandbox != "" {
			continue
		}
		l, err := c.LinkByName(i.Name)
		if err != nil {
			return l, err
		}
		if l.Kind == "bridge" {
			return l, stages.Errorf(stages.Config, "no fast path for %s: its wire is a port of bridge %s, and packets between "+
				"ports are not routed; take fastpath out of the list, or route the pod", r.Attachment, l.Name)
		}
		if _, _, ours := numbers.PodENI(l.Group); ours {
			if mac, _ := link.OwnerMACs(r.Attachment.String()); l.MAC != mac {
				return l, stages.Errorf(stages.Drift, "link %s has MAC %s, not %s of %s: it belongs to another attachment",
					l.Name, l.MAC, mac, r.Attachment)
			}
		}
		return l, nil
	}
	return link.Link{}, stages.Errorf(stages.PrevResult, "no fast path for %s: prevResult names no link of the host; put fastpath "+
		"behind the stage that makes one", r.Attachment)
}

// ways are the network interfaces by which the wire's packets come and go: the node's uplinks and, behind routed-veth, the
// one that the pod's address is on.
func ways(c *link.Conn, w link.Link) ([]link.Link, error) {
	indexes := map[int]bool{}
	for _, six := range []bool{false, true} {
		up, err := c.Uplink(six)
		if err == nil {
			indexes[up.Link] = true
		} else if !errors.Is(err, link.ErrAbsent) {
			return nil, err
		}
		n, _, ours := numbers.PodENI(w.Group)
		if !ours || n == 0 || err != nil {
			continue
		}
		if way, err := c.LookupMarked(six, uint32(n)); err == nil {
			indexes[way.Link] = true
		}
	}
	var all []link.Link
	for index := range indexes {
		l, err := c.LinkByIndex(index)
		if err != nil {
			return nil, err
		}
		all = append(all, l)
	}
	return all, nil
}

// Package fastpath is the stage "fast packets": packets of established flows go from the link they come in by straight to
// the link they leave by. The kernel's own way, with its rules, routes and connection tracking, decides about a flow's
// first packets, and once a second about one more; a small program in the kernel repeats what it decided.
package fastpath

import (
	"context"
	"errors"
	"fmt"

	"github.com/enichain/enichain/chain/contract"
	"github.com/enichain/enichain/stages"
	"github.com/enichain/enichain/stages/internal/link"
	"github.com/enichain/enichain/stages/internal/numbers"
)

// Stage is the stage fastpath.
type Stage struct{}

var _ stages.Stage = Stage{}

// New is the stage; it has no state of its own.
func New() Stage { return Stage{} }

// config is the stage's part of the network configuration: nothing yet.
type config struct{}

// Contract declares the stage.
func (Stage) Contract() contract.Contract {
	return contract.Contract{
		V:        contract.V,
		Previous: contract.Needs,
		Requires: []contract.Fact{contract.IPs, contract.HostInterface, contract.Routed},
		Adds:     []contract.Fact{},
		Kernel:   []string{"tc blocks 2330 2331", "nf_conntrack_tcp_be_liberal"},
		Keys:     map[string]string{},
	}
}

// Add makes the pod's wire and the network interfaces share the program. A failed Add leaves at most what other pods will
// use.
func (Stage) Add(_ context.Context, r *stages.Request) (*stages.Result, error) {
	c, w, err := begin(r)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return r.Prev, failed(r, ensure(c, w))
}

// begin reads the request and finds the wire.
func begin(r *stages.Request) (*link.Conn, link.Link, error) {
	if err := r.Decode(&config{}); err != nil {
		return nil, link.Link{}, err
	}
	if r.Prev == nil {
		return nil, link.Link{}, stages.Errorf(stages.NoPrevResult, "fastpath has no prevResult for %s: it stands behind the "+
			"stage that makes the interface, never first in a list", r.Attachment)
	}
	c, err := link.Open()
	if err != nil {
		return nil, link.Link{}, failed(r, err)
	}
	w, err := wire(c, r)
	if err != nil {
		c.Close()
		return nil, w, failed(r, err)
	}
	return c, w, nil
}

// ensure is what Add does, and Restore again.
func ensure(c *link.Conn, w link.Link) error {
	links, err := ways(c, w)
	if err != nil {
		return err
	}
	if err := beLiberal(); err != nil {
		return fmt.Errorf("cannot let connection tracking be liberal: %w", err)
	}
	if err := share(c, append(links, w)); err != nil {
		return err
	}
	return install(c)
}

// Check says what of the pod's fast path is missing.
func (Stage) Check(_ context.Context, r *stages.Request) error {
	c, w, err := begin(r)
	if err != nil {
		return err
	}
	defer c.Close()
	drift, err := missing(c, w)
	if err == nil && drift != "" {
		err = stages.Errorf(stages.Drift, "%s: %s", r.Attachment, drift)
	}
	return failed(r, err)
}

// missing is the first thing that is not as Add left it, in words.
func missing(c *link.Conn, w link.Link) (string, error) {
	links, err := ways(c, w)
	if err != nil {
		return "", err
	}
	for _, l := range append(links, w) {
		have, err := c.SharedBlocks(l.Index)
		if err != nil && !errors.Is(err, link.ErrAbsent) {
			return "", err
		}
		if have != blocks() {
			return fmt.Sprintf("link %s does not share blocks %d and %d", l.Name, blocks().In, blocks().Out), nil
		}
	}
	name, err := programName()
	if err != nil {
		return "", err
	}
	in, err := c.BlockProgram(numbers.BlockIn)
	if err != nil && !errors.Is(err, link.ErrAbsent) {
		return "", err
	}
	out, err := c.BlockProgram(numbers.BlockOut)
	if err != nil && !errors.Is(err, link.ErrAbsent) {
		return "", err
	}
	if in.Name != name || out != in {
		return fmt.Sprintf("blocks %d and %d do not have program %s", blocks().In, blocks().Out, name), nil
	}
	if !isLiberal() {
		return liberal + " is 0", nil
	}
	return "", nil
}

// Del has nothing to do: what a wire shares goes with the wire, and a flow that was learnt leads to that very wire, for a
// second at most. No other wire gets its number.
func (Stage) Del(context.Context, *stages.Request) error { return nil }

// GC takes the program from the network interfaces when no pod uses it any more.
func (Stage) GC(_ context.Context, r *stages.Request) error {
	if r.Valid == nil {
		return nil
	}
	c, err := link.Open()
	if err != nil {
		return failed(r, err)
	}
	defer c.Close()
	return failed(r, tidy(c, r))
}

// tidy counts a wire of another network as one that uses the program, even if that network does not: a GC knows its own
// network's attachments only.
func tidy(c *link.Conn, r *stages.Request) error {
	sharing, err := c.Sharing(blocks())
	if err != nil || len(sharing) == 0 {
		return err
	}
	var idle []link.Message
	for _, index := range sharing {
		l, err := c.LinkByIndex(index)
		if errors.Is(err, link.ErrAbsent) {
			continue
		} else if err != nil {
			return err
		}
		uplink, err := isWay(c, l)
		if err != nil {
			return err
		}
		if !uplink && l.Group != numbers.SeveredGroup {
			return nil // a wire
		}
		idle = append(idle, link.UnshareBlocks(index))
	}
	return c.Do(idle...)
}

// isWay says whether a link is a network interface of the node rather than a pod's wire.
func isWay(c *link.Conn, l link.Link) (bool, error) {
	if _, ours := numbers.GroupENI(l.Group); ours {
		return true, nil
	}
	for _, six := range []bool{false, true} {
		up, err := c.Uplink(six)
		if err != nil && !errors.Is(err, link.ErrAbsent) {
			return false, err
		}
		if err == nil && up.Link == l.Index {
			return true, nil
		}
	}
	return false, nil
}

// Status tries whether this kernel takes the program at all.
func (Stage) Status(_ context.Context, r *stages.Request) error {
	if err := r.Decode(&config{}); err != nil {
		return err
	}
	if err := possible(); err != nil {
		return stages.Errorf(stages.Kernel, "no pod can have a fast path: %w", err).WithCode(stages.CodeUnavailable)
	}
	return nil
}

// failed gives an error of the kernel its token and the attachment; nil and our own errors pass.
func failed(r *stages.Request, err error) error {
	var ours *stages.Error
	if err == nil || errors.As(err, &ours) {
		return err
	}
	return stages.Errorf(stages.Kernel, "no fast path for %s: %w", r.Attachment, err)
}

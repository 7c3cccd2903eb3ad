// Package portmapcompat is the stage "a way in": ports of the node lead to a pod. It takes upstream portmap's
// configuration as it is and keeps its own table of maps, so that a thousand ports cost a packet what one does.
// Every element names its owner; what a container has is found by that alone, so DEL needs nothing but the container.
package portmapcompat

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"

	"github.com/enichain/enichain/chain/contract"
	"github.com/enichain/enichain/stages"
	"github.com/enichain/enichain/stages/internal/conntrack"
	"github.com/enichain/enichain/stages/internal/link"
	"github.com/enichain/enichain/stages/internal/nft"
	"github.com/enichain/enichain/stages/internal/numbers"
)

// Stage is the stage portmap-compat.
type Stage struct{}

var _ stages.Stage = Stage{}

// New is the stage; it has no state of its own.
func New() Stage { return Stage{} }

// Contract declares the stage.
func (Stage) Contract() contract.Contract { return declaration() }

// call is a checked request.
type call struct {
	config
	ports []mapping
	pod   []netip.Addr
	wants []want
}

// read checks all of a request before anything is touched.
func read(r *stages.Request) (call, error) {
	c := call{config: defaults()}
	ports, portsErr := mappings(r)
	if err := both(r.Decode(&c.config), portsErr); err != nil {
		return c, err
	}
	c.ports = ports
	if r.Prev == nil {
		return c, stages.Errorf(stages.NoPrevResult, "portmap-compat has no prevResult for %s: it stands behind the stage "+
			"that makes the interface, never first in a list", r.Attachment)
	}
	if len(ports) == 0 {
		return c, nil
	}
	if c.pod = targets(r); len(c.pod) == 0 {
		return c, stages.Errorf(stages.Config, "host port %s for %s: prevResult has no address of interface %s that it could "+
			"lead to", ports[0], r.Attachment, r.IfName)
	}
	c.wants = c.elements(r.Attachment, ports, c.pod)
	return c, nil
}

// both makes one error of the faults of the configuration and those of the runtime's ports.
func both(a, b error) error {
	var first, second *stages.Error
	if errors.As(a, &first) && errors.As(b, &second) {
		return stages.Errorf(first.Token, "%s; %s", first.Text, second.Text)
	}
	return errors.Join(a, b)
}

// Add opens the ports in one transaction, so a failed Add leaves none of them.
func (Stage) Add(ctx context.Context, r *stages.Request) (*stages.Result, error) {
	c, err := read(r)
	if err != nil {
		return nil, err
	}
	if len(c.wants) == 0 {
		return r.Prev, nil
	}
	k, err := openKernel()
	if err != nil {
		return nil, kernelError(r, err)
	}
	defer k.close()
	setting, err := c.localnet()
	if err == nil && setting != "" {
		err = link.EnsureSysctl(setting, "1")
	}
	if err == nil {
		err = k.claim(ctx, c.config, r, c.wants)
	}
	if err != nil {
		return nil, kernelError(r, err)
	}
	c.forgetOldFlows(r)
	return r.Prev, nil
}

// localnet is the setting that the ports need for 127.0.0.1; "" when they need none.
func (c call) localnet() (string, error) {
	if !c.SNAT || !localhost(c.ports) {
		return "", nil
	}
	for _, a := range c.pod {
		if a.Is4() {
			return localnet(a)
		}
	}
	return "", nil
}

// forgetOldFlows lets UDP senders of before reach the new container. The ports are open either way, so a failure is
// told and no more.
func (c call) forgetOldFlows(r *stages.Request) {
	for _, m := range c.ports {
		if m.proto != unix.IPPROTO_UDP {
			continue
		}
		err := forgetFlows(m.host, func(f conntrack.Flow) bool {
			for _, a := range c.pod {
				if nft.FamilyOf(a) == nft.FamilyOf(f.From) {
					return m.forFamily(nft.FamilyOf(a)) && f.From != a
				}
			}
			return false
		})
		if err != nil {
			fmt.Fprintf(os.Stderr, "portmap-compat: ADD: %s: %v; senders to host port %s may reach the container before\n",
				r.Attachment, err, m)
		}
	}
}

// Check compares every element, the rules and the setting with what Add made.
func (Stage) Check(_ context.Context, r *stages.Request) error {
	c, err := read(r)
	if err != nil || len(c.wants) == 0 {
		return err
	}
	k, err := openKernel()
	if err != nil {
		return kernelError(r, err)
	}
	defer k.close()
	drift, err := k.nft.Steady(func() (string, error) { return k.drift(c) })
	if err == nil && drift != "" {
		err = stages.Errorf(stages.Drift, "%s: %s", r.Attachment, drift)
	}
	return kernelError(r, err)
}

func (k kernel) drift(c call) (string, error) {
	for _, w := range c.wants {
		have, err := k.nft.Element(numbers.TablePortmap, w.set, w.Key)
		switch {
		case errors.Is(err, nft.ErrNotExist):
			return w.String() + " is missing from table " + numbers.TablePortmap, nil
		case err != nil:
			return "", err
		case have.Comment != w.Comment:
			return w.String() + " belongs to " + have.Comment + " now", nil
		case !bytes.Equal(have.Data, w.Data):
			return fmt.Sprintf("%s leads to %s, not to %s", w, target(have.Data), target(w.Data)), nil
		}
	}
	tables := []nft.Table{masquerade()}
	if c.suffix() == "" {
		tables = append(tables, c.dnat())
	} else if dnat, _, err := k.whole(c.config); err != nil || !dnat {
		return "the rules of this network's conditions are missing from table " + numbers.TablePortmap, err
	}
	for _, t := range tables {
		if drift, err := k.nft.Drift(t); drift != "" || err != nil {
			return drift, err
		}
	}
	setting, err := c.localnet()
	if err != nil || setting == "" {
		return "", err
	}
	is, err := link.Sysctl(setting)
	if err == nil && is != "1" {
		return setting + " is " + is + ", not 1", nil
	}
	return "", err
}

// Del closes the container's ports, found by their owner: it needs neither prevResult nor namespace nor the runtime's
// list, and a port that another container took over stays with that one.
func (Stage) Del(_ context.Context, r *stages.Request) error {
	k, err := openKernel()
	if err != nil {
		return kernelError(r, err)
	}
	defer k.close()
	_, err = k.nft.Element(numbers.TablePortmap, setPods, podsKey(r.Attachment))
	if errors.Is(err, nft.ErrNotExist) {
		return nil
	} else if err != nil {
		return kernelError(r, err)
	}
	mine := owner(r.Attachment)
	return k.releasing(r, func(comment string) bool { return comment == mine }, false)
}

// GC closes the ports of this network's attachments that are gone.
func (Stage) GC(_ context.Context, r *stages.Request) error {
	if r.Valid == nil {
		return nil
	}
	valid := map[string]bool{}
	for _, a := range r.Valid {
		valid[owner(a)] = true
	}
	k, err := openKernel()
	if err != nil {
		return kernelError(r, err)
	}
	defer k.close()
	return k.releasing(r, func(comment string) bool { return nft.Owned(comment, r.Network) && !valid[comment] }, true)
}

// releasing is release, and then the tracked flows of the ports that went.
func (k kernel) releasing(r *stages.Request, drop func(string) bool, table bool) error {
	gone, err := k.release(drop, table)
	if err != nil {
		return kernelError(r, err)
	}
	for _, h := range gone {
		host, udp := h.udpPort()
		if !udp {
			continue
		}
		old := target(h.Data).Addr()
		if err := forgetFlows(host, func(f conntrack.Flow) bool { return f.From == old }); err != nil {
			fmt.Fprintf(os.Stderr, "portmap-compat: %s: %s: %v; they end by themselves\n", r.Command, r.Attachment, err)
		}
	}
	return nil
}

// Status asks nf_tables for a sign of life.
func (Stage) Status(_ context.Context, r *stages.Request) error {
	c := defaults()
	if err := r.Decode(&c); err != nil {
		return err
	}
	if c.suffix() != "" {
		if _, err := nftProgram(); err != nil {
			return unavailable(err)
		}
	}
	k, err := openKernel()
	if err != nil {
		return unavailable(err)
	}
	defer k.close()
	if _, err := k.nft.Generation(); err != nil {
		return unavailable(err)
	}
	return nil
}

func unavailable(err error) error {
	return stages.Errorf(stages.Kernel, "no pod can get host ports: %w", err).WithCode(stages.CodeUnavailable)
}

func owner(a stages.Attachment) string { return nft.Owner(a.Network, a.Container, a.IfName) }

// kernelError gives an error of the kernel its token and the attachment; nil and our own errors pass.
func kernelError(r *stages.Request, err error) error {
	var ours *stages.Error
	if err == nil || errors.As(err, &ours) {
		return err
	}
	return stages.Errorf(stages.Kernel, "portmap-compat failed for %s: %w", r.Attachment, err)
}

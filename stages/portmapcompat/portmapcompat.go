// Package portmapcompat is the stage "a way in": ports of the node lead to a pod. It takes upstream portmap's
// configuration as it is. In nftables it keeps its own table of maps, so that a thousand ports cost a packet what one
// does, and every element names its owner; in iptables it makes upstream's chains. What a container has is found by its
// owner alone, so DEL needs nothing but the container.
package portmapcompat

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/enichain/enichain/chain/contract"
	"github.com/enichain/enichain/stages"
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
	pod   []netip.Prefix
	wants []want // of the backend nftables
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
	if !wired(r) {
		return c, stages.Errorf(stages.Config, "host port %s for %s: prevResult has no interface %s of the container; put "+
			"portmap-compat behind the stage that makes it", ports[0], r.Attachment, r.IfName)
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

// free says whether the configuration leaves the choice of a backend.
func (c config) free() bool {
	return c.Backend == "" && c.backend() == nftables && len(c.ConditionsV4)+len(c.ConditionsV6) == 0
}

// on is the backend for this call: the configuration's; or iptables, where the configuration leaves the choice and the
// kernel has no nf_tables to choose.
func (c config) on(k kernel) (string, error) {
	if !c.free() {
		return c.backend(), nil
	}
	_, err := k.nft.Generation()
	if unsupported(err) {
		return iptables, nil
	}
	return nftables, err
}

// Add opens the ports, in nftables by one transaction, in iptables by one for each family; a failed Add leaves none.
func (Stage) Add(ctx context.Context, r *stages.Request) (*stages.Result, error) {
	c, err := read(r)
	if err != nil {
		return nil, err
	}
	if len(c.wants) == 0 {
		return r.Prev, nil
	}
	if err := c.add(ctx, r); err != nil {
		return nil, kernelError(r, err)
	}
	c.forgetOldFlows(r)
	return r.Prev, nil
}

func (c call) add(ctx context.Context, r *stages.Request) error {
	k, err := openKernel()
	if err != nil {
		return err
	}
	defer k.close()
	setting, err := c.localnet()
	if err != nil {
		return err
	}
	undo := func() error { _, err := k.end(r); return err }
	on := c.backend()
	if on == nftables {
		if err = k.claim(ctx, c.config, r, c.wants); c.free() && errors.Is(err, errNoTables) {
			on = iptables
		}
	}
	if on == iptables {
		var n nat
		if n, err = openNAT(); err != nil {
			return err
		}
		defer n.close()
		undo = func() error { _, err := n.end(ctx, r, nil); return err }
		err = n.add(ctx, c, r)
	}
	if err != nil || setting == "" {
		return err
	}
	if err := link.EnsureSysctl(setting, "1"); err != nil { // last: a port that is refused changes nothing
		return errors.Join(err, undo())
	}
	return nil
}

// localnet is the setting that the ports need for 127.0.0.1; "" when they need none.
func (c call) localnet() (string, error) {
	if !c.SNAT || !localhost(c.ports) {
		return "", nil
	}
	for _, a := range c.pod {
		if a.Addr().Is4() {
			return localnet(a.Addr())
		}
	}
	return "", nil
}

// Check compares all that Add made with what is there: targets, owners, the rules that lead to them, and the setting.
func (Stage) Check(ctx context.Context, r *stages.Request) error {
	c, err := read(r)
	if err != nil || len(c.wants) == 0 {
		return err
	}
	drift, err := c.check(ctx, r)
	if err == nil && drift != "" {
		err = stages.Errorf(stages.Drift, "%s: %s", r.Attachment, drift)
	}
	return kernelError(r, err)
}

func (c call) check(ctx context.Context, r *stages.Request) (drift string, err error) {
	k, err := openKernel()
	if err != nil {
		return "", err
	}
	defer k.close()
	on, err := c.on(k)
	switch {
	case err != nil:
	case on == nftables:
		drift, err = k.nft.Steady(func() (string, error) { return k.drift(c) })
		if drift != "" {
			drift += "; see nft list table inet " + numbers.TablePortmap
		}
	default:
		var n nat
		if n, err = openNAT(); err == nil {
			defer n.close()
			drift, err = n.check(ctx, c, r)
		}
	}
	if drift != "" || err != nil {
		return drift, err
	}
	setting, err := c.localnet()
	if err != nil || setting == "" {
		return "", err
	}
	is, err := link.Sysctl(setting)
	if err == nil && is != "1" {
		return setting + " is " + is + ", not 1; see sysctl " + setting, nil
	}
	return "", err
}

// Del closes the container's ports, found by their owner: it needs neither prevResult nor namespace nor the runtime's
// list, and a port that another container took over stays with that one. Both backends are looked at, whatever the
// configuration says by now, and so is what upstream's portmap made for the container. Nothing there costs a handful of
// questions to the kernel, and no process.
func (Stage) Del(ctx context.Context, r *stages.Request) error {
	k, n, err := openBoth()
	if err != nil {
		return kernelError(r, err)
	}
	defer n.close()
	others := askOthers()
	gone, err := k.end(r, others.questions()...)
	more, natErr := n.end(ctx, r, others.nat)
	err = errors.Join(err, natErr, n.endUpstream(r, others.upstream))
	forget(n.nl, r, append(gone, more...))
	return kernelError(r, err)
}

// openBoth opens what DEL and GC look through at both backends: one socket. The kernel frees what was deleted for some
// 10 ms, and whoever closes a netfilter socket meanwhile waits for it, so it stays open until all else is done.
func openBoth() (kernel, nat, error) {
	n, err := openNAT()
	if err != nil {
		return kernel{}, nat{}, err
	}
	return kernel{nft.Over(n.nl)}, n, nil
}

// GC closes the ports of this network's attachments that are gone, in both backends.
func (Stage) GC(ctx context.Context, r *stages.Request) error {
	if r.Valid == nil {
		fmt.Fprintf(os.Stderr, "portmap-compat: GC: network %s: the runtime gave no cni.dev/valid-attachments, so nothing is "+
			"taken for stale\n", r.Network)
		return nil
	}
	valid := map[string]bool{}
	for _, a := range r.Valid {
		valid[owner(a)] = true
	}
	k, n, err := openBoth()
	if err != nil {
		return kernelError(r, err)
	}
	defer n.close()
	gone, err := k.release(func(comment string) bool { return nft.Owned(comment, r.Network) && !valid[comment] }, true)
	if unsupported(err) {
		err = nil
	}
	more, natErr := n.collect(ctx, r)
	forget(n.nl, r, append(gone, more...))
	return kernelError(r, errors.Join(err, natErr))
}

// statusWait is how long Status waits for iptables; the caller's own deadline does not reach a stage.
const statusWait = 800 * time.Millisecond

// Status asks the backend for a sign of life.
func (Stage) Status(ctx context.Context, r *stages.Request) error {
	c := defaults()
	if err := r.Decode(&c); err != nil {
		return err
	}
	k, err := openKernel()
	if err != nil {
		return unavailable(err)
	}
	defer k.close()
	on, err := c.on(k)
	if err != nil {
		return unavailable(err)
	}
	if on == iptables {
		ctx, stop := context.WithTimeout(ctx, statusWait)
		defer stop()
		four := usable(ctx, nft.IPv4)
		if four == nil {
			return nil
		}
		if six := usable(ctx, nft.IPv6); six != nil {
			return unavailable(errors.Join(four, six))
		}
		return nil
	}
	if c.suffix() != "" {
		if _, err := nftProgram(); err != nil {
			return unavailable(err)
		}
	}
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

// Package eniipam gives containers addresses of the node's network interfaces (ENIs), out of the pool file that the
// agent keeps supplied. It needs no daemon, bus or cloud as long as the pool holds an address: one transaction, and it
// is gone. It is the stage "eni-ipam", first in a list or called as an "ipam" delegate.
package eniipam

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/enichain/enichain/chain/contract"
	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/store"
	"github.com/enichain/enichain/stages"
	"github.com/enichain/enichain/stages/internal/link"
	"github.com/enichain/enichain/stages/internal/numbers"
)

// Stage is eni-ipam. The zero value is the one that runs on a node.
type Stage struct {
	// Boot is the kernel's boot id; "" = ask the kernel.
	Boot string
	// InUse says whether the kernel routes an address to a pod; nil = ask the kernel.
	InUse func(netip.Addr) bool
	// Clock reads the time; nil = store.ReadClock.
	Clock func() store.Now
}

func (s Stage) now() store.Now {
	if s.Clock != nil {
		return s.Clock()
	}
	return store.ReadClock()
}

var _ stages.Stage = Stage{}

// Contract says that addresses come from here, each with its next hop and the network interface behind it. A delegate's
// answer does not name that: only routed-veth gets it.
func (Stage) Contract() contract.Contract {
	return contract.Contract{
		V:            contract.V,
		Previous:     contract.Refuses,
		Adds:         []contract.Fact{contract.IPs, contract.Gateway, contract.ENI},
		Capabilities: []string{capabilityIPs, capabilityAnnotations},
		NotUnder:     notUnder,
		Kernel:       []string{"nothing (a lease in the pool file)"},
		Keys: map[string]string{
			"pool":     `string (a pool of enichaind's configuration; default "default")`,
			"select":   `list of object ({namespace, pool} or {annotation, allow}; the first match wins; default none)`,
			"families": `list of "ipv4" or "ipv6" (default ["ipv4"])`,
			"optional": `list of "ipv4" or "ipv6" (of families, those that a container may go without; default none)`,
			"wait":     `duration 0s..` + store.MaxTicket.String() + ` (for an address of an empty pool; default "20s")`,
			"gateway":  `"none" or "reserve" (default "reserve" as a delegate of others than routed-veth, else "none")`,
			"scope":    `"any", "primary" or "prefix" (default "prefix" under bridge, "primary" under others than routed-veth, else "any")`,
			"poolFile": `string (an absolute path; default "` + store.DefaultPath + `")`,
			"ipam":     `object (these same keys, and type)`,
		},
	}
}

// statusLock is how long STATUS waits for the pool file's lock; the skeleton gives it a second in all.
const statusLock = 600 * time.Millisecond

// Status is 50 before the first address of this boot could be leased, and where the pool file cannot be used at all. A
// full pool and a busy lock are healthy: containerd turns 50 into NotReady, and the node's pods are evicted.
func (s Stage) Status(ctx context.Context, r *stages.Request) error {
	conf, err := decode(r)
	if err != nil {
		return err
	}
	pool, err := s.open(conf, statusLock)
	if err != nil {
		return err
	}
	var m store.Meta
	err = pool.View(ctx, func(t *store.Tx) error { m = t.Meta(); return nil })
	var locked *store.LockedError
	switch {
	case errors.As(err, &locked):
		return nil
	case err != nil:
		return fault(err, "no address can be leased").WithCode(stages.CodeUnavailable)
	case !m.Serves(conf.pools()):
		return stages.Errorf(stages.PoolNotReady, "no address%s was ever leasable since boot: %s", inPool(conf.Pool), coldCause(m, conf.Pool)).
			WithCode(stages.CodeUnavailable)
	}
	return nil
}

func coldCause(m store.Meta, pool string) string {
	if !m.Supplied {
		return "no supply of the reconciler has reached enichaind"
	}
	if p, ok := m.Pool(pool); ok && p.Why != nil && p.Why.Text != "" {
		return p.Why.Text
	}
	return "no network interface with addresses is ready yet"
}

// Check finds a lease that is gone, or not the one that the container was given.
func (s Stage) Check(ctx context.Context, r *stages.Request) error {
	conf, err := decode(r)
	if err != nil {
		return err
	}
	pool, err := s.open(conf, 0)
	if err != nil {
		return err
	}
	var l store.Lease
	var found bool
	var lost []netip.Addr
	err = s.view(ctx, r, pool, func(t *store.Tx) error {
		l, found = t.Leased(ipam.Attachment(r.Attachment))
		lost = t.Lost(l.Addresses)
		return nil
	})
	switch {
	case err != nil:
		return fault(err, "cannot check "+r.Attachment.String())
	case !found:
		return stages.Errorf(stages.Drift, "the pool has no lease for %s any more; delete and add the container again", r.Attachment)
	case len(lost) > 0:
		return stages.Errorf(stages.Drift, "%s of %s is lost: its network interface %s is not attached here any more", lost[0], r.Attachment, l.ENIID)
	}
	return compare(r, l)
}

// compare holds the lease against the result that the container was given: every leased address has to be on the
// container's interface. What else is there is other stages' affair.
func compare(r *stages.Request, l store.Lease) error {
	if r.Prev == nil {
		return nil
	}
	given := map[netip.Addr]bool{}
	for _, ip := range r.Prev.IPs {
		if ip.Interface != nil {
			at := r.Prev.Interfaces[*ip.Interface]
			if at.Sandbox != "" && at.Name != r.IfName {
				continue
			}
		}
		if a, ok := netip.AddrFromSlice(ip.Address.IP); ok {
			given[a.Unmap()] = true
		}
	}
	for _, a := range l.Addresses {
		if !given[a] {
			return stages.Errorf(stages.Drift, "the pool has %s leased to %s, which prevResult does not give to its %s", a, r.Attachment, r.IfName)
		}
	}
	return nil
}

// Del ends the lease. What the agent can settle later is no failure: a runtime may never ask again. Without a pool file
// of this boot there is no lease; behind a lock that nobody gives up the end is written down beside the file, and
// whoever next changes the pool settles it first; in a file that cannot be read the agent's rebuild finds the address
// unused.
func (s Stage) Del(ctx context.Context, r *stages.Request) error {
	conf, _ := decode(r) // a wrong list must not keep an address
	pool, err := s.open(conf, 0)
	if err != nil {
		return err
	}
	err = s.update(ctx, r, pool, func(t *store.Tx) error {
		t.Release(s.now(), ipam.Attachment(r.Attachment), "")
		return nil
	})
	return settled(err, func(cause string) {
		// Should this fail too, the agent's survey finds the lease without a network namespace.
		_ = pool.Defer(ipam.Attachment(r.Attachment), cause)
	}, r.Attachment.String())
}

// settled is nil where somebody else will finish what could not be done.
func settled(err error, deferred func(cause string), who string) error {
	var notReady *store.NotReadyError
	var locked *store.LockedError
	var schema *store.SchemaError
	var damaged *store.DamagedError
	switch {
	case err == nil, errors.As(err, &notReady), errors.As(err, &damaged):
		return nil
	case errors.As(err, &locked):
		deferred("the pool file was locked at DEL")
		return nil
	case errors.As(err, &schema):
		deferred("the pool file was of another version at DEL")
		return nil
	case errors.Is(err, syscall.ENOSPC):
		return nil
	}
	return fault(err, "cannot end the lease of "+who)
}

// GC ends the leases of this network that are not in the runtime's list (protocol i4).
func (s Stage) GC(ctx context.Context, r *stages.Request) error {
	started := s.now()
	conf, err := decode(r)
	if err != nil {
		return err
	}
	if r.Valid == nil {
		return nil
	}
	pool, err := s.open(conf, 0)
	if err != nil {
		return err
	}
	keep := make([]ipam.Attachment, 0, len(r.Valid))
	for _, a := range r.Valid {
		keep = append(keep, ipam.Attachment(a))
	}
	err = s.update(ctx, r, pool, func(t *store.Tx) error {
		t.Collect(s.now(), r.Network, keep, started.Boot, "the runtime does not know it any more")
		return nil
	})
	var notReady *store.NotReadyError
	if err == nil || errors.As(err, &notReady) {
		return nil
	}
	return fault(err, "cannot collect network "+r.Network)
}

func (s Stage) open(conf *config, lockWait time.Duration) (*store.Store, error) {
	boot := s.Boot
	if boot == "" {
		var err error
		if boot, err = store.BootID(); err != nil {
			return nil, stages.Errorf(stages.Kernel, "%w", err)
		}
	}
	return store.New(conf.PoolFile, store.Options{Boot: boot, LockWait: lockWait, Command: "eni-ipam"}), nil
}

// update is a transaction whose wait for the lock is told to the flight record.
func (s Stage) update(ctx context.Context, r *stages.Request, pool *store.Store, f func(*store.Tx) error) error {
	return timed(r, func(inside func()) error {
		return pool.Update(ctx, func(t *store.Tx) error { inside(); return f(t) })
	})
}

func (s Stage) view(ctx context.Context, r *stages.Request, pool *store.Store, f func(*store.Tx) error) error {
	return timed(r, func(inside func()) error {
		return pool.View(ctx, func(t *store.Tx) error { inside(); return f(t) })
	})
}

func timed(r *stages.Request, run func(inside func()) error) error {
	began, waiting := time.Now(), true
	inside := func() {
		r.Waited.Lock += time.Since(began)
		waiting = false
	}
	err := run(inside)
	if waiting {
		inside()
	}
	return err
}

// inUse asks the kernel whether it routes an address to a pod, or has it itself (a bridge, an administrator): one question
// per address that is about to be leased. A kernel that does not answer does not stop a pod: the pool's word stands then.
func (s Stage) inUse() (func(netip.Addr) bool, func()) {
	if s.InUse != nil {
		return s.InUse, func() {}
	}
	var conn *link.Conn
	ask := func(a netip.Addr) bool {
		if conn == nil {
			c, err := link.Open()
			if err != nil {
				return false
			}
			conn = c
		}
		way, err := conn.Lookup(link.Query{Dst: a})
		return err == nil && (way.Table == numbers.PodsTable || way.Table == unix.RT_TABLE_LOCAL)
	}
	return ask, func() {
		if conn != nil {
			_ = conn.Close()
		}
	}
}

// fault gives an error of the store its token; what says what could not be done, and for whom.
func fault(err error, what string) *stages.Error {
	var notReady *store.NotReadyError
	var locked *store.LockedError
	var schema *store.SchemaError
	var damaged *store.DamagedError
	switch {
	case errors.As(err, &notReady):
		return stages.Errorf(stages.PoolNotReady, "%s: pool file %s: %s; enichaind makes it when it starts", what, notReady.Path, notReady.Reason)
	case errors.As(err, &locked):
		return stages.Errorf(stages.PoolLocked, "%s: %w", what, err)
	case errors.As(err, &schema):
		return stages.Errorf(stages.PoolSchema, "%s: %w; install eni-ipam and enichaind of one version", what, err)
	case errors.As(err, &damaged):
		return stages.Errorf(stages.PoolDamaged, "%s: pool file %s: %s; enichaind moves it aside and rebuilds it", what, damaged.Path, damaged.Cause)
	case errors.Is(err, fs.ErrPermission):
		return stages.Errorf(stages.Kernel, "%s: %w; eni-ipam has to run as root", what, err)
	}
	return stages.Errorf(stages.Kernel, "%s: %w", what, err)
}

func agentLock(poolFile string) string { return filepath.Join(filepath.Dir(poolFile), "agent.lock") }

func whom(r *stages.Request) string {
	if pod := r.Pod.String(); pod != "" {
		return pod
	}
	return fmt.Sprint(r.Attachment)
}

package agent

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/store"
)

// noter takes a line for the log; level as in Note.
type noter func(level, format string, args ...any)

// openPool opens the pool file of this boot and instance, or makes it: protocol A6. Nothing is leasable before it
// returns, because there is no file before.
func (c *Config) openPool(ctx context.Context, note noter) (*store.Store, Ledger, error) {
	ledger, known, err := ReadLedger(c.LedgerFile)
	if err != nil {
		note("warn", "%v: everything is held until its time is over", err)
	}
	if known && ledger.Instance != c.Instance {
		note("warn", "ledger %s is of instance %s, this is %s (a cloned disk): not believed", c.LedgerFile, ledger.Instance, c.Instance)
		ledger, known = Ledger{}, false
	}
	st, err := c.openExisting(ctx, note)
	if st != nil || err != nil {
		return st, ledger, err
	}
	view, err := c.Kernel.Inspect(ctx)
	if err != nil {
		return nil, ledger, fmt.Errorf("cannot rebuild the pool file: %w", err)
	}
	cache, err := readCache(c.CacheDir)
	if err != nil {
		return nil, ledger, fmt.Errorf("cannot rebuild the pool file: %w", err)
	}
	sameBoot := !known || ledger.Boot == c.Boot
	past := PastOf(ledger, known, rebuild(view, cache, sameBoot, exists))
	id := store.Identity{Instance: c.Instance, Boot: c.Boot, Inc: c.NewInc(), Type: c.Type, MaxPods: c.MaxPods}
	st, err = store.Create(ctx, c.PoolFile, c.storeOptions(), c.Clock(), id, past)
	if err != nil {
		return nil, ledger, err
	}
	level := "warn"
	if !sameBoot || !known && len(past.Leases) == 0 {
		level = "info" // as each boot begins
	}
	note(level, "made pool file %s, inc %s: %d leases rebuilt from the kernel, %d addresses fenced and %d held from the ledger",
		c.PoolFile, id.Inc, len(past.Leases), len(past.Fenced), len(past.Held))
	return st, ledger, nil
}

// PastOf is what a new pool file begins with (protocol A6): the ledger, where there is one of this instance, and the
// leases of pods that live.
func PastOf(ledger Ledger, known bool, leases []store.Lease) store.Past {
	return store.Past{Seen: ledger.Seen, Gen: ledger.Gen, Fenced: lives(ledger.Fenced), Held: lives(ledger.Held),
		Unknown: !known || ledger.HoldAll, Leases: leases}
}

// openExisting returns nil and no error when there is no file any more that could be used.
func (c *Config) openExisting(ctx context.Context, note noter) (*store.Store, error) {
	st, err := store.Open(ctx, c.PoolFile, c.storeOptions())
	var missing *store.NotReadyError
	var damaged *store.DamagedError
	switch {
	case err == nil:
		other, err := c.otherInstance(ctx, st)
		if err != nil || !other {
			return st, err
		}
		note("warn", "pool file %s is of another instance (a cloned disk): moved aside", c.PoolFile)
	case errors.As(err, &missing) && missing.Reason == store.Missing:
		return nil, nil
	case errors.As(err, &missing), errors.As(err, &damaged):
		note("warn", "%v: moved aside", err)
	default:
		return nil, err
	}
	return nil, store.MoveAside(ctx, c.PoolFile, c.storeOptions())
}

func (c *Config) otherInstance(ctx context.Context, st *store.Store) (other bool, err error) {
	err = st.View(ctx, func(tx *store.Tx) error {
		other = tx.Meta().Instance != c.Instance
		return nil
	})
	return other, err
}

func (c *Config) storeOptions() store.Options {
	o := c.Store
	o.Boot = c.Boot
	if o.Command == "" {
		o.Command = "enichaind"
	}
	return o
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// rebuild finds the leases of pods that live, from the kernel's marks and what the runtime wrote down. What the kernel
// routes is in use, whoever owns it: an address without a known owner gets a lease without a network. A cached result
// counts by itself, for pods that other plugins wired, when its network namespace is there.
func rebuild(view View, cache []cached, believeCache bool, exists func(string) bool) []store.Lease {
	byMAC := map[string]cached{}
	for _, c := range cache {
		byMAC[OwnerMAC(c.Attachment)] = c
	}
	var leases []store.Lease
	done := map[ipam.Attachment]bool{}
	for _, p := range view.Pods {
		if len(p.Addresses) == 0 {
			continue
		}
		c, ok := byMAC[p.MAC]
		if ok && !c.FromPool {
			continue // another allocator's address behind our wire
		}
		if !ok {
			c.Attachment, ok = ownerByAlias(p)
		}
		if !ok || done[c.Attachment] {
			for _, a := range p.Addresses {
				leases = append(leases, store.Lease{Addresses: []netip.Addr{a}})
			}
			continue
		}
		done[c.Attachment] = true
		leases = append(leases, store.Lease{Attachment: c.Attachment, Addresses: slices.Clone(p.Addresses), Netns: c.Netns, Pod: c.Pod})
	}
	for _, c := range cache {
		if believeCache && c.FromPool && !done[c.Attachment] && len(c.Addresses) > 0 && c.Netns != "" && exists(c.Netns) {
			done[c.Attachment] = true
			leases = append(leases, store.Lease{Attachment: c.Attachment, Addresses: c.Addresses, Prefixes: c.Networks, Netns: c.Netns, Pod: c.Pod})
		}
	}
	return leases
}

// ownerByAlias reads network/container/ifname, and believes it only if the link's MAC says the same.
func ownerByAlias(p PodLink) (ipam.Attachment, bool) {
	owner, _, _ := strings.Cut(p.Alias, " ") // addresses may follow
	parts := strings.Split(owner, "/")
	if len(parts) != 3 {
		return ipam.Attachment{}, false
	}
	a := ipam.Attachment{Network: parts[0], Container: parts[1], IfName: parts[2]}
	return a, OwnerMAC(a) == p.MAC
}

// OwnerMAC is the MAC that a pod's host end bears as the mark of its owner: 02 and the first 40 bits of the SHA-1 of
// network/container/ifname (docs/design.md, "The stages").
func OwnerMAC(a ipam.Attachment) string {
	sum := sha1.Sum([]byte(a.String()))
	var b strings.Builder
	b.WriteString("02")
	for _, octet := range sum[:5] {
		b.WriteString(":" + hex.EncodeToString([]byte{octet}))
	}
	return b.String()
}

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/enichain/enichain/bus"
	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/agent"
	"github.com/enichain/enichain/ipam/imds"
	"github.com/enichain/enichain/ipam/store"
)

// Where a node's addresses come from.
const (
	supplyReconciler = "reconciler"
	supplyIMDS       = "imds" // what the metadata service lists: for nodes whose interfaces somebody else manages
)

// byIMDS says that this daemon's agent lives on what the metadata service lists.
func (c Config) byIMDS() bool { return c.Has(RoleAgent) && c.Pool.Supply == supplyIMDS }

// shownBus is the bus of a node without a reconciler: supply comes from a file that this daemon writes of what the
// metadata service shows, events go to people here.
type shownBus struct {
	*agent.FileBus
	told func(bus.Event)
}

var _ agent.Bus = shownBus{}

// PublishEvent tells people here.
func (b shownBus) PublishEvent(_ context.Context, node ipam.InstanceID, inc ipam.Inc, r ipam.Record) error {
	b.told(bus.Event{ID: bus.EventID(inc, r.N), Instance: node, Record: r})
	return nil
}

// shownFile is beside the pool file, and dies with it.
func (d *daemon) shownFile() string {
	return filepath.Join(filepath.Dir(d.config.Pool.File), "imds-supply.json")
}

// shownBus makes the bus; followIMDS writes its file.
func (d *daemon) shownBus() agent.Bus {
	faults := func(err error) { d.log.Error("what the metadata service shows is not taken", "error", err) }
	return shownBus{FileBus: agent.NewFileBus(d.shownFile(), faults), told: d.journal.add}
}

// followIMDS writes what the metadata service shows, until ctx ends. What it showed once in this boot stays: it is known
// to forget, and nobody here could tell that from a release (protocol a6).
func (d *daemon) followIMDS(ctx context.Context) error {
	client, before := imds.New(), d.shownBefore()
	said := ""
	for {
		ask, cancel := context.WithTimeout(ctx, askLimit)
		places, err := client.Places(ask)
		cancel()
		known, unknown := d.past(ctx)
		if err = errors.Join(err, unknown); err == nil {
			before = shownSupply(d.now(), before, places, known)
			err = writeSupply(d.shownFile(), before)
		}
		switch {
		case ctx.Err() != nil:
		case err != nil && err.Error() != said:
			said = err.Error()
			d.log.Warn("the metadata service's addresses are not known; the pool goes on with what it has", "error", err)
		case err == nil:
			said = ""
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Duration(d.now().Node.Resync)):
		}
	}
}

// past is what this boot's pool file knows of the node's interfaces: by a reconciler's word, if it had one before.
type past struct {
	attachments map[ipam.ENIID]ipam.AttachmentID
	held        map[string]bool // addresses and prefixes that were given up
}

func (d *daemon) past(ctx context.Context) (past, error) {
	known := past{map[ipam.ENIID]ipam.AttachmentID{}, map[string]bool{}}
	state, _, err := d.readPool(ctx)
	var missing *store.NotReadyError
	if errors.As(err, &missing) {
		return known, nil
	}
	for _, e := range state.ENIs {
		known.attachments[e.ENI] = e.Attachment
	}
	for _, h := range state.Held {
		known.held[h.String()] = true
	}
	return known, err
}

// forgetShown is for a node that has a reconciler: what it gives up must not come back when it has none again.
func (d *daemon) forgetShown() error {
	if err := os.Remove(d.shownFile()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot forget what the metadata service showed before: %w", err)
	}
	return nil
}

// shownBefore is what an earlier life of the daemon wrote in this boot.
func (d *daemon) shownBefore() (s ipam.Supply) {
	info, err := os.Stat(d.shownFile())
	if err != nil {
		return s
	}
	if now := store.ReadClock(); info.ModTime().Before(now.Wall.Add(-time.Duration(now.Boot))) {
		return s
	}
	if text, err := os.ReadFile(d.shownFile()); err != nil || json.Unmarshal(text, &s) != nil {
		return ipam.Supply{}
	}
	return s
}

func writeSupply(path string, s ipam.Supply) error {
	text, err := json.MarshalIndent(s, "", " ")
	if err == nil {
		_, err = writeByRename(path, text)
	}
	if err != nil {
		return fmt.Errorf("cannot write what the metadata service shows: %w", err)
	}
	return nil
}

// shownSupply is what is shown now, with all that was shown before; not what the pool file holds down, since the metadata
// service may show it for a while after it went. Version and basis are the bus's to fill in.
func shownSupply(c Config, before ipam.Supply, places []imds.Place, known past) ipam.Supply {
	p := c.Pools[0].pool()
	s := ipam.Supply{VPC: before.VPC, ENIs: slices.Clone(before.ENIs), MaxPods: c.Pool.MaxPods, Pools: []ipam.SuppliedPool{{
		Name: p.Name, Families: p.Target.Families, Cooldown: max(p.Cooldown, 0), Window: p.Window, MinAge: p.MinAge,
	}}}
	s.Policy.Rev = 1
	for _, place := range places {
		if !place.CIDR.IsValid() || !place.Primary.IsValid() {
			continue // an interface without IPv4, such as one of EFA alone
		}
		s.VPC = union(s.VPC, place.VPC, comparePrefixes)
		e := ipam.SuppliedENI{
			ENI: place.ENI, Pool: p.Name, MAC: place.MAC, Device: place.Device, Card: place.Card,
			SubnetID: place.Subnet, Subnet: place.CIDR, Subnet6: place.CIDR6,
			Primary: place.Primary, Primary6: place.First6, Gateway: place.CIDR.Addr().Next(),
			// The metadata service does not tell attachments apart. Nothing is released here, so that no life can be mistaken
			// for another; and what a reconciler has had fenced before stays that.
			Attachment: cmp.Or(known.attachments[place.ENI], ipam.AttachmentID("imds-"+string(place.ENI))),
			Addresses:  without(secondary(place), known.held), Prefixes: without(place.Prefixes, known.held),
			PodsOK: p.Target.UsePrimary || place.Device > 0 || place.Card > 0,
		}
		if e.PodsOK {
			e.MTU = p.MTU
		}
		i := slices.IndexFunc(s.ENIs, func(old ipam.SuppliedENI) bool { return old.ENI == place.ENI })
		if i < 0 {
			s.ENIs, i = append(s.ENIs, e), len(s.ENIs)
		}
		e.Addresses = union(s.ENIs[i].Addresses, e.Addresses, netip.Addr.Compare)
		e.Prefixes = union(s.ENIs[i].Prefixes, e.Prefixes, comparePrefixes)
		s.ENIs[i] = e
	}
	slices.SortFunc(s.ENIs, func(a, b ipam.SuppliedENI) int {
		return cmp.Or(a.Card-b.Card, a.Device-b.Device, cmp.Compare(a.ENI, b.ENI))
	})
	return s
}

// secondary are the addresses that pods can have one by one: IPv6 comes in prefixes alone.
func secondary(place imds.Place) (all []netip.Addr) {
	for _, a := range place.Addresses {
		if a.Is4() && a != place.Primary {
			all = append(all, a)
		}
	}
	return all
}

// without leaves some out, by their texts.
func without[T fmt.Stringer](all []T, some map[string]bool) []T {
	return slices.DeleteFunc(slices.Clone(all), func(x T) bool { return some[x.String()] })
}

// union is all of both in order, each once.
func union[T comparable](a, b []T, order func(T, T) int) []T {
	all := slices.Concat(a, b)
	slices.SortFunc(all, order)
	return slices.Compact(all)
}

func comparePrefixes(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), a.Bits()-b.Bits())
}

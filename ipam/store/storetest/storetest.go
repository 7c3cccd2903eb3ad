// Package storetest makes pool files for tests: a real file in a temporary folder, supplied as a reconciler would.
package storetest

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/store"
)

// Instance, Inc and Boot are whose pool it is.
const (
	Instance ipam.InstanceID = "i-0a1b2c3d"
	Inc      ipam.Inc        = "00c0ffee00c0ffee"
	Boot                     = "8a1d6b1e-6b0e-4c68-8f5a-2f1c7f9f3b11"
)

// Pool is a pool file with the supply that it was given last, and a clock that stands until it is moved.
type Pool struct {
	*store.Store
	T      testing.TB
	Now    store.Now
	Supply ipam.Supply
}

// New makes a pool file of this test with the interfaces supplied and their links ready.
func New(t testing.TB, enis ...ipam.SuppliedENI) *Pool {
	t.Helper()
	return At(t, filepath.Join(t.TempDir(), "pool.db"), store.Options{Boot: Boot},
		store.Now{Boot: ipam.Instant(time.Hour), Wall: time.Date(2026, 11, 20, 14, 0, 0, 0, time.UTC)}, enis...)
}

// At is New at a path, with options and a time of the caller's choice; o.Boot is the file's boot.
func At(t testing.TB, path string, o store.Options, now store.Now, enis ...ipam.SuppliedENI) *Pool {
	t.Helper()
	id := store.Identity{Instance: Instance, Boot: o.Boot, Inc: Inc, Type: "m5.large", MaxPods: 29}
	s, err := store.Create(t.Context(), path, o, now, id, store.Past{})
	if err != nil {
		t.Fatal(err)
	}
	p := &Pool{Store: s, T: t, Now: now}
	p.Supply = ipam.Supply{Instance: Instance, Basis: ipam.Basis{Inc: Inc, Seq: 1}, Epoch: 1, First: true,
		VPC:    []netip.Prefix{netip.MustParsePrefix("10.110.0.0/16")},
		Policy: ipam.NodePolicy{Rev: 1},
		Pools: []ipam.SuppliedPool{{Name: "default", Families: []ipam.Family{ipam.IPv4, ipam.IPv6}, Cooldown: 30 * time.Second,
			Low: 2, High: 8, Window: 10 * time.Minute}}}
	if len(enis) > 0 {
		p.Give(enis...)
	}
	return p
}

// ENI is network interface number n of the node, on device index n, with count addresses from 10.110.<10+n>.10 on.
func ENI(n, count int) ipam.SuppliedENI {
	at := func(host int) netip.Addr { return netip.AddrFrom4([4]byte{10, 110, byte(10 + n), byte(host)}) }
	e := ipam.SuppliedENI{ENI: ipam.ENIID(fmt.Sprintf("eni-0%d", n)), Attachment: ipam.AttachmentID(fmt.Sprintf("eni-attach-0%d", n)),
		Pool: "default", MAC: fmt.Sprintf("02:00:00:00:00:%02x", n), Device: n, SubnetID: "subnet-0b7c",
		Subnet: netip.PrefixFrom(at(0), 24), Primary: at(5), Gateway: at(1), PodsOK: true}
	for i := range count {
		e.Addresses = append(e.Addresses, at(10+i))
	}
	return e
}

// Give accepts a supply of exactly these interfaces, newer than the last, and shows all their links ready.
func (p *Pool) Give(enis ...ipam.SuppliedENI) []store.Refusal {
	p.T.Helper()
	p.Supply.ENIs = enis
	refused := p.Accept()
	p.Links(enis...)
	return refused
}

// Accept accepts p.Supply again as the next revision, based on the file's present seq.
func (p *Pool) Accept() (refused []store.Refusal) {
	p.T.Helper()
	p.Do(func(t *store.Tx) error {
		p.Supply.Rev++
		p.Supply.Basis.Seq = t.Meta().Seq
		var err error
		refused, _, err = t.Accept(p.Now, p.Supply)
		return err
	})
	return refused
}

// Links shows the links of exactly these interfaces, ready.
func (p *Pool) Links(enis ...ipam.SuppliedENI) {
	p.T.Helper()
	p.Do(func(t *store.Tx) error {
		var links []store.Link
		for _, e := range enis {
			links = append(links, store.Link{MAC: e.MAC, Name: fmt.Sprintf("eth%d", e.Device), N: -1, Ready: true, Addresses: []netip.Addr{e.Primary}})
		}
		_, err := t.Links(p.Now, links)
		return err
	})
}

// Do runs one transaction that must succeed.
func (p *Pool) Do(f func(*store.Tx) error) {
	p.T.Helper()
	if err := p.Update(p.T.Context(), f); err != nil {
		p.T.Fatal(err)
	}
}

// Pass moves the clock and lets a tick do what the time brings.
func (p *Pool) Pass(d time.Duration) {
	p.T.Helper()
	p.Now = store.Now{Boot: p.Now.After(d), Wall: p.Now.Wall.Add(d)}
	p.Do(func(t *store.Tx) error { return t.Tick(p.Now, nil) })
}

// Request asks for one IPv4 address of the pool "default".
func Request(container string) store.LeaseRequest {
	return store.LeaseRequest{Attachment: ipam.Attachment{Network: "enichain", Container: container, IfName: "eth0"},
		Pool: "default", Families: []store.Family{store.IPv4}, Netns: "/run/netns/" + container}
}

// Lease leases one that must be had.
func (p *Pool) Lease(r store.LeaseRequest) (l store.Lease) {
	p.T.Helper()
	p.Do(func(t *store.Tx) (err error) { l, err = t.Lease(p.Now, r); return err })
	return l
}

// Release ends the lease of a container made by Request.
func (p *Pool) Release(container string) {
	p.T.Helper()
	p.Do(func(t *store.Tx) error { t.Release(p.Now, Request(container).Attachment, ""); return nil })
}

// State reads everything.
func (p *Pool) State() (s store.State) {
	p.T.Helper()
	if err := p.View(p.T.Context(), func(t *store.Tx) error { s = t.State(); return nil }); err != nil {
		p.T.Fatal(err)
	}
	return s
}

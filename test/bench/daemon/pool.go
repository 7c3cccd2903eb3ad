package daemon

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/store"
	"github.com/enichain/enichain/test/bench/figure"
)

// leasesPresent are the sizes of the pool files that are measured.
var leasesPresent = [...]int{0, 100, 700}

const boot = "8a1d6b1e-6b0e-4c68-8f5a-2f1c7f9f3b11"

// place is where a pool file is: what the IDs of its figures end with, a name for people, and a folder.
type place struct{ suffix, name, dir string }

// measure does operations on files of each size.
func (w place) measure(ctx context.Context, o figure.Options, s *figure.Section) error {
	o.Progress("daemon: the pool file " + w.name)
	rounds := o.Samples(100)
	for _, n := range leasesPresent {
		p, err := newPool(ctx, filepath.Join(w.dir, fmt.Sprint("pool-", n), "pool.db"), n)
		if err != nil {
			return err
		}
		var lease, release []float64
		for range rounds {
			l, r, err := p.once(ctx)
			if err != nil {
				return err
			}
			lease, release = append(lease, l), append(release, r)
		}
		id := fmt.Sprintf("%s/pool-%d/", Name, n)
		s.Add(figure.Of(id+"lease"+w.suffix, fmt.Sprintf("pool file %s with %d leases: one more", w.name, n), figure.Microseconds, lease),
			figure.Of(id+"release"+w.suffix, fmt.Sprintf("pool file %s with %d leases: its release", w.name, n), figure.Microseconds, release))
	}
	var floor []float64
	for range rounds {
		took, err := plain(filepath.Join(w.dir, "plain"))
		if err != nil {
			return err
		}
		floor = append(floor, took)
	}
	s.Add(figure.Of(Name+"/pool/floor"+w.suffix, "a plain file of 4 KiB "+w.name+", written, synced and renamed", figure.Microseconds, floor))
	return nil
}

// pool is a pool file with leases, and a clock that moves so that nothing cools.
type pool struct {
	*store.Store
	now store.Now
}

func newPool(ctx context.Context, path string, leases int) (*pool, error) {
	p := &pool{now: store.Now{Boot: ipam.Instant(time.Hour), Wall: time.Now()}}
	id := store.Identity{Instance: "i-0a1b2c3d", Boot: boot, Inc: "00c0ffee00c0ffee", Type: "p5.48xlarge", MaxPods: 737}
	var err error
	if p.Store, err = store.Create(ctx, path, store.Options{Boot: boot}, p.now, id, store.Past{}); err != nil {
		return nil, err
	}
	if err := p.Update(ctx, p.supply); err != nil {
		return nil, err
	}
	for i := range leases {
		err := p.Update(ctx, func(t *store.Tx) error { _, err := t.Lease(p.now, request(fmt.Sprint("old", i))); return err })
		if err != nil {
			return nil, err
		}
	}
	p.Store = store.New(path, store.Options{Boot: boot})
	return p, nil
}

// supply gives the pool 15 interfaces with 49 addresses each, the most that an instance type has.
func (p *pool) supply(t *store.Tx) error {
	s := ipam.Supply{Instance: "i-0a1b2c3d", Basis: ipam.Basis{Inc: "00c0ffee00c0ffee", Seq: t.Meta().Seq}, Epoch: 1, Rev: 1, First: true,
		VPC: []netip.Prefix{netip.MustParsePrefix("10.110.0.0/16")}, Policy: ipam.NodePolicy{Rev: 1},
		Pools: []ipam.SuppliedPool{{Name: "default", Families: []ipam.Family{ipam.IPv4}, Cooldown: 30 * time.Second, Window: 10 * time.Minute}}}
	var links []store.Link
	for n := range 15 {
		at := func(host int) netip.Addr { return netip.AddrFrom4([4]byte{10, 110, byte(10 + n), byte(host)}) }
		e := ipam.SuppliedENI{ENI: ipam.ENIID(fmt.Sprintf("eni-%02d", n)), Attachment: ipam.AttachmentID(fmt.Sprintf("eni-attach-%02d", n)),
			Pool: "default", MAC: fmt.Sprintf("02:00:00:00:00:%02x", n), Device: n, SubnetID: "subnet-0b7c",
			Subnet: netip.PrefixFrom(at(0), 24), Primary: at(5), Gateway: at(1), PodsOK: true}
		for i := range 49 {
			e.Addresses = append(e.Addresses, at(10+i))
		}
		s.ENIs = append(s.ENIs, e)
		links = append(links, store.Link{MAC: e.MAC, Name: fmt.Sprintf("eth%d", n), N: -1, Ready: true, Addresses: []netip.Addr{e.Primary}})
	}
	if _, _, err := t.Accept(p.now, s); err != nil {
		return err
	}
	_, err := t.Links(p.now, links)
	return err
}

func request(container string) store.LeaseRequest {
	return store.LeaseRequest{Attachment: ipam.Attachment{Network: "enichain", Container: container, IfName: "eth0"},
		Pool: "default", Families: []store.Family{store.IPv4}, Netns: "/run/netns/" + container}
}

// once leases and releases one address; the answers are in µs.
func (p *pool) once(ctx context.Context) (lease, release float64, err error) {
	p.now.Boot += ipam.Instant(time.Minute)
	r := request("new")
	began := time.Now()
	err = p.Update(ctx, func(t *store.Tx) error { _, err := t.Lease(p.now, r); return err })
	lease = us(began)
	if err != nil {
		return lease, release, err
	}
	began = time.Now()
	err = p.Update(ctx, func(t *store.Tx) error { t.Release(p.now, r.Attachment, ""); return nil })
	return lease, us(began), err
}

func us(began time.Time) float64 { return float64(time.Since(began)) / 1e3 }

// plain is the least that changes a file for good: the new one is written beside it, synced, and renamed over it.
func plain(path string) (took float64, err error) {
	text := make([]byte, 4<<10)
	began := time.Now()
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return 0, err
	}
	if _, err = f.Write(text); err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	return us(began), err
}

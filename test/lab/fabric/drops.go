package fabric

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Drop is a packet that the VPC did not deliver.
type Drop struct {
	Time        time.Time
	Kind        Kind
	Node        string // that sent it, or the link it came by
	ENI         string // that it came by; empty from outside
	Device      int    // of that interface
	Source      netip.Addr
	Destination netip.Addr
	Protocol    string // "tcp", "udp", "icmp", or the number
	Reason      string // a clause for people
}

// kept is how many drops are remembered; older ones are only counted.
const kept = 1024

// drops collects what the router's filter logs.
type drops struct {
	log *nflog

	mu       sync.Mutex // guards what follows
	last     []Drop
	counts   map[Kind]int
	watchers map[chan Drop]struct{}
}

func watchDrops(f *Fabric) (*drops, error) {
	d := &drops{counts: map[Kind]int{}, watchers: map[chan Drop]struct{}{}}
	err := f.router.Do(func() (err error) {
		d.log, err = openNflog(group)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("fabric: cannot read the router's drops: %w", err)
	}
	go d.log.read(func(p packet) { d.note(f.explain(p)) })
	return d, nil
}

func (d *drops) close() error { return d.log.close() }

func (d *drops) note(drop Drop) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.counts[drop.Kind]++
	d.last = append(d.last, drop)
	if len(d.last) > kept {
		d.last = d.last[len(d.last)-kept:]
	}
	for w := range d.watchers {
		select {
		case w <- drop:
		default: // a slow reader misses some; Dropped counts all
		}
	}
}

// explain turns a logged packet into a Drop, with the interfaces as they are now.
func (f *Fabric) explain(p packet) Drop {
	d := Drop{Time: time.Now(), Kind: Kind(p.prefix), Source: p.source, Destination: p.destination, Protocol: p.protocol, Node: "?"}
	f.mu.Lock()
	defer f.mu.Unlock()
	in := f.byIndex[p.in]
	if in != nil {
		d.Node, d.ENI, d.Device = in.node.Name, in.ID, in.Device
	} else if d.Kind != WrongSource {
		d.Node = "outside"
	}
	switch d.Kind {
	case WrongSource:
		d.Reason = f.wrongSource(in, p)
	case NoAddress:
		d.Reason = "no network interface has the destination"
	case NoPublic:
		d.Reason = "source has no public address, so the internet gateway does not know it"
	case NoPrivate:
		d.Reason = "nobody has this public address"
	}
	return d
}

func (f *Fabric) wrongSource(in *port, p packet) string {
	if in == nil {
		return "it came by an interface that is gone"
	}
	owner := f.owner(p.source)
	switch {
	case owner == in:
		return fmt.Sprintf("source MAC %s is not that of %s", net.HardwareAddr(p.mac), in.ID)
	case owner != nil:
		return fmt.Sprintf("source is an address of %s (%s #%d), not of %s", owner.ID, owner.node.Name, owner.Device, in.ID)
	}
	return fmt.Sprintf("source is not an address of %s, nor of any other interface", in.ID)
}

// Drops are the last drops, oldest first; at most 1,024.
func (f *Fabric) Drops() []Drop {
	f.drops.mu.Lock()
	defer f.drops.mu.Unlock()
	return append([]Drop(nil), f.drops.last...)
}

// Dropped counts all drops by kind since Up.
func (f *Fabric) Dropped() map[Kind]int {
	f.drops.mu.Lock()
	defer f.drops.mu.Unlock()
	all := map[Kind]int{}
	for k, n := range f.drops.counts {
		all[k] = n
	}
	return all
}

// Follow sends each drop from now on, until ctx ends. A reader that is 64 behind misses some.
func (f *Fabric) Follow(ctx context.Context) <-chan Drop {
	w := make(chan Drop, 64)
	f.drops.mu.Lock()
	f.drops.watchers[w] = struct{}{}
	f.drops.mu.Unlock()
	context.AfterFunc(ctx, func() {
		f.drops.mu.Lock()
		defer f.drops.mu.Unlock()
		delete(f.drops.watchers, w)
		close(w)
	})
	return w
}

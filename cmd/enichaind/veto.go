package main

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/imds"
	"github.com/enichain/enichain/ipam/store"
)

const (
	vetoEvery = time.Minute
	vetoLag   = 2 * time.Minute // the metadata service has been seen 85 s behind EC2; longer is no lag
	mostOdd   = 4096            // things that it is remembered of since when they differ
)

// The ways in which the metadata service can differ from the supply. What it shows of interfaces that are not ours is
// none of them.
const (
	eniMissing     = "interface-missing" // supplied, and the metadata service does not show it
	addressMissing = "address-missing"
	addressUnknown = "address-unknown" // the metadata service shows it on an interface of ours, and it was not supplied
)

// veto compares what the metadata service shows with what was supplied, for an alarm and nothing else (protocol a6).
type veto struct {
	mu    sync.Mutex // guards all below
	since map[odd]time.Time
	now   time.Time
	said  map[string]bool // kinds that the alarm was raised for
}

// odd is one thing that differs.
type odd struct {
	kind string
	what string
}

// watchIMDS looks every now and then until ctx ends.
func (d *daemon) watchIMDS(ctx context.Context) error {
	client := imds.New()
	tick := time.NewTicker(vetoEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		ask, cancel := context.WithTimeout(ctx, askLimit)
		shown, err := client.Interfaces(ask)
		cancel()
		if err != nil {
			d.log.Debug("the metadata service does not say which interfaces there are", "error", err)
			continue
		}
		state, _, err := d.readPool(ctx)
		if err != nil || !state.Meta.Supplied {
			continue
		}
		d.veto.compared(disagreements(state, shown), time.Now(), func(kind string, what []string, since time.Time) {
			if len(what) == 0 {
				d.log.Info("the metadata service agrees with the supply again", "kind", kind)
				return
			}
			d.log.Warn("the metadata service and the supply disagree: one of them is wrong, and pods go on with the supply",
				"kind", kind, "what", strings.Join(what[:min(len(what), 5)], ", "), "number", len(what), "since", since.UTC().Format(time.RFC3339))
		})
	}
}

// disagreements are all that differs now.
func disagreements(state store.State, shown []imds.Interface) map[odd]bool {
	odds := map[odd]bool{}
	there := map[ipam.ENIID]map[netip.Prefix]bool{}
	for _, i := range shown {
		there[i.ENI] = map[netip.Prefix]bool{}
		for _, a := range i.Addresses {
			there[i.ENI][alone(a)] = true
		}
		for _, p := range i.Prefixes {
			there[i.ENI][p] = true
		}
	}
	known := map[ipam.ENIID]map[netip.Prefix]bool{}
	primary := ipam.ENIID("")
	for _, e := range state.ENIs {
		if e.N == 0 {
			primary = e.ENI
		}
		known[e.ENI] = map[netip.Prefix]bool{alone(e.Primary): true, alone(e.Primary6): true}
		if e.Listed && there[e.ENI] == nil {
			odds[odd{eniMissing, string(e.ENI)}] = true
		}
	}
	for _, a := range state.Addresses {
		has := known[a.ENI]
		if has == nil {
			continue
		}
		what := a.Prefix
		if !what.IsValid() {
			what = alone(a.Address)
		}
		has[what] = true
		if shown := there[a.ENI]; shown != nil && !shown[what] && !a.Lost && a.State != ipam.Fenced {
			odds[odd{addressMissing, on(what, a.ENI)}] = true
		}
	}
	for eni, shown := range there {
		for p := range shown {
			if known[eni] != nil && !known[eni][p] && !(eni == primary && p.IsSingleIP()) { // the primary may have others' addresses
				odds[odd{addressUnknown, on(p, eni)}] = true
			}
		}
	}
	return odds
}

// alone is a single address as a prefix.
func alone(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// on is an address or a prefix, in words.
func on(p netip.Prefix, eni ipam.ENIID) string {
	if p.IsSingleIP() {
		return p.Addr().String() + " on " + string(eni)
	}
	return p.String() + " on " + string(eni)
}

// compared takes over what differs now. Say is called for each kind of which something has differed for longer than the
// metadata service lags, once, and with nothing once that is over.
func (v *veto) compared(odds map[odd]bool, now time.Time, say func(kind string, what []string, since time.Time)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.since == nil {
		v.since, v.said = map[odd]time.Time{}, map[string]bool{}
	}
	v.now = now
	maps.DeleteFunc(v.since, func(o odd, _ time.Time) bool { return !odds[o] })
	for o := range odds {
		if _, known := v.since[o]; !known && len(v.since) < mostOdd {
			v.since[o] = now
		}
	}
	for _, kind := range []string{eniMissing, addressMissing, addressUnknown} {
		var what []string
		since := now
		for o, at := range v.since {
			if o.kind == kind && now.Sub(at) > vetoLag {
				what = append(what, o.what)
				if at.Before(since) {
					since = at
				}
			}
		}
		slices.Sort(what)
		if alarm := len(what) > 0; alarm != v.said[kind] {
			v.said[kind] = alarm
			say(kind, what, since)
		}
	}
}

// gather tells for how long each kind has differed; 0 = it does not.
func (v *veto) gather(gauge emitter) {
	v.mu.Lock()
	defer v.mu.Unlock()
	oldest := map[string]float64{eniMissing: 0, addressMissing: 0, addressUnknown: 0}
	for o, at := range v.since {
		oldest[o.kind] = max(oldest[o.kind], v.now.Sub(at).Seconds())
	}
	for kind, seconds := range oldest {
		gauge("imds_disagreement_seconds", "How long the metadata service has differed from the supply; up to 120 s it may only lag.", seconds, "kind", kind)
	}
}

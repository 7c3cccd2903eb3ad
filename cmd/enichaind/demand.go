package main

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/enichain/enichain/ipam"
)

// Demand is how many pods are bound to an instance and have no address of a pool yet, by instance and pool.
type Demand map[ipam.InstanceID]map[string]int

// demandSource knows of pods before they ask for an address. Who knows Kubernetes' pods can be one.
type demandSource interface {
	// Follow hands over all the demand there is whenever that may have changed, until ctx ends.
	Follow(ctx context.Context, each func(Demand))
}

const (
	demandLife  = 5 * time.Minute  // protocol r6: older demand is none
	demandAgain = 10 * time.Second // demand is told again this often: a node may be heard of later than its pods
	mostDemand  = 8 << 20          // bytes of the file: 5,000 nodes of several pools each
	mostCount   = 10_000           // pods of one pool on one node
)

// followDemand passes demand on to the reconciler until ctx ends, and begins anew with another source.
func (d *daemon) followDemand(ctx context.Context) error {
	return d.demandRounds.run(ctx, func(ctx context.Context) error {
		d.demand.noted(nil) // what was wrong with the source before is over with it
		var from demandSource = noDemand{}
		if path := d.now().Reconciler.Demand.File; path != "" {
			from = &demandFile{path: path, said: d.demand.noted}
		}
		d.passDemand(ctx, from)
		return nil
	})
}

// passDemand tells the reconciler a source's demand as it changes, and again every now and then. Instances that are
// named no more have none: they are told so once.
func (d *daemon) passDemand(ctx context.Context, from demandSource) {
	changed := make(chan Demand, 1)
	var follow sync.WaitGroup
	follow.Go(func() {
		from.Follow(ctx, func(all Demand) {
			select {
			case <-changed: // nobody has looked at the one before
			default:
			}
			changed <- all
		})
	})
	defer follow.Wait()
	tick := time.NewTicker(demandAgain)
	defer tick.Stop()
	told := d.demand.tell(Demand{}) // what another source said before is over
	for {
		if shell := d.reconciler.Load(); shell != nil && len(told) > 0 {
			shell.SetPods(ctx, told)
		}
		select {
		case <-ctx.Done():
			return
		case all := <-changed:
			told = d.demand.tell(all)
		case <-tick.C:
		}
	}
}

// noDemand is the source of a daemon without one.
type noDemand struct{}

var _ demandSource = noDemand{}

// Follow knows nothing.
func (noDemand) Follow(ctx context.Context, _ func(Demand)) { <-ctx.Done() }

// next is all, with an entry without pods for each instance that is in it no more.
func (before Demand) next(all Demand) Demand {
	next := Demand{}
	for id, pools := range before {
		if len(pools) > 0 {
			next[id] = map[string]int{}
		}
	}
	maps.Copy(next, all)
	return next
}

// demandFile is a file with the demand, written by whoever knows.
type demandFile struct {
	path string
	said func(error) // told of what is wrong with the file, or nil that nothing is
}

var _ demandSource = (*demandFile)(nil)

// Follow reads the file after each writing. What it says holds for demandLife from then; a file with faults leaves what
// was said before to its time.
func (f *demandFile) Follow(ctx context.Context, each func(Demand)) {
	readings := make(chan reading)
	var follow sync.WaitGroup
	follow.Go(func() {
		watchedFile{path: f.path, most: mostDemand}.follow(ctx, func(r reading) {
			select {
			case readings <- r:
			case <-ctx.Done():
			}
		})
	})
	defer follow.Wait()
	stale := time.NewTimer(0)
	stale.Stop()
	defer stale.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-stale.C:
			each(Demand{})
		case r := <-readings:
			if r.err != nil { // it is not there, or cannot be read
				f.said(r.err)
				continue
			}
			all, err := parseDemand(r.text)
			if f.said(err); err != nil {
				continue
			}
			left := demandLife - max(time.Since(r.written), 0)
			if left <= 0 {
				all = Demand{}
			}
			stale.Reset(max(left, 0))
			each(all)
		}
	}
}

// parseDemand reads YAML, which JSON is too: { i-0123456789abcdef0: { default: 3 } }. All faults are told at once.
func parseDemand(text []byte) (Demand, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, fmt.Errorf("cannot read the demand: %w", err)
	}
	all := Demand{}
	if len(doc.Content) == 0 || doc.Content[0].Tag == "!!null" {
		return all, nil
	}
	var faults []string
	bad := func(n *yaml.Node, format string, args ...any) {
		faults = append(faults, fmt.Sprintf("line %d: ", n.Line)+fmt.Sprintf(format, args...))
	}
	each(doc.Content[0], bad, "instances with their pools, such as { i-0123456789abcdef0: { default: 3 } }", func(key, value *yaml.Node) {
		id := ipam.InstanceID(key.Value)
		if !strings.HasPrefix(key.Value, "i-") || len(key.Value) > 32 {
			bad(key, "%q is no instance's id; want i-…", key.Value)
			return
		}
		if all[id] != nil {
			bad(key, "%s stands twice", id)
			return
		}
		all[id] = map[string]int{}
		each(value, bad, string(id)+": want pools with a number of pods, such as { default: 3 }", func(pool, count *yaml.Node) {
			var n int
			if count.Tag != "!!int" || count.Decode(&n) != nil || n < 0 || n > mostCount {
				bad(count, "%s: %s is %q; want a number of pods, 0..%d", id, pool.Value, count.Value, mostCount)
				return
			}
			all[id][pool.Value] = n
		})
		if len(all[id]) > ipam.MaxPools {
			bad(key, "%s has %d pools; a node has up to %d", id, len(all[id]), ipam.MaxPools)
		}
	})
	if len(faults) > 0 {
		const most = 20
		if len(faults) > most {
			faults = append(faults[:most], fmt.Sprintf("and %d more", len(faults)-most))
		}
		return nil, fmt.Errorf("cannot read the demand: %s", strings.Join(faults, "; "))
	}
	return all, nil
}

func each(n *yaml.Node, bad func(*yaml.Node, string, ...any), wanted string, entry func(key, value *yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		bad(n, "want %s", wanted)
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		entry(n.Content[i], n.Content[i+1])
	}
}

// demandState is what is told of the source.
type demandState struct {
	log func(msg string, args ...any) // a warning

	mu    sync.Mutex // guards all below
	fault string     // of the source; "" = it can be read
	last  Demand     // as it was told
}

// noted tells of a fault once, as long as it stays the same.
func (s *demandState) noted(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	s.mu.Lock()
	news := text != s.fault
	s.fault = text
	s.mu.Unlock()
	if news && err != nil && s.log != nil {
		s.log("the demand of pods without an address is not known; what was known runs out in 5m", "error", text)
	}
}

// tell is what to say after all that was said before.
func (s *demandState) tell(all Demand) Demand {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = s.last.next(all)
	return s.last
}

// told is the sum by pool, and whether the source cannot be read.
func (s *demandState) told() (total map[string]int, fault string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	total = map[string]int{}
	for _, pools := range s.last {
		for pool, n := range pools {
			total[pool] += n
		}
	}
	return total, s.fault
}

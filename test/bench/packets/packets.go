// Package packets measures what the node's rules cost: a packet of an established flow, the first packet of a new one,
// a TCP connection and a stream, on nodes made by our stages and on nodes made otherwise, side by side.
package packets

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"

	"github.com/enichain/enichain/test/bench/figure"
)

// bench is one run.
type bench struct {
	o                    figure.Options
	small, middle, large int // pods, ports, networks
	services             int // of kube-proxy
	dir                  string
	worlds               map[string]*world
	byPort               map[string]*path // by the last host port of a node
	samples              samples
}

// Run measures all of it. It takes about three minutes.
func Run(ctx context.Context, o figure.Options) (s figure.Section, err error) {
	b := &bench{o: o, small: 10, middle: 100, large: 1000, services: 500, worlds: map[string]*world{}, byPort: map[string]*path{}, samples: samples{}}
	if o.Smoke() {
		b.small, b.middle, b.large, b.services = 4, 6, 6, 2
	}
	if b.dir, err = os.MkdirTemp("/run", "packets-"); err != nil {
		return s, err
	}
	defer func() {
		for _, w := range b.worlds {
			err = errors.Join(err, w.node.Close())
		}
		err = errors.Join(err, os.RemoveAll(b.dir))
	}()
	o.Progress(fmt.Sprintf("%d nodes with up to %d pods", len(b.recipes()), b.large))
	if err := b.build(ctx); err != nil {
		return s, err
	}
	for _, phase := range []struct {
		name   string
		rounds int
		probes func(context.Context) ([]probe, error)
	}{
		{"packets of established flows", 120, b.established},
		{"first packets", 100, b.firsts},
		{"TCP connections", 80, b.connections},
		{"streams", 20, b.streams},
	} {
		o.Progress(phase.name)
		probes, err := phase.probes(ctx)
		if err != nil {
			return s, err
		}
		if err := b.samples.interleave(ctx, o.Samples(phase.rounds), probes); err != nil {
			return s, fmt.Errorf("%s: %w", phase.name, err)
		}
	}
	return b.section(), nil
}

// atOnce is how many nodes are made at a time: making links is mostly waiting for the kernel.
const atOnce = 4

// build makes all nodes.
func (b *bench) build(ctx context.Context) error {
	recipes := b.recipes()
	made, errs := make([]*world, len(recipes)), make([]error, len(recipes))
	var group sync.WaitGroup
	turn := make(chan struct{}, atOnce)
	for i, r := range recipes {
		group.Go(func() {
			turn <- struct{}{}
			defer func() { <-turn }()
			made[i], errs[i] = build(ctx, r, i, b.o.Bin, b.dir)
		})
	}
	group.Wait()
	for i, r := range recipes {
		b.worlds[r.name] = made[i]
	}
	return errors.Join(errs...)
}

// numbered is the name of a kind of node with that many of what it has many of.
func numbered(kind string, n int) string { return fmt.Sprintf("%s-%d", kind, n) }

// sizes are small, middle and large, each once.
func (b *bench) sizes() []int { return slices.Compact([]int{b.small, b.middle, b.large}) }

// recipes are all nodes.
func (b *bench) recipes() []recipe {
	var all []recipe
	for _, n := range []int{b.small, b.large} {
		all = append(all,
			recipe{name: numbered("bare", n), pods: n, bare: true, script: routes(n)},
			recipe{name: numbered("tracked", n), pods: n, bare: true, script: conntracked + routes(n)})
	}
	for _, n := range b.sizes() {
		all = append(all,
			recipe{name: numbered("ours", n), pods: n, stages: ours, translates: true},
			recipe{name: numbered("aws", n), pods: n, bare: true, script: conntracked + awsRules(n), translates: true})
	}
	for name, script := range map[string]string{"iptables": kubeProxyIPTables(b.services), "nftables": kubeProxyNFTables(b.services)} {
		all = append(all,
			recipe{name: "tracked-" + name, pods: b.middle, bare: true, script: conntracked + routes(b.middle) + script},
			recipe{name: "ours-" + name, pods: b.middle, stages: ours, script: script, translates: true})
	}
	for _, p := range parts() {
		all = append(all, recipe{name: p.name, pods: b.small, stages: ours, interfaces: p.interfaces, script: p.script, translates: p.translates})
	}
	for _, n := range b.sizes() {
		all = append(all,
			recipe{name: numbered("ports-ours", n), pods: 2, ports: n, stages: ours},
			recipe{name: numbered("ports-iptables", n), pods: 2, ports: n, stages: iptablesPorts},
			recipe{name: numbered("ports-nftables", n), pods: 2, ports: n, stages: upstream},
			recipe{name: numbered("snat-ours", n), pods: 2, stages: oursExcluding(n), translates: true},
			recipe{name: numbered("snat-iptables", n), pods: 2, bare: true, script: awsExcluding(n), translates: true})
	}
	return all
}

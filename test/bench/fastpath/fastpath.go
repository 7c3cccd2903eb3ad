// Package fastpath measures what the stage fastpath saves: the same flows on two nodes, of which one has the stage at the
// end of its list.
package fastpath

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/enichain/enichain/test/bench/figure"
)

// probe is one flow, on both nodes.
type probe struct {
	id, what string
	plain    func() (float64, error)
	fast     func() (float64, error)
}

// Run makes both nodes and measures their flows in turns.
func Run(ctx context.Context, o figure.Options) (figure.Section, error) {
	s := figure.Section{Name: "fastpath", Title: "Established flows by the stage fastpath",
		Method: "Two nodes with the same pods and flows, one of which has fastpath at the end of its list; the flows in turns, first " +
			"on one node and then on the other. UDP: a burst of 250 datagrams of 64 bytes in one system call, which hands each on to " +
			"its receiver's socket before it returns. TCP: one byte there and back 50 times, or 16 MiB one way with segments as " +
			"large as the kernel makes them. A ratio is of two samples next to each other; below 1 is faster."}
	dir, err := os.MkdirTemp("", "fastpath")
	if err != nil {
		return s, err
	}
	defer os.RemoveAll(dir)
	o.Progress("fastpath: making two nodes")
	plain, err := build(ctx, "plain", "", o.Bin, dir)
	defer func() { plain.node.Close() }()
	if err != nil {
		return s, err
	}
	fast, err := build(ctx, "fast", `, {"type": "fastpath"}`, o.Bin, dir)
	defer func() { fast.node.Close() }()
	if err != nil {
		return s, err
	}
	probes, err := pair(ctx, plain, fast)
	if err != nil {
		return s, err
	}
	o.Progress("fastpath: sending")
	return s, measure(ctx, &s, probes, o.Samples(200))
}

// pair opens the flows on both nodes. The kernel calls a UDP flow a stream after two seconds of answers.
func pair(ctx context.Context, plain, fast *world) ([]probe, error) {
	var all []probe
	var open []*udp
	for _, f := range flows() {
		p := probe{id: f.id, what: f.what}
		for _, side := range []struct {
			w    *world
			into *func() (float64, error)
		}{{plain, &p.plain}, {fast, &p.fast}} {
			sample, u, err := f.open(ctx, side.w)
			if err != nil {
				return nil, err
			}
			if *side.into = sample; u != nil {
				open = append(open, u)
			}
		}
		all = append(all, p)
	}
	const stream = 2500 * time.Millisecond
	for end := time.Now().Add(stream); time.Now().Before(end); {
		for _, u := range open {
			if err := u.exchange(); err != nil {
				return nil, err
			}
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	for _, u := range open {
		if err := u.onlySend(); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// flow is how to open one of the flows and take a sample of it.
type flow struct {
	id, what string
	open     func(context.Context, *world) (func() (float64, error), *udp, error)
}

func flows() []flow {
	return []flow{
		datagrams("out-snat", "pod to the internet, SNAT", func(w *world) ends { return ends{w.second, w.node.Outside, w.node.Outside.Addr, 0, 0} }),
		datagrams("out-vpc", "pod to a VPC host", func(w *world) ends { return ends{w.second, w.node.Host, w.node.Host.Addr, 0, 0} }),
		datagrams("in", "VPC host to pod", func(w *world) ends { return ends{w.node.Host, w.second, w.second.Addr, 0, 0} }),
		datagrams("host-port", "VPC host to pod by a host port, DNAT", func(w *world) ends {
			return ends{w.node.Host, w.second, w.node.Self.Addr, podPort, hostPort}
		}),
		datagrams("pod-pod", "pod to pod of the same node", func(w *world) ends { return ends{w.first, w.second, w.second.Addr, 0, 0} }),
		datagrams("in-ipv6", "VPC host to pod, IPv6", func(w *world) ends { return ends{w.node.Host, w.second, w.second.Addr6, 0, 0} }),
		datagrams("out-ipv6", "pod to a VPC host, IPv6", func(w *world) ends { return ends{w.second, w.node.Host, w.node.Host.Addr6, 0, 0} }),
		stream("ask-out", "TCP, pod to the internet and back", func(w *world) ends { return ends{w.second, w.node.Outside, w.node.Outside.Addr, 0, 0} }, (*tcp).askOften),
		stream("ask-in", "TCP, VPC host to pod by a host port and back", func(w *world) ends {
			return ends{w.node.Host, w.second, w.node.Self.Addr, podPort, hostPort}
		}, (*tcp).askOften),
		stream("pour-out", "TCP, a KiB of many from pod to the internet", func(w *world) ends { return ends{w.first, w.node.Outside, w.node.Outside.Addr, 0, 0} }, (*tcp).pourMuch),
		stream("pour-in", "TCP, a KiB of many from a VPC host to a pod", func(w *world) ends { return ends{w.node.Host, w.first, w.first.Addr, 0, 0} }, (*tcp).pourMuch),
	}
}

func (t *tcp) askOften() (float64, error) { return t.ask(50) }
func (t *tcp) pourMuch() (float64, error) { return t.pour(64) }

func datagrams(id, what string, between func(*world) ends) flow {
	return flow{id, what, func(_ context.Context, w *world) (func() (float64, error), *udp, error) {
		e := between(w)
		u, err := talk(e.from, e.source(), e.to, netip.AddrPortFrom(e.target(), e.port), netip.AddrPortFrom(e.by, e.byPort))
		if err != nil {
			return nil, nil, err
		}
		return u.send, u, nil
	}}
}

func stream(id, what string, between func(*world) ends, sample func(*tcp) (float64, error)) flow {
	return flow{id, what, func(ctx context.Context, w *world) (func() (float64, error), *udp, error) {
		e := between(w)
		t, err := connect(ctx, e.from, e.source(), e.to, netip.AddrPortFrom(e.target(), e.port), netip.AddrPortFrom(e.by, e.byPort))
		if err != nil {
			return nil, nil, err
		}
		return func() (float64, error) { return sample(t) }, nil, nil
	}}
}

// measure takes the samples in turns, and tells each flow's ratio and both nodes' times.
func measure(ctx context.Context, s *figure.Section, probes []probe, rounds int) error {
	plain, fast := map[string][]float64{}, map[string][]float64{}
	err := alone(func() error {
		for round := range rounds {
			for _, p := range probes {
				if err := ctx.Err(); err != nil {
					return err
				}
				a, errA := p.plain()
				b, errB := p.fast()
				if err := errors.Join(errA, errB); err != nil {
					return fmt.Errorf("flow %s: %w", p.id, err)
				}
				if round > 0 || rounds == 1 { // the first learns
					plain[p.id], fast[p.id] = append(plain[p.id], a), append(fast[p.id], b)
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	table := figure.Table{Name: "fastpath", Title: "Established flows: with fastpath, and without",
		Columns: []string{"flow", "with / without", "without, µs", "with, µs"}}
	for _, p := range probes {
		scale, unit := 1e-3, figure.Microseconds
		id := "fastpath/" + p.id
		s.Add(figure.RatioOf(id, p.what+": with fastpath / without", fast[p.id], plain[p.id]),
			figure.Of(id+"/without", p.what+", without", unit, times(plain[p.id], scale)),
			figure.Of(id+"/with", p.what+", with fastpath", unit, times(fast[p.id], scale)))
		table.Rows = append(table.Rows, figure.Row{Name: p.what, Cells: []string{id, id + "/without", id + "/with"}})
	}
	s.Tables = append(s.Tables, table)
	return nil
}

func times(all []float64, factor float64) []float64 {
	var out []float64
	for _, v := range all {
		out = append(out, v*factor)
	}
	return out
}

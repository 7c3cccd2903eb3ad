// Package pods measures what a pod costs: ADD, CHECK and DEL of our chain, of upstream's, of amazon-vpc-cni-k8s's and of
// the floor, in interleaved runs on nodes in network namespaces of their own.
package pods

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/enichain/enichain/stages/handover"
	"github.com/enichain/enichain/test/bench/figure"
	"github.com/enichain/enichain/test/bench/peers"
	"github.com/enichain/enichain/test/bench/trace"
)

// bench is one run.
type bench struct {
	figure.Options
	name, title string    // of the section
	dir         string    // of all state, on the disk
	path        []string  // folders of plugins
	subjects    []subject // all chains that can be measured here
	record      record
	seen        map[string]trace.Counts       // by subject and verb
	shares      map[string]map[string]float64 // by subject and verb: samples by place
	missing     []string
	nodes       int
	told        time.Time
}

// Run measures one pod after the other: the bare process, and ADD, CHECK and DEL on an empty node.
func Run(ctx context.Context, o figure.Options) (figure.Section, error) {
	return run(ctx, o, "pods", "What a pod costs", (*bench).alone)
}

// RunBursts measures pods that come, go, or do both, many at once.
func RunBursts(ctx context.Context, o figure.Options) (figure.Section, error) {
	return run(ctx, o, "bursts", "Many pods at once", (*bench).bursts)
}

// RunGrowth measures how a pod's cost grows with its host ports and with the pods that are there.
func RunGrowth(ctx context.Context, o figure.Options) (figure.Section, error) {
	return run(ctx, o, "growth", "What grows with ports and pods", (*bench).growth)
}

func run(ctx context.Context, o figure.Options, name, title string, measure func(*bench, context.Context) error) (figure.Section, error) {
	dir, err := os.MkdirTemp("", "enichain-bench-")
	if err != nil {
		return figure.Section{}, err
	}
	defer os.RemoveAll(dir)
	b := &bench{Options: o, name: name, title: title, dir: dir, record: record{}, seen: map[string]trace.Counts{}, shares: map[string]map[string]float64{}}
	end, err := b.prepare(ctx)
	if err != nil {
		return figure.Section{}, err
	}
	defer end()
	if err := measure(b, ctx); err != nil {
		return figure.Section{}, err
	}
	return b.section(), nil
}

// prepare builds the peers and starts the stand-in; end ends it.
func (b *bench) prepare(ctx context.Context) (end func(), err error) {
	floors, err := peers.Floor(ctx, b.Cache)
	if err != nil {
		return nil, err
	}
	b.path = []string{b.Bin, floors}
	// The folder of flight records and of the daemon, as a node has it.
	if err := os.MkdirAll(filepath.Dir(handover.Path), 0o755); err != nil {
		return nil, err
	}
	aws, err := peers.AWS(ctx, b.Cache, b.Progress)
	if err == nil {
		end, err = standIn(filepath.Join(aws, "awscni"))
	}
	if err != nil {
		b.missing = append(b.missing, "amazon-vpc-cni-k8s: "+err.Error())
		end = func() {}
	} else {
		b.path = append(b.path, aws)
	}
	fused, missing := b.fused(ctx)
	if missing != nil {
		b.missing = append(b.missing, "the fused chain: "+missing.Error())
	}
	b.subjects = append(own(fused), others(err == nil)...)
	return end, nil
}

// standIn starts the program that answers as amazon-vpc-cni-k8s's daemon does.
func standIn(program string) (end func(), err error) {
	const socket = "/run/aws-node/ipamd.sock"
	if err := os.MkdirAll(filepath.Dir(socket), 0o755); err != nil {
		return nil, err
	}
	cmd := exec.Command(program, socket)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("cannot start the stand-in: %w", err)
	}
	end = func() { cmd.Process.Kill(); cmd.Wait(); os.Remove(socket) }
	if _, err := out.Read(make([]byte, 16)); err != nil {
		end()
		return nil, fmt.Errorf("the stand-in did not begin: %w", err)
	}
	return end, nil
}

// fused is our list as enichainctl fuses it.
func (b *bench) fused(ctx context.Context) (string, error) {
	file := filepath.Join(b.dir, "fuse.conflist")
	if err := os.WriteFile(file, []byte(subject{id: "fused", plugins: ours}.conflist(stateMark)), 0o644); err != nil {
		return "", err
	}
	out, err := exec.CommandContext(ctx, filepath.Join(b.Bin, "enichainctl"), "chain", "fuse", file).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, bytes.TrimSpace(exit.Stderr))
		}
		return "", fmt.Errorf("enichainctl chain fuse: %w", err)
	}
	return string(out), nil
}

func (b *bench) alone(ctx context.Context) error {
	if err := b.versions(ctx, b.Samples(60)); err != nil {
		return err
	}
	all, err := b.empty(ctx)
	defer b.close(all)
	if err != nil {
		return err
	}
	if err := b.serial(ctx, "one pod after the other", plain(all), b.Samples(40)); err != nil {
		return err
	}
	for _, n := range all {
		if err := b.calls(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) bursts(ctx context.Context) error {
	all, err := b.empty(ctx, "ptp-iptables", "ptp-nftables", "bridge-iptables", "fused-0port", "fused-daemon")
	defer b.close(all)
	if err != nil {
		return err
	}
	if err := b.serial(ctx, "one pod after the other", plain(all), b.Samples(10)); err != nil {
		return err
	}
	pods, rounds := 50, b.Samples(3)
	if b.Smoke() {
		pods = 4
	}
	if err := b.parallel(ctx, all, pods, rounds); err != nil {
		return err
	}
	return b.churn(ctx, all, pods, rounds)
}

func (b *bench) growth(ctx context.Context) error {
	if err := b.byPorts(ctx); err != nil {
		return err
	}
	return b.byPods(ctx)
}

// empty makes a node without pods for every chain but some: what takes long and says little more is left out.
func (b *bench) empty(ctx context.Context, without ...string) (all []*node, err error) {
	for _, s := range b.subjects {
		if slices.Contains(without, s.id) {
			continue
		}
		n, err := b.node(ctx, s)
		if err != nil {
			return all, err
		}
		all = append(all, n)
	}
	return all, nil
}

// plain are the settings of nodes that are as they are.
func plain(all []*node) (settings []setting) {
	for _, n := range all {
		settings = append(settings, setting{n, ""})
	}
	return settings
}

func (b *bench) node(ctx context.Context, s subject) (*node, error) {
	b.nodes++
	return newNode(ctx, s, filepath.Join(b.dir, fmt.Sprintf("n%d", b.nodes)), b.path)
}

func (b *bench) close(all []*node) {
	for _, n := range all {
		n.close()
	}
}

// progress tells how far it is, at most once in two seconds.
func (b *bench) progress(format string, args ...any) {
	if time.Since(b.told) < 2*time.Second {
		return
	}
	b.told = time.Now()
	b.Progress(b.name + ": " + fmt.Sprintf(format, args...))
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/enichain/enichain/bus"
	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/reconcile"
	"github.com/enichain/enichain/ipam/record"
	"github.com/enichain/enichain/test/lab/vpc"
	"github.com/enichain/enichain/test/lab/wire"
)

// rig is a daemon with the roles reconciler and bus over the lab's EC2, and one node that says what it has.
type rig struct {
	*daemon
	world *vpc.World
	node  *fakeNode
	file  string
	log   *safeBuffer
}

// fakeNode takes every supply as it comes, as an agent whose kernel is always ready.
type fakeNode struct {
	conn *bus.Conn

	mu       sync.Mutex // guards all below
	snap     ipam.Snapshot
	supplies []ipam.Supply
}

// said changes what the node says of itself, and says it.
func (n *fakeNode) said(ctx context.Context, change func(*ipam.Snapshot)) error {
	n.mu.Lock()
	n.snap.Seq++
	change(&n.snap)
	snap := n.snap
	n.mu.Unlock()
	return n.conn.PublishSnapshot(ctx, snap)
}

func (n *fakeNode) accept(ctx context.Context, s ipam.Supply) {
	seen := ipam.Seen{Epoch: s.Epoch, Rev: s.Rev}
	n.mu.Lock()
	old := !n.snap.Seen.Less(seen)
	if !old {
		n.supplies = append(n.supplies, s)
	}
	n.mu.Unlock()
	if old {
		return
	}
	_ = n.said(ctx, func(snap *ipam.Snapshot) { // a snapshot that is lost is asked for again
		snap.Seen, snap.ENIs = seen, nil
		for i, e := range s.ENIs {
			snap.ENIs = append(snap.ENIs, ipam.ENISummary{ENI: e.ENI, Attachment: e.Attachment, N: i, Pool: e.Pool, Link: true,
				Free: len(e.Addresses), Single: len(e.Addresses)})
		}
	})
}

// newest is the newest supply, and how many there were.
func (n *fakeNode) newest() (ipam.Supply, int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.supplies) == 0 {
		return ipam.Supply{}, 0
	}
	return n.supplies[len(n.supplies)-1], len(n.supplies)
}

func newRig(t *testing.T, lines string) *rig {
	t.Helper()
	world := vpc.New(vpc.Config{}, rand.New(rand.NewPCG(1, 2)))
	v, err := world.AddVPC(vpc.VPC{CIDRs: []netip.Prefix{netip.MustParsePrefix("10.130.0.0/16")}})
	if err != nil {
		t.Fatal(err)
	}
	s, err := world.AddSubnet(vpc.Subnet{VPC: v.ID, Zone: "lab-1a", CIDR: netip.MustParsePrefix("10.130.16.0/20")})
	if err != nil {
		t.Fatal(err)
	}
	const id = "i-00000000000000001"
	if _, _, err = world.AddInstance(time.Now(), vpc.Launch{ID: id, Type: "m5.large", Subnet: s.ID}); err != nil {
		t.Fatal(err)
	}
	ec2 := httptest.NewServer(wire.Handler(world, wire.RealClock{}, nil))
	t.Cleanup(ec2.Close)
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	dir, err := os.MkdirTemp("", "enichaind")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	f := &rig{world: world, file: filepath.Join(dir, "enichaind.yaml"), log: &safeBuffer{}}
	f.node = &fakeNode{snap: ipam.Snapshot{Instance: id, Boot: "boot-1", Inc: "0123456789abcdef", Type: "m5.large"}}
	head := fmt.Sprintf("cluster: lab\nroles: [reconciler, bus]\nsocket: %s\nbus: { store: %s }\n", filepath.Join(dir, "d.sock"), filepath.Join(dir, "bus"))
	f.write(t, head, ec2.URL, lines)
	from := source{file: f.file, over: func(*Config) {}}
	config, err := from.load()
	if err != nil {
		t.Fatal(err)
	}
	f.daemon = &daemon{config: config, source: from, log: slog.New(slog.NewJSONHandler(f.log, nil))}
	f.start(t)
	return f
}

// write puts the configuration in place; lines are the pools and what else there is.
func (f *rig) write(t *testing.T, head, url, lines string) {
	t.Helper()
	write(t, f.file+".tmp", head+"reconciler:\n  ec2: { region: lab-1, endpoint: \""+url+"\" }\n"+lines+"\n")
	if err := os.Rename(f.file+".tmp", f.file); err != nil {
		t.Fatal(err)
	}
}

// rewrite changes a text in the configuration file.
func (f *rig) rewrite(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(f.file)
	if err != nil || !bytes.Contains(text, []byte(from)) {
		t.Fatalf("no %q in the configuration, %v", from, err)
	}
	write(t, f.file+".tmp", strings.Replace(string(text), from, to, 1))
	if err := os.Rename(f.file+".tmp", f.file); err != nil {
		t.Fatal(err)
	}
}

// start runs the daemon and the node until the test ends.
func (f *rig) start(t *testing.T) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() {
		if err := f.run(ctx); err != nil {
			t.Errorf("the daemon ended with %v", err)
		}
	})
	f.until(t, "the bus stands", func() bool { return f.fleetBus.Load() != nil })
	conn, err := bus.Connect(ctx, bus.Options{Server: f.server, Instance: f.node.snap.Instance, Name: "node"})
	if err != nil {
		t.Fatal(err)
	}
	f.node.conn = conn
	all.Go(func() {
		if err := conn.Supplies(ctx, f.node.snap.Instance, func(s ipam.Supply) { f.node.accept(ctx, s) }); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { stop(); conn.Close(); all.Wait() })
	f.until(t, "the node is heard", func() bool { return f.node.said(ctx, func(*ipam.Snapshot) {}) == nil })
}

func (f *rig) until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain until %s: %s", what, f.log)
		}
	}
}

// free is how many addresses the newest supply has.
func (f *rig) free() (n int) {
	s, _ := f.node.newest()
	for _, e := range s.ENIs {
		n += len(e.Addresses)
	}
	return n
}

const single = "pools: [{ mode: secondary, warm: { free: 4 }, cooldown: 30s }]"

// TestPolicyIsReloaded: a changed policy reaches the node in one supply, and takes nothing from it; a changed dryRun
// takes effect without a restart of the process.
func TestPolicyIsReloaded(t *testing.T) {
	f := newRig(t, single)
	f.until(t, "the pool is filled", func() bool { return f.free() == 4 })
	f.until(t, "the supply is acknowledged", func() bool {
		p := f.picture(t.Context())
		return p != nil && len(p.Nodes) == 1 && p.Nodes[0].Calling == "" && p.Nodes[0].Sent == p.Nodes[0].Seen
	})
	before, count := f.node.newest()
	f.rewrite(t, "cooldown: 30s", "cooldown: 7s")
	f.until(t, "the cooldown has changed", func() bool {
		s, _ := f.node.newest()
		return len(s.Pools) == 1 && s.Pools[0].Cooldown == 7*time.Second
	})
	after, now := f.node.newest()
	if now != count+1 || cmp.Diff(before.ENIs, after.ENIs, cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
		cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })) != "" {
		t.Errorf("%d supplies more, from %+v to %+v", now-count, before, after)
	}

	f.rewrite(t, "free: 4", "free: 9")
	f.until(t, "the pool has grown", func() bool { return f.free() == 9 })
	f.rewrite(t, "reconciler:", "reconciler:\n  dryRun: true")
	f.until(t, "dryRun is in force", func() bool { return f.configState().Changes == 3 })
	f.rewrite(t, "free: 9", "free: 14")
	f.until(t, "what would be called is told", func() bool { return strings.Contains(f.log.String(), "would call") })
	if f.free() != 9 {
		t.Errorf("a dry run gave addresses: %d", f.free())
	}
	f.rewrite(t, "dryRun: true", "dryRun: false")
	f.until(t, "the pool has grown again", func() bool { return f.free() >= 9+5 })
}

// TestRecordReplays: what is streamed begins with the core's first step, and the same core fed with it does the same.
func TestRecordReplays(t *testing.T) {
	f := newRig(t, single)
	f.until(t, "the pool is filled", func() bool { return f.free() == 4 })
	for query, code := range map[string]int{"?for=1m1": 400, "?for=2h": 400, "?for=10ms": 400, "?core=agent": 400, "?core=x": 400} {
		if r := get(t, f.config.Socket, "/v1/record"+query); r.StatusCode != code {
			t.Errorf("%s: %d, want %d", query, r.StatusCode, code)
		}
	}
	r := get(t, f.config.Socket, "/v1/record?for=4s&core=reconcile")
	if r.StatusCode != 200 || r.Header.Get("Content-Type") != "application/x-ndjson" {
		t.Fatalf("%d, %v", r.StatusCode, r.Header)
	}
	f.rewrite(t, "free: 4", "free: 6")
	reader := record.NewReader(r.Body)
	var core *reconcile.Core
	steps, effects, ended := 0, 0, false
	for {
		e, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case e.Header != nil:
			var c reconcile.Config
			if err := json.Unmarshal(e.Header.Config, &c); err != nil {
				t.Fatal(err)
			}
			core = reconcile.New(c)
		case e.End != nil:
			ended = strings.Contains(e.End.Reason, "4s")
		default:
			var now reconcile.Now
			var in reconcile.Input
			if err := errors.Join(json.Unmarshal(e.Line.Now, &now), json.Unmarshal(e.Line.In, &in)); err != nil {
				t.Fatal(err)
			}
			out, err := json.Marshal(core.Step(now, in))
			if err != nil || !bytes.Equal(out, e.Line.Out) {
				t.Fatalf("step %d: %s, recorded was %s (%v)", e.Line.N, out, e.Line.Out, err)
			}
			steps++
			effects += len(out)
		}
	}
	if steps < 3 || effects < 100 || !ended {
		t.Errorf("%d steps with %d bytes of effects, ended %v", steps, effects, ended)
	}
	f.until(t, "nobody records any more", func() bool { f.recorder.mu.Lock(); defer f.recorder.mu.Unlock(); return len(f.recorder.open) == 0 })
}

// TestDemandFile: pods that are bound to a node get addresses before they ask, and a source with faults is told.
func TestDemandFile(t *testing.T) {
	pods := filepath.Join(t.TempDir(), "pods.json")
	f := newRig(t, "  demand: { file: "+pods+" }\n"+single)
	f.until(t, "the pool is filled", func() bool { return f.free() == 4 })
	write(t, pods, `{"i-00000000000000001": {"default": 5}}`)
	f.until(t, "pods have addresses in store", func() bool { return f.free() >= 5+4 })
	write(t, pods, `{"i-00000000000000001": {"default": "many"}}`)
	f.until(t, "the fault is told", func() bool { return strings.Contains(f.log.String(), `default is \"many\"; want a number of pods`) })
	if metrics := scrape(f.numbers); !strings.Contains(metrics, "enichain_demand_source_fault 1\n") || !strings.Contains(metrics, `enichain_demand_pods{pool="default"} 5`) {
		t.Errorf("metrics do not tell the demand:\n%s", metrics)
	}
	f.rewrite(t, "demand: { file: "+pods+" }", "demand: { file: \"\" }")
	f.until(t, "a source that is taken away says nothing any more", func() bool {
		metrics := scrape(f.numbers)
		return strings.Contains(metrics, "enichain_demand_source_fault 0\n") && !strings.Contains(metrics, `enichain_demand_pods{pool="default"}`)
	})
}

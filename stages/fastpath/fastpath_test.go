package fastpath

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/google/go-cmp/cmp"

	"github.com/enichain/enichain/stages"
	"github.com/enichain/enichain/stages/internal/link"
)

// whole is what the links of a node with one pod share.
const whole = "eth0 ingress_block 2330 egress_block 2331\nenipod ingress_block 2330 egress_block 2331"

func TestAddTwice(t *testing.T) {
	w := newWorld(t)
	for range 2 {
		r := request()
		if diff := cmp.Diff(request().Prev, w.add(r)); diff != "" {
			t.Errorf("result (-prevResult +got):\n%s", diff)
		}
		if diff := cmp.Diff(whole, w.qdiscs()); diff != "" {
			t.Errorf("classifiers (-want +got):\n%s", diff)
		}
		if err := w.do(Stage{}.Check, r); err != nil {
			t.Errorf("Check right after Add: %v", err)
		}
	}
	filters := w.node.Run("tc", "filter", "show", "block", "2330")
	name, err := programName()
	if err != nil || strings.Count(filters, "direct-action") != 1 || !strings.Contains(filters, name) {
		t.Errorf("filters of the block, want one program %s (%v):\n%s", name, err, filters)
	}
	if err := w.do(Stage{}.Del, request()); err != nil {
		t.Errorf("Del: %v", err)
	}
}

// TestAddAtOnce wants one program for all, whoever came first.
func TestAddAtOnce(t *testing.T) {
	w := newWorld(t)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() { w.add(request()) })
	}
	group.Wait()
	w.node.Do(func(c *link.Conn) {
		in, err := c.BlockProgram(blocks().In)
		out, also := c.BlockProgram(blocks().Out)
		if err != nil || also != nil || in != out {
			t.Errorf("programs %v and %v: %v, %v", in, out, err, also)
		}
	})
}

// TestDrift takes away each thing that Add makes: Check says which, and Restore puts it back.
func TestDrift(t *testing.T) {
	for _, test := range []struct{ name, damage, want string }{
		{"the wire's", "tc qdisc del dev enipod clsact", "link enipod does not share"},
		{"the network interface's", "tc qdisc del dev eth0 clsact", "link eth0 does not share"},
		{"both", "tc qdisc del dev eth0 clsact; tc qdisc del dev enipod clsact", "does not share"},
		{"the program", "tc filter del block 2330", "do not have program"},
		{"the other program", "tc filter del block 2331", "do not have program"},
		{"the setting", "echo 0 > /proc/sys/net/netfilter/nf_conntrack_tcp_be_liberal", "be_liberal is 0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			w.add(request())
			w.node.Script(test.damage)
			err := w.do(Stage{}.Check, request())
			var drift *stages.Error
			if !errors.As(err, &drift) || drift.Token != stages.Drift || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Check: %v, want a drift that says %q", err, test.want)
			}
			x := &Restorer{}
			now := time.Now()
			look := func() (what []string) {
				w.node.Do(func(*link.Conn) {
					if what, _, err = x.Restore(context.Background(), now, []*stages.Request{request()}); err != nil {
						t.Errorf("Restore: %v", err)
					}
				})
				return what
			}
			if what := look(); len(what) != 1 || !strings.Contains(what[0], test.want) {
				t.Errorf("Restore said %q", what)
			}
			if err := w.do(Stage{}.Check, request()); err != nil {
				t.Errorf("Check after Restore: %v", err)
			}
			if what := look(); what != nil {
				t.Errorf("Restore again said %q", what)
			}
		})
	}
}

// TestRestoreLeavesTheDeadAlone: a wire that DEL has severed, and one that is gone.
func TestRestoreLeavesTheDeadAlone(t *testing.T) {
	w := newWorld(t)
	for _, damage := range []string{"ip link set enipod down", "ip link del enipod"} {
		w.node.Script(damage)
		w.node.Do(func(*link.Conn) {
			what, again, err := (&Restorer{}).Restore(context.Background(), time.Now(), []*stages.Request{request()})
			if what != nil || again || err != nil {
				t.Errorf("after %s: %q, %t, %v", damage, what, again, err)
			}
		})
	}
}

// TestOtherRelease meets the program of another release: its own takes the place.
func TestOtherRelease(t *testing.T) {
	w := newWorld(t)
	w.add(request())
	w.node.Do(func(c *link.Conn) {
		program, err := load("enichain_000000")
		if err != nil {
			t.Fatal(err)
		}
		defer program.Close()
		if err := c.Do(link.SetProgram(blocks().In, "enichain_000000", int(program.Fd()), true),
			link.SetProgram(blocks().Out, "enichain_000000", int(program.Fd()), true)); err != nil {
			t.Fatal(err)
		}
	})
	if err := w.do(Stage{}.Check, request()); err == nil {
		t.Error("Check is content with another release's program")
	}
	w.add(request())
	if err := w.do(Stage{}.Check, request()); err != nil {
		t.Error(err)
	}
	w.datagrams(t, w.routes()[2]).establish()
}

func TestRefusals(t *testing.T) {
	w := newWorld(t)
	w.node.Script("ip link add br0 type bridge; ip link add other type veth peer name rehto; ip link set other group 7000; tc qdisc add dev eth0 clsact")
	first := request()
	first.Prev = nil
	key := request()
	key.Config = []byte(`{"cniVersion":"1.0.0","name":"enichain","type":"fastpath","flows":1}`)
	inside := &types100.Interface{Name: "eth0", Sandbox: "/somewhere"}
	for _, test := range []struct {
		name    string
		request *stages.Request
		token   stages.Token
		want    string
	}{
		{"first in a list", first, stages.NoPrevResult, "never first"},
		{"an unknown key", key, stages.Config, "flows"},
		{"behind bridge", request(&types100.Interface{Name: "br0"}, inside), stages.Config, "bridge br0"},
		{"no link of the host", request(inside), stages.PrevResult, "names no link of the host"},
		{"a link that is gone", request(&types100.Interface{Name: "eni0"}, inside), stages.Kernel, "eni0"},
		{"another pod's link", request(&types100.Interface{Name: "other"}, inside), stages.Drift, "another attachment"},
		{"somebody else's classifier", request(), stages.Kernel, "link eth0 has a classifier"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var err error
			w.node.Do(func(*link.Conn) { _, err = Stage{}.Add(context.Background(), test.request) })
			var refusal *stages.Error
			if !errors.As(err, &refusal) || refusal.Token != test.token || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Add: %v, want %s and %q", err, test.token, test.want)
			}
		})
	}
}

// TestGC keeps the program while any wire has it, and then takes it from the network interfaces.
func TestGC(t *testing.T) {
	w := newWorld(t)
	w.add(request())
	gc := func(valid []stages.Attachment, want string) {
		t.Helper()
		r := request()
		r.Valid = valid
		if err := w.do(Stage{}.GC, r); err != nil {
			t.Errorf("GC: %v", err)
		}
		if diff := cmp.Diff(want, w.qdiscs()); diff != "" {
			t.Errorf("classifiers (-want +got):\n%s", diff)
		}
	}
	gc([]stages.Attachment{mine}, whole)
	w.node.Script("ip link set enipod down group 6871") // DEL
	gc(nil, whole)
	gc([]stages.Attachment{}, "")
	w.add(request())
	w.node.Script("ip link del enipod")
	gc([]stages.Attachment{}, "")
	if text, err := w.node.Try("tc", "filter", "show", "block", "2330"); err == nil {
		t.Errorf("the block is still there:\n%s", text)
	}
}

func TestStatus(t *testing.T) {
	w := newWorld(t)
	for range 2 {
		r := request()
		r.Prev = nil
		if err := w.do(Stage{}.Status, r); err != nil {
			t.Errorf("Status: %v", err)
		}
		w.add(request())
	}
}

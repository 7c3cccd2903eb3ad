package agent

import (
	"context"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/enichain/enichain/test/need"
)

// space is a network namespace of its own: do runs f in it, run a command.
type space struct {
	t    *testing.T
	work chan func()
}

func newSpace(t *testing.T) *space {
	t.Helper()
	need.NetAdmin(t)
	s := &space{t: t, work: make(chan func())}
	made := make(chan error)
	go func() { // its thread is never unlocked: it ends with the goroutine, and the namespace with it
		runtime.LockOSThread()
		made <- unix.Unshare(unix.CLONE_NEWNET)
		for f := range s.work {
			f()
		}
	}()
	check(t, <-made)
	t.Cleanup(func() { close(s.work) })
	return s
}

func (s *space) do(f func()) {
	done := make(chan struct{})
	s.work <- func() { defer close(done); f() }
	<-done
}

func (s *space) run(command string) {
	s.t.Helper()
	var out []byte
	var err error
	s.do(func() { out, err = exec.Command("sh", "-ec", command).CombinedOutput() })
	if err != nil {
		s.t.Fatalf("%s: %v\n%s", command, err, out)
	}
}

func TestWatchKernel(t *testing.T) {
	s := newSpace(t)
	need.Tool(t, "ip", "iproute2")
	need.Tool(t, "nft", "nftables")
	t.Setenv("TMPDIR", t.TempDir())
	// Nothing may come late: no address that turns valid after a second or two, no link that turns running.
	s.run("for of in all default; do [ ! -d /proc/sys/net/ipv6 ] || echo 1 >/proc/sys/net/ipv6/conf/$of/disable_ipv6; done")
	const running = "until ip -o link show v0 | grep -q 'state UP'; do :; done; until ip -o link show v1 | grep -q 'state UP'; do :; done; "
	for _, tc := range []struct {
		name, before, do string
		links            bool
		who              string
		silent           bool
	}{
		{name: "a link comes", do: "ip link add v0 type veth peer name v1", links: true},
		{name: "an address goes", before: "ip address add 10.0.0.9/32 dev v0", do: "ip address del 10.0.0.9/32 dev v0", links: true, who: "ip"},
		{name: "rules are flushed", before: "ip rule add pref 500 lookup 1000", do: "ip rule flush"}, // by a second socket: no name
		{name: "a rule goes", before: "ip rule add pref 500 lookup 1000", do: "ip rule del pref 500", who: "ip"},
		{name: "a route of ours goes", before: "ip link set v0 up; ip link set v1 up; " + running + "ip route add 10.0.0.10/32 dev v0 table 1000 proto 233",
			do: "ip route del 10.0.0.10/32 table 1000", who: "ip"},
		{name: "a stranger's route goes", before: "ip route add 10.9.0.0/24 dev v0", do: "ip route del 10.9.0.0/24", silent: true},
		{name: "a stranger's route comes into our table", do: "ip route add default dev v0 table 1001 proto static", who: "ip"},
		{name: "our table goes", before: "nft add table inet enichain-routed-veth", do: "nft flush ruleset", who: "nft"},
		{name: "our rule goes", before: "nft add table inet enichain-snat; nft add chain inet enichain-snat leave; nft add rule inet enichain-snat leave accept",
			do: "nft flush chain inet enichain-snat leave", who: "nft"},
		{name: "our element goes", before: "nft add table inet enichain-snat; nft 'add set inet enichain-snat s { type ipv4_addr; }; add element inet enichain-snat s { 10.0.0.1 }'",
			do: "nft delete element inet enichain-snat s '{ 10.0.0.1 }'", who: "nft"},
		{name: "a stage takes its element", before: "cp $(command -v nft) $TMPDIR/portmap-compat; nft 'add table inet enichain-p; add set inet enichain-p s { type ipv4_addr; }; add element inet enichain-p s { 10.0.0.1 }'",
			do: "$TMPDIR/portmap-compat delete element inet enichain-p s '{ 10.0.0.1 }'", silent: true, who: "portmap-compat"},
		{name: "a stranger's table goes", before: "nft add table ip other", do: "nft delete table ip other", silent: true},
		{name: "a pod comes", do: "ip link add p0 group 7001 type veth peer name p1 group 7001", silent: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.before != "" {
				s.run(tc.before)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			heard := make(chan Wake, 1024)
			s.do(func() { check(t, WatchKernel(ctx, func(w Wake) { heard <- w })) })
			s.run(tc.do)
			if tc.silent {
				// A change that must be heard marks the end of those that must not.
				s.run("ip rule add pref 777 lookup 100; ip rule del pref 777")
			}
			timeout := time.After(patience)
			for {
				select {
				case w := <-heard:
					switch {
					case tc.silent && (w.Links || tc.who != "" && strings.HasPrefix(w.Who, tc.who)):
						t.Fatalf("heard %+v", w)
					case tc.silent:
						return // the mark; whatever came before it was a rule too
					case w.Links == tc.links && (tc.who == "" || strings.HasPrefix(w.Who, tc.who+" (pid ") || strings.HasSuffix(w.Who, "which is gone")):
						return
					}
				case <-timeout:
					t.Fatal("nothing heard")
				}
			}
		})
	}
}

func TestWatchKernelSurvivesLoss(t *testing.T) {
	s := newSpace(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	heard := make(chan Wake)
	first := make(chan struct{})
	s.do(func() {
		check(t, WatchKernel(ctx, func(w Wake) {
			select {
			case <-first: // the reader stands still until the kernel had to drop messages
			case <-ctx.Done():
			}
			select {
			case heard <- w:
			case <-ctx.Done():
			}
		}))
	})
	// One flush of thousands leaves some behind: errors of the batches after it are expected.
	s.run("for i in $(seq 1 8); do seq -f 'rule add pref %.0f lookup 100' 1000 1999 | ip -force -batch - 2>&1 || true; ip rule flush; done")
	close(first)
	timeout := time.After(patience)
	for {
		select {
		case w := <-heard:
			if w.Links && w.Who == "" {
				return // ENOBUFS: look at everything
			}
		case <-timeout:
			t.Fatal("the loss was not told")
		}
	}
}

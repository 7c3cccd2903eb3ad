package portmap

import (
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestKilledInTheMiddle ends an ADD by kill -9 at random moments, and what comes after is a DEL that knows nothing. The
// container's processes are one group, as with a runtime; the stage alone is killed.
func TestKilledInTheMiddle(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	eachVariant(t, func(t *testing.T, n *node) {
		for _, backend := range []string{"iptables", "nftables"} {
			conf := object{"backend": backend}
			n.must(compat, "ADD", podA, twoPorts, conf)
			start := time.Now()
			n.must(compat, "DEL", podA, twoPorts, conf)
			n.must(compat, "ADD", podA, twoPorts, conf)
			longest := time.Since(start)
			n.must(compat, "DEL", podA, twoPorts, conf)
			before := n.kernel()
			finished := 0
			for range 30 {
				cmd := n.command(compat, "ADD", podA, twoPorts, conf) // nsenter becomes the stage
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				kill := time.AfterFunc(time.Duration(r.Int64N(int64(longest))), func() { _ = cmd.Process.Signal(syscall.SIGKILL) })
				if cmd.Wait() == nil {
					finished++
				}
				kill.Stop()
				n.bare(compat, podA)
				if diff := cmp.Diff(before, n.kernel()); diff != "" {
					t.Fatalf("seed %d, %s: left (-before +after):\n%s", seed, backend, diff)
				}
			}
			t.Logf("%s: %d of 30 had finished", backend, finished)
		}
	})
}

// TestFailedAdd: what ADD could not do in IPv6 it takes back in IPv4, and the DEL that follows finds nothing to complain of.
func TestFailedAdd(t *testing.T) {
	eachVariant(t, func(t *testing.T, n *node) {
		n.must(compat, "ADD", podB, twoPorts, object{"backend": "iptables"})
		before := n.kernel()
		conf := object{"conditionsV6": []string{"-m", "nosuchmatch"}, "backend": "iptables"}
		out, err := n.try(compat, "ADD", podA, twoPorts, conf)
		if err == nil || !strings.Contains(out, "CONFIG conditionsV6: iptables does not take") {
			t.Errorf("ADD = %v, %s", err, out)
		}
		n.must(compat, "DEL", podA, twoPorts, conf)
		n.bare(compat, podA)
		if diff := cmp.Diff(before, n.kernel()); diff != "" {
			t.Errorf("left (-before +after):\n%s", diff)
		}
	})
}

package portmap

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/enichain/enichain/test/bench/trace"
)

// dumps runs portmap-compat under the tracer and says what it asked for all objects of.
func (n *node) dumps(verb string, p pod, ports []object, extra object) string {
	n.t.Helper()
	cmd := n.command(compat, verb, p, ports, extra)
	in, err := os.Create(filepath.Join(n.t.TempDir(), "stdin"))
	if err != nil {
		n.t.Fatal(err)
	}
	defer in.Close()
	if _, err := io.Copy(in, cmd.Stdin); err != nil {
		n.t.Fatal(err)
	}
	if _, err := in.Seek(0, io.SeekStart); err != nil {
		n.t.Fatal(err)
	}
	var seen trace.Counts
	var out bytes.Buffer
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // it ends with its thread
		done <- func() error {
			there, err := os.Open("/run/netns/" + n.name)
			if err != nil {
				return err
			}
			defer there.Close()
			if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
				return err
			}
			seen, err = trace.Run(n.t.Context(), filepath.Join(n.bin, compat), cmd.Env, in, &out)
			return err
		}()
	}()
	if err := <-done; err != nil {
		n.t.Fatalf("%s of %v: %v\n%s", verb, p, err, out.String())
	}
	if seen.Messages == 0 {
		n.t.Fatalf("%s of %v sent nothing: the tracer saw nothing", verb, p)
	}
	return strings.Join(seen.Dumps, " ")
}

// TestNoDumps: neither ADD nor DEL of a pod with ports reads what other pods have, however the DEL comes, as long as it
// comes with what the ADD came with. Otherwise it reads all, and leaves nothing either.
func TestNoDumps(t *testing.T) {
	n := newNode(t, "nft")
	n.sh("for i in iptables ip6tables; do $i -t nat -N KUBE-SERVICES; $i -t nat -A PREROUTING -j KUBE-SERVICES; done")
	for i := range 100 {
		n.must(compat, "ADD", pod{fmt.Sprintf("other%d", i), "net", "eth0", 2}, []object{port(10000+i, 80, "tcp")}, nil)
	}
	web := []object{port(8080, 80, "tcp"), port(8081, 81, "tcp", "10.0.0.10"), port(8082, 82, "tcp", "fd00::1")}
	for _, tt := range []struct {
		name  string
		ports []object
		del   object
		other bool // another pod takes a port over
		reads bool
	}{
		{"as it was made", web, object{}, false, false},
		{"without prevResult", web, object{"prevResult": nil}, false, false},
		{"a port is another's by now", web, object{}, true, false},
		{"without ports", nil, object{}, false, true},
		{"another configuration", web, object{"masqAll": true}, false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n.t = t
			if got := n.dumps("ADD", podA, web, nil); got != "" {
				t.Errorf("ADD reads %s", got)
			}
			if tt.other {
				n.must(compat, "ADD", podB, web[:1], nil)
			}
			if got := n.dumps("DEL", podA, tt.ports, tt.del); (got != "") != tt.reads {
				t.Errorf("DEL reads %q, want some: %t", got, tt.reads)
			}
			if got := n.dumps("DEL", podA, tt.ports, tt.del); got != "" {
				t.Errorf("a second DEL reads %q", got)
			}
			if text := n.sh("nft list table inet enichain-portmap-compat"); strings.Contains(text, "/aaaa/") ||
				strings.Count(text, "/other") < 400 { // a port of each family, and two of the pod
				t.Errorf("aaaa ended and the others live:\n%s", text)
			}
			n.must(compat, "DEL", podB, nil, nil)
		})
	}
}

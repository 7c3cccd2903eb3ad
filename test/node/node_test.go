package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/enichain/enichain/test/kernel"
	"github.com/enichain/enichain/test/need"
)

// holding is set where this binary is one that holds a node until it is killed.
const holding = "ENICHAIN_TEST_HOLDS"

func TestMain(m *testing.M) {
	if err := Enter(); err != nil && !errors.Is(err, ErrRefused) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if os.Getenv(holding) != "" {
		cmd := exec.Command("sleep", "1000")
		cmd.Stdout = os.Stdout
		if cmd.Start() == nil {
			fmt.Println("ready")
		}
		select {}
	}
	os.Exit(m.Run())
}

// TestNothingOutlivesItsParent kills the process that entered, and waits for all who inherited its standard output: the
// pipe ends with the last of them.
func TestNothingOutlivesItsParent(t *testing.T) {
	need.NetAdmin(t)
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), holding+"=1")
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, len("ready\n"))); err != nil {
		t.Fatalf("it did not begin: %v", err)
	}
	cmd.Process.Kill()
	ended := make(chan error)
	go func() { _, err := io.ReadAll(out); ended <- err }()
	select {
	case err := <-ended:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("somebody inside lives on")
	}
	cmd.Wait()
}

var made *Node

func begin(t testing.TB) *Node {
	t.Helper()
	need.NetAdmin(t)
	need.Tool(t, "nft", "nftables")
	if made == nil {
		n, err := New(context.Background(), Options{IPv6: true})
		if err != nil {
			t.Fatal(err)
		}
		made = n
	}
	return made
}

func TestEverybodyHearsEverybody(t *testing.T) {
	n := begin(t)
	places := []Place{n.Self, n.Host, n.Outside}
	for _, protocol := range []string{"tcp", "udp"} {
		for _, to := range places {
			for _, address := range []netip.Addr{to.Addr, to.Addr6} {
				s, err := n.Listen(t.Context(), to, protocol, netip.AddrPortFrom(address, 0))
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				for _, from := range places {
					source := from.Addr
					if address.Is6() {
						source = from.Addr6
					}
					got, err := n.Dial(t.Context(), from, protocol, s.At)
					if diff := cmp.Diff(Answer{to.Name, source}, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
						t.Errorf("%s %s → %s: %v (-want +got):\n%s", protocol, from.Name, s.At, err, diff)
					}
				}
			}
		}
	}
}

func TestResetMakesTheNodeNew(t *testing.T) {
	n := begin(t)
	const legacy = "iptables-legacy -t nat -N LEFT"
	if err := script(t.Context(), "", legacy); err != nil { // a table of legacy iptables stays for good
		t.Fatal(err)
	}
	if err := n.Reset(t.Context()); err != nil {
		t.Fatal(err)
	}
	before, err := kernel.Read(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.Pod("left"); err != nil {
		t.Fatal(err)
	}
	if err := script(t.Context(), "", `
ip link add name left0 type veth peer name left1 netns left
ip rule add from 1.2.3.4 lookup 77; ip route add blackhole 1.2.3.4 table 77
nft add table inet left; `+legacy+`; iptables-nft -t nat -N LEFT; echo left >/var/lib/left`); err != nil {
		t.Fatal(err)
	}
	if err := n.Reset(t.Context()); err != nil {
		t.Fatal(err)
	}
	after, err := kernel.Read(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if diff := kernel.Text(kernel.Diff(before, after)); diff != "" {
		t.Errorf("the node is not as it was:\n%s", diff)
	}
	if _, err := os.Stat("/var/lib/left"); err == nil {
		t.Error("a file outlived the reset")
	}
}

func BenchmarkPod(b *testing.B) {
	n := begin(b)
	for b.Loop() {
		p, err := n.Pod("bench")
		if err == nil {
			err = p.Delete()
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReset(b *testing.B) {
	n := begin(b)
	for b.Loop() {
		if err := n.Reset(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

// Package blackbox tries the built stages by the assertions of the CNI specification and its users (ids C, I, F, N, M of
// the project's list): one process per call, environment and standard input in, standard output and exit code out, and
// what the kernel and the pool file show. It knows nothing of how a stage is made.
package blackbox

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/store"
	"github.com/enichain/enichain/stages/routedveth"
	"github.com/enichain/enichain/test/need"
)

// addresses is how many pods one network interface of the node can have.
const addresses = 40

// TestMain runs the tests in a mount and network namespace of their own, which is one node: two network interfaces and
// a pool file that the agent would have made.
func TestMain(m *testing.M) {
	switch {
	case os.Getenv("BLACKBOX") == "inside":
		if err := node(); err != nil {
			fmt.Println("cannot make the node:", err)
			os.Exit(1)
		}
	case os.Geteuid() == 0:
		cmd := exec.Command("unshare", append([]string{"--mount", "--net", "--propagation", "private", os.Args[0]}, os.Args[1:]...)...)
		cmd.Env = append(os.Environ(), "BLACKBOX=inside", "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if cmd.Run() != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// begin is what every test needs: the node and the built binaries.
func begin(t *testing.T) {
	t.Helper()
	need.NetAdmin(t)
	need.Tool(t, "nft", "nftables")
	need.Tool(t, "ip", "iproute2")
	if _, err := os.Stat(filepath.Join(bin(t), "eni-ipam")); err != nil {
		t.Fatalf("%v: run make build first", err)
	}
	unchanged(t)
}

func bin(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../../../bin")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func node() error {
	for _, dir := range []string{"/run", "/var/lib"} {
		if err := unix.Mount("own", dir, "tmpfs", 0, "mode=755"); err != nil {
			return err
		}
	}
	for _, line := range []string{
		"ip link set lo up", "ip netns add vpc",
		"ip link add eth0 address 02:00:00:00:00:01 type veth peer name far0 netns vpc",
		"ip link add eth1 address 02:00:00:00:00:02 type veth peer name far1 netns vpc",
		"ip -n vpc link set far0 up", "ip -n vpc link set far1 up", "ip -n vpc addr add 10.110.10.1/24 dev far0",
		"ip addr add 10.110.10.5/24 dev eth0", "ip link set eth0 up", "ip link set eth1 up",
		"ip route add default via 10.110.10.1 dev eth0",
	} {
		if out, err := exec.Command("sh", "-c", line).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", line, err, out)
		}
	}
	return supply()
}

func eni(n int) ipam.SuppliedENI {
	at := func(host int) netip.Addr { return netip.AddrFrom4([4]byte{10, 110, byte(10 + n), byte(host)}) }
	e := ipam.SuppliedENI{
		ENI: ipam.ENIID(fmt.Sprintf("eni-%d", n)), Attachment: ipam.AttachmentID(fmt.Sprintf("eni-attach-%d", n)), Pool: "default",
		MAC: fmt.Sprintf("02:00:00:00:00:%02x", n+1), Device: n, SubnetID: "subnet-a",
		Subnet: netip.PrefixFrom(at(0), 24), Primary: at(5), Gateway: at(1), PodsOK: true,
	}
	for i := range addresses {
		e.Addresses = append(e.Addresses, at(10+i))
	}
	return e
}

// supply prepares the interfaces and writes the pool file, as the agent would.
func supply() error {
	ctx := context.Background()
	boot, err := store.BootID()
	if err != nil {
		return err
	}
	id := store.Identity{Instance: "i-blackbox", Boot: boot, Inc: "00000000blackbox", Type: "m5.large"}
	now := store.ReadClock()
	pool, err := store.Create(ctx, store.DefaultPath, store.Options{Boot: boot}, now, id, store.Past{})
	if err != nil {
		return err
	}
	enis := []ipam.SuppliedENI{eni(0), eni(1)}
	var links []store.Link
	for i, e := range enis {
		err := routedveth.Prepare(ctx, routedveth.ENI{N: i, MAC: e.MAC, Primary: e.Primary, Gateway: e.Gateway, Subnet: e.Subnet})
		if err != nil {
			return err
		}
		links = append(links, store.Link{MAC: e.MAC, Name: fmt.Sprintf("eth%d", i), N: i, Ready: true, Addresses: []netip.Addr{e.Primary}})
	}
	return pool.Update(ctx, func(t *store.Tx) error {
		s := ipam.Supply{Instance: id.Instance, Epoch: 1, Rev: 1, Basis: ipam.Basis{Inc: id.Inc, Seq: t.Meta().Seq}, First: true,
			VPC: []netip.Prefix{netip.MustParsePrefix("10.110.0.0/16")}, Policy: ipam.NodePolicy{Rev: 1, Cooldown: time.Millisecond}, ENIs: enis}
		refused, _, err := t.Accept(now, s)
		if err == nil && len(refused) > 0 {
			err = fmt.Errorf("the pool file refused the supply: %v", refused)
		}
		if err == nil {
			_, err = t.Links(now, links)
		}
		return err
	})
}

// sh runs a command line on the node and returns what it printed.
func sh(t *testing.T, line string, args ...any) string {
	t.Helper()
	out, err := exec.Command("sh", "-c", fmt.Sprintf(line, args...)).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", fmt.Sprintf(line, args...), err, out)
	}
	return string(out)
}

// leases are the pool's, as network/container/ifname = addresses.
func leases(t *testing.T) []string {
	t.Helper()
	var s store.State
	err := store.New(store.DefaultPath, store.Options{}).View(context.Background(), func(tx *store.Tx) error { s = tx.State(); return nil })
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, l := range s.Leases {
		out = append(out, fmt.Sprintf("lease %s = %s", l.Attachment, l.Addresses))
	}
	return out
}

// podLink is a host end in a pod's link group: one that a DEL has severed is in another.
var podLink = regexp.MustCompile(`^\d+: ([^@:]+).* group 7\d\d\d `)

// traces are all that pods have on the node: host ends that are not severed, routes, elements of nftables, leases.
func traces(t *testing.T) string {
	t.Helper()
	var out []string
	for line := range strings.Lines(sh(t, "ip -o link show type veth")) {
		if m := podLink.FindStringSubmatch(line); m != nil {
			out = append(out, "link "+m[1])
		}
	}
	for _, family := range []string{"-4", "-6"} {
		for line := range strings.Lines(sh(t, "ip %s route show table all proto 233 2>/dev/null", family)) {
			out = append(out, "route "+strings.TrimSpace(line))
		}
	}
	for line := range strings.Lines(sh(t, "nft list ruleset")) {
		if owned.MatchString(line) {
			out = append(out, "nft "+strings.TrimSpace(line))
		}
	}
	return strings.Join(append(out, leases(t)...), "\n")
}

// owned is an element's comment that names an attachment.
var owned = regexp.MustCompile(`comment "[^"/]+/[^"]+"`)

// unchanged fails the test where its end finds other traces of pods than its beginning.
func unchanged(t *testing.T) {
	t.Helper()
	before := traces(t)
	t.Cleanup(func() {
		if diff := cmp.Diff(before, traces(t)); diff != "" {
			t.Errorf("the node is not as it was before (-before +after):\n%s", diff)
		}
	})
}

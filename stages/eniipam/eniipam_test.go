package eniipam_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"golang.org/x/sys/unix"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/store"
	"github.com/enichain/enichain/ipam/store/storetest"
	"github.com/enichain/enichain/stages"
	"github.com/enichain/enichain/stages/eniipam"
)

// node is a pool file and the stage that uses it, run as a runtime would but for the process.
type node struct {
	*storetest.Pool
	stage eniipam.Stage
}

func newNode(t *testing.T, enis ...ipam.SuppliedENI) *node {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pool.db")
	p := storetest.At(t, path, store.Options{Boot: storetest.Boot}, store.ReadClock())
	p.Supply.Pools[0].Cooldown = time.Millisecond
	p.Give(enis...)
	return &node{Pool: p, stage: eniipam.Stage{Boot: storetest.Boot, InUse: func(netip.Addr) bool { return false }}}
}

// agentLives makes the agent's lock file, as fresh as a heartbeat of age ago; it is held by an agent of age 0.
func (n *node) agentLives(age time.Duration) {
	n.T.Helper()
	path := filepath.Join(filepath.Dir(n.Path()), "agent.lock")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		n.T.Fatal(err)
	}
	at := time.Now().Add(-age)
	if err := os.Chtimes(path, at, at); err != nil {
		n.T.Fatal(err)
	}
	if age != 0 {
		return
	}
	lock, err := os.Open(path)
	if err != nil {
		n.T.Fatal(err)
	}
	n.T.Cleanup(func() { lock.Close() })
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		n.T.Fatal(err)
	}
}

// conf is a network configuration with the pool file filled in.
func (n *node) conf(members string) string {
	return fmt.Sprintf(`{"cniVersion":"1.0.0","name":"enichain","type":"eni-ipam","poolFile":%q%s}`, n.Path(), members)
}

// delegated is what a caller of an "ipam" member sends.
func (n *node) delegated(caller, members string) string {
	return fmt.Sprintf(`{"cniVersion":"1.0.0","name":"enichain","type":%q,"mtu":9001,"ipam":{"type":"eni-ipam","poolFile":%q%s}}`, caller, n.Path(), members)
}

// run is one command; the answer is standard output, with exit code 0 or not.
func (n *node) run(command, container, conf string, env ...string) (out string, ok bool) {
	vars := map[string]string{"CNI_COMMAND": command, "CNI_CONTAINERID": container, "CNI_NETNS": "/proc/self/ns/net",
		"CNI_IFNAME": "eth0", "CNI_PATH": "/opt/cni/bin", "CNI_NETNS_OVERRIDE": "1"}
	for _, kv := range env {
		k, v, _ := strings.Cut(kv, "=")
		vars[k] = v
	}
	var stdout bytes.Buffer
	exit := stages.Run(n.T.Context(), stages.Process{
		Getenv: func(k string) string { return vars[k] }, Environ: func() []string { return nil },
		Stdin: strings.NewReader(conf), Stdout: &stdout, Stderr: io.Discard, Now: time.Now,
	}, "eni-ipam", n.stage)
	return strings.TrimSpace(stdout.String()), exit == 0
}

func (n *node) must(command, container, conf string, env ...string) string {
	n.T.Helper()
	out, ok := n.run(command, container, conf, env...)
	if !ok {
		n.T.Fatalf("%s %s: %s", command, container, out)
	}
	return out
}

// refused runs what must fail, and returns the code and the text.
func (n *node) refused(command, container, conf string, env ...string) (uint, string) {
	n.T.Helper()
	out, ok := n.run(command, container, conf, env...)
	if ok {
		n.T.Fatalf("%s %s succeeded: %s", command, container, out)
	}
	var e struct {
		Code uint
		Msg  string
	}
	if err := json.Unmarshal([]byte(out), &e); err != nil {
		n.T.Fatalf("%s: %v", out, err)
	}
	if len(e.Msg) > 300 || strings.Contains(e.Msg, "\n") || strings.Contains(strings.ToLower(e.Msg), "not found") {
		n.T.Errorf("%d bytes: %q", len(e.Msg), e.Msg)
	}
	return e.Code, e.Msg
}

func (n *node) leases() (out []string) {
	n.T.Helper()
	for _, l := range n.State().Leases {
		out = append(out, l.Container+" "+l.Addresses[0].String())
	}
	return out
}

func want[T any](t testing.TB, what string, want, got T) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func TestResults(t *testing.T) {
	n := newNode(t, storetest.ENI(0, 4), storetest.ENI(1, 2))
	tests := []struct{ name, conf, want string }{
		{"first in a list", n.conf(""),
			`{"cniVersion":"1.0.0","interfaces":[{"name":"eth0","mac":"02:00:00:00:00:00"}],` +
				`"ips":[{"interface":0,"address":"10.110.10.10/32","gateway":"169.254.1.1"}],"routes":[{"dst":"10.110.0.0/16"},{"dst":"0.0.0.0/0"}]}`},
		{"as 0.4.0", strings.Replace(n.conf(""), "1.0.0", "0.4.0", 1),
			`{"cniVersion":"0.4.0","interfaces":[{"name":"eth0","mac":"02:00:00:00:00:00"}],` +
				`"ips":[{"version":"4","interface":0,"address":"10.110.10.11/32","gateway":"169.254.1.1"}],` +
				`"routes":[{"dst":"10.110.0.0/16"},{"dst":"0.0.0.0/0"}],"dns":{}}`},
		{"under ptp", n.delegated("ptp", ""),
			`{"cniVersion":"1.0.0","ips":[{"address":"10.110.10.13/24","gateway":"10.110.10.12"}],` +
				`"routes":[{"dst":"10.110.0.0/16"},{"dst":"0.0.0.0/0","gw":"10.110.10.12"}]}`},
		{"under routed-veth", n.delegated("routed-veth", ""),
			`{"cniVersion":"1.0.0","interfaces":[{"name":"eth1","mac":"02:00:00:00:00:01"}],` +
				`"ips":[{"interface":0,"address":"10.110.11.10/32","gateway":"169.254.1.1"}],"routes":[{"dst":"10.110.0.0/16"},{"dst":"0.0.0.0/0"}]}`},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := fmt.Sprintf("c%d", i)
			want(t, "result", tt.want, n.must("ADD", c, tt.conf))
			want(t, "the same attachment again", tt.want, n.must("ADD", c, tt.conf))
		})
	}
	want(t, "leases", []string{"node 10.110.10.12", "c0 10.110.10.10", "c1 10.110.10.11", "c2 10.110.10.13", "c3 10.110.11.10"}, n.leases())
	_, msg := n.refused("ADD", "c9", n.delegated("ptp", `,"wait":"0s"`))
	want(t, "ptp gets no secondary interface's", "POOL_EMPTY no address for enichain/c9/eth0: 4 of 4 leased on the primary interface; "+
		"enichaind does not run on this node, so that nobody fills the pool; start it", msg)
	for i, tt := range tests {
		for range 2 {
			n.must("DEL", fmt.Sprintf("c%d", i), tt.conf)
		}
	}
	want(t, "leases", nil, n.leases())
}

func TestRefused(t *testing.T) {
	n := newNode(t, storetest.ENI(0, 4))
	tests := []struct{ name, conf, want string }{
		{"macvlan", n.delegated("macvlan", ""), "CONFIG eni-ipam cannot serve macvlan: EC2 drops packets whose source MAC is not the network interface's; use routed-veth"},
		{"bridge that is no gateway", n.delegated("bridge", ""), "CONFIG isGateway: want true, got nothing"},
		{"bridge of single addresses", n.delegated("bridge", `,"scope":"primary"`), `CONFIG ipam.scope: want "prefix"`},
		{"scope prefix", n.conf(`,"scope":"prefix"`), `CONFIG scope: "prefix" gives a bridge a delegated prefix`},
		{"scope under ptp", n.delegated("ptp", `,"scope":"any"`), `CONFIG ipam.scope: want "primary": ptp cannot steer`},
		{"gateway under ptp", n.delegated("ptp", `,"gateway":"none"`), `CONFIG ipam.gateway: want "reserve"`},
		{"gateway behind routed-veth", n.conf(`,"gateway":"reserve"`), `CONFIG gateway: want "none"`},
		{"unknown key", n.conf(`,"pol":"x"`), `CONFIG pol: unknown key`},
		{"unknown key inside", n.delegated("ptp", `,"pol":"x"`), `CONFIG ipam.pol: unknown key`},
		{"all at once", n.conf(`,"families":["ipv5"],"wait":"2m","pool":"","gateway":"maybe"`), "CONFIG pool: want a pool's name, such as \"default\"; " +
			"families[0]: want \"ipv4\" or \"ipv6\", got \"ipv5\"; wait: want 0s to 1m0s, got 2m0s; gateway: want \"none\" or \"reserve\", got \"maybe\""},
		{"said twice, differently", n.conf(`,"wait":"1s","ipam":{"type":"eni-ipam","wait":"2s"}`), `CONFIG wait: "1s", but ipam.wait is "2s"; say it once`},
		{"not first", n.conf(`,"prevResult":{"cniVersion":"1.0.0","ips":[{"address":"10.0.0.1/24"}]}`), "CONFIG eni-ipam stands behind another stage of network enichain"},
		{"all optional", n.conf(`,"optional":["ipv4"]`), "CONFIG optional: want at least one of families to be there for certain"},
		{"optional and not asked for", n.conf(`,"optional":["ipv6"]`), `CONFIG optional[0]: want one of families, got "ipv6"; optional: want`},
		{"select", n.conf(`,"select":[{"pool":"x"},{"annotation":"a"}]`), "CONFIG select[0]: want either namespace or annotation; select[1].allow: want the pools"},
		{"ranges", n.conf(`,"runtimeConfig":{"ipRanges":[[{"subnet":"10.0.0.0/24"}]]}`), "CONFIG runtimeConfig.ipRanges: addresses come from the node's network interfaces"},
		{"no such address", n.conf(`,"runtimeConfig":{"ips":["10.110.99.9/24"]}`), "POOL_EMPTY enichain/c/eth0 asks for 10.110.99.9: this node has no such address"},
		{"two of a family", n.conf(`,"args":{"cni":{"ips":["10.110.10.10","10.110.10.11"]}}`), "CONFIG args.cni.ips[1]: 10.110.10.11 is a second address of its family"},
		{"no pool of that name", n.conf(`,"pool":"gpu","wait":"0s"`), "POOL_EMPTY no address for enichain/c/eth0: 0 of 0 leased in pool \"gpu\"; enichaind does not run"},
		{"no IPv6 here", n.conf(`,"families":["ipv4","ipv6"],"wait":"0s"`), "POOL_EMPTY no address for enichain/c/eth0: 0 of 0 IPv6 addresses leased; enichaind does not run"},
		{"args of another form", n.conf(`,"args":{"cni":{"ips":"10.110.10.10"}}`), `CONFIG args.cni.ips: want a list of addresses such as ["10.0.1.23"], got "10.110.10.10"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if code, msg := n.refused("ADD", "c", tt.conf); !strings.HasPrefix(msg, tt.want) || code != map[bool]uint{true: 7, false: 11}[strings.HasPrefix(msg, "CONFIG")] {
				t.Errorf("code %d, %q, want %q", code, msg, tt.want)
			}
			want(t, "nothing was taken", nil, n.leases())
		})
	}
	if code, msg := n.refused("ADD", "c", n.conf(""), "CNI_ARGS=IP=10.110.10.x"); code != 7 || !strings.Contains(msg, `CNI_ARGS IP[0]: want an address`) {
		t.Errorf("%d %q", code, msg)
	}
}

func TestAskedForByName(t *testing.T) {
	n := newNode(t, storetest.ENI(0, 2), storetest.ENI(1, 2))
	out := n.must("ADD", "a", n.conf(`,"runtimeConfig":{"ips":["10.110.11.11/24"]},"args":{"cni":{"ips":["10.110.10.10"]}}`), "CNI_ARGS=IP=10.110.10.11")
	if !strings.Contains(out, `"10.110.11.11/32"`) {
		t.Error("the capability comes first:", out)
	}
	if out := n.must("ADD", "b", n.conf(""), "CNI_ARGS=IgnoreUnknown=1;IP=10.110.10.11"); !strings.Contains(out, `"10.110.10.11/32"`) {
		t.Error(out)
	}
	_, msg := n.refused("ADD", "c", n.conf(""), "CNI_ARGS=IP=10.110.10.11")
	want(t, "taken", "POOL_EMPTY enichain/c/eth0 asks for 10.110.10.11: it is leased to enichain/b/eth0", msg)
	_, msg = n.refused("ADD", "b", n.conf(""), "CNI_ARGS=IP=10.110.10.10")
	want(t, "has another", "CONFIG enichain/b/eth0 holds 10.110.10.11 already, and asks for 10.110.10.10; delete it first", msg)
}

func TestSelect(t *testing.T) {
	batch := storetest.ENI(1, 2)
	batch.Pool = "batch"
	n := newNode(t, storetest.ENI(0, 2), batch)
	conf := n.conf(`,"wait":"0s","select":[{"annotation":"enichain.io/pool","allow":["batch"]},{"namespace":"b-*","pool":"batch"}]`)
	pod := func(ns string) string { return "CNI_ARGS=K8S_POD_NAMESPACE=" + ns + ";K8S_POD_NAME=p" }
	for c, tt := range map[string]struct{ conf, ns, want string }{
		"a": {conf, "default", "10.110.10."},
		"b": {conf, "b-1", "10.110.11."},
		"c": {strings.TrimSuffix(conf, "}") + `,"runtimeConfig":{"io.kubernetes.cri.pod-annotations":{"enichain.io/pool":"batch"}}}`, "default", "10.110.11."},
	} {
		if out := n.must("ADD", c, tt.conf, pod(tt.ns)); !strings.Contains(out, tt.want) {
			t.Errorf("%s: %s", c, out)
		}
	}
	_, msg := n.refused("ADD", "d", strings.TrimSuffix(conf, "}")+`,"runtimeConfig":{"io.kubernetes.cri.pod-annotations":{"enichain.io/pool":"gold"}}}`, pod("x"))
	want(t, "not allowed", `CONFIG x/p asks for pool "gold" by annotation enichain.io/pool: select[0] allows batch`, msg)
}

func TestCheck(t *testing.T) {
	n := newNode(t, storetest.ENI(0, 2), storetest.ENI(1, 2))
	n.must("ADD", "a", n.conf(""))
	prev := func(address string) string {
		return n.conf(`,"prevResult":{"cniVersion":"1.0.0","interfaces":[{"name":"enix"},{"name":"eth0","sandbox":"/x"},{"name":"eth1","sandbox":"/x"}],` +
			`"ips":[{"interface":1,"address":"` + address + `/32"},{"interface":2,"address":"10.9.9.9/24"}]}`)
	}
	n.must("CHECK", "a", prev("10.110.10.10"))
	code, msg := n.refused("CHECK", "a", prev("10.110.10.11"))
	want(t, "another address", "DRIFT the pool has 10.110.10.10 leased to enichain/a/eth0, which prevResult does not give to its eth0", msg)
	want(t, "code", uint(104), code)
	n.Links(storetest.ENI(1, 2))
	_, msg = n.refused("CHECK", "a", prev("10.110.10.10"))
	want(t, "lost", "DRIFT 10.110.10.10 of enichain/a/eth0 is lost: its network interface eni-00 is not attached here any more", msg)
	n.must("DEL", "a", n.conf(""))
	_, msg = n.refused("CHECK", "a", prev("10.110.10.10"))
	want(t, "gone", "DRIFT the pool has no lease for enichain/a/eth0 any more; delete and add the container again", msg)
}

func TestStatus(t *testing.T) {
	n := newNode(t)
	if code, msg := n.refused("STATUS", "", n.conf("")); code != 50 || !strings.HasPrefix(msg, "POOL_NOT_READY no address was ever leasable since boot") {
		t.Errorf("cold: %d %s", code, msg)
	}
	n.Give(storetest.ENI(0, 1))
	n.must("STATUS", "", n.conf(""))
	n.must("ADD", "a", n.conf(""))
	n.must("STATUS", "", n.conf("")) // a full pool is healthy
	gone := n.conf("")
	n.stage.Boot = "the next boot"
	if code, msg := n.refused("STATUS", "", gone); code != 50 || !strings.Contains(msg, "the file is of another boot") {
		t.Errorf("other boot: %d %s", code, msg)
	}
	if code, msg := n.refused("STATUS", "", `{"cniVersion":"1.1.0","name":"n","type":"eni-ipam","poolFile":"/nowhere/pool.db"}`); code != 50 || !strings.Contains(msg, "there is no such file") {
		t.Errorf("no file: %d %s", code, msg)
	}
}

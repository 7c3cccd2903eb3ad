package known_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/enichain/enichain/chain/contract"
	"github.com/enichain/enichain/chain/known"
	"github.com/enichain/enichain/test/need"
)

const apart = "KNOWN_TEST_APART"

// patience is for the end of a namespace, which the kernel brings about for the whole machine one after another.
const patience = 30 * time.Second

// TestMain gives the tests with namespaces a mount and a network namespace of their own: this binary again.
func TestMain(m *testing.M) {
	if os.Getenv(apart) != "" {
		for _, dir := range []string{"/run", "/var/lib"} {
			if err := unix.Mount("own", dir, "tmpfs", 0, "mode=755"); err != nil {
				fmt.Println("cannot mount", dir, err)
				os.Exit(1)
			}
		}
	}
	os.Exit(m.Run())
}

// TestBinaries tries what the contracts say with the plugins themselves.
func TestBinaries(t *testing.T) {
	need.NetAdmin(t)
	for tool, pkg := range map[string]string{"ip": "iproute2", "unshare": "util-linux", "iptables-save": "iptables", "nft": "nftables"} {
		need.Tool(t, tool, pkg)
	}
	if os.Getenv(apart) == "" {
		cmd := exec.Command("unshare", "--mount", "--net", "--propagation", "private", os.Args[0], "-test.run=^TestBinaries$", "-test.v")
		cmd.Env = append(os.Environ(), apart+"=1")
		out, err := cmd.CombinedOutput()
		t.Logf("%s", out)
		if err != nil {
			t.Error(err)
		}
		return
	}
	for _, line := range []string{"ip link set lo up", "ip link add eth0 type veth peer name far", "ip link set eth0 up", "ip link set far up",
		"ip addr add 10.0.0.2/24 dev eth0", "ip route add default via 10.0.0.1"} {
		shell(t, line)
	}
	for i, s := range specimens() {
		t.Run(s.name, func(t *testing.T) { newBench(t, s, i).try() })
	}
}

// specimen is a plugin with a configuration that works.
type specimen struct {
	name, plugin string
	config       string
	fixture      string // a command that makes what it needs on the host
	unmade       string // why its interface cannot be made here; "" = it can
}

func specimens() []specimen {
	const hostLocal = `"ipam":{"type":"host-local","ranges":[[{"subnet":"10.9.0.0/24"}]],"routes":[{"dst":"0.0.0.0/0"}]}`
	const ports = `"runtimeConfig":{"portMappings":[{"hostPort":8080,"containerPort":80,"protocol":"tcp"}]}`
	const kernel = "many kernels have no such link"
	return []specimen{
		{name: "host-local", plugin: "host-local", config: hostLocal},
		{name: "static", plugin: "static", config: `"ipam":{"type":"static","addresses":[{"address":"10.9.0.5/24","gateway":"10.9.0.1"}]}`},
		{name: "ptp", plugin: "ptp", config: hostLocal},
		{name: "ptp ipMasq", plugin: "ptp", config: `"ipMasq":true,"ipMasqBackend":"iptables",` + hostLocal},
		{name: "bridge", plugin: "bridge", config: `"bridge":"br0","isGateway":true,` + hostLocal},
		{name: "bridge ipMasq", plugin: "bridge", config: `"bridge":"br0","isGateway":true,"ipMasq":true,` + hostLocal},
		{name: "macvlan", plugin: "macvlan", config: `"master":"eth0",` + hostLocal},
		{name: "macvlan layer 2", plugin: "macvlan", config: `"master":"eth0"`},
		{name: "host-device", plugin: "host-device", config: `"device":"dev0",` + hostLocal, fixture: "ip link add dev0 type veth peer name far1"},
		{name: "tap", plugin: "tap", config: hostLocal, unmade: untunnelled()},
		{name: "loopback", plugin: "loopback"},
		{name: "ipvlan", plugin: "ipvlan", config: `"master":"eth0"`, unmade: kernel},
		{name: "vlan", plugin: "vlan", config: `"master":"eth0","vlanId":5,` + hostLocal, unmade: kernel},
		{name: "dummy", plugin: "dummy", config: hostLocal, unmade: kernel},
		{name: "portmap iptables", plugin: "portmap", config: `"backend":"iptables",` + ports},
		{name: "portmap nftables", plugin: "portmap", config: `"backend":"nftables",` + ports},
		{name: "bandwidth", plugin: "bandwidth", config: `"ingressRate":1000000,"ingressBurst":1000000,"egressRate":1000000,"egressBurst":1000000`},
		{name: "firewall", plugin: "firewall", config: `"backend":"iptables"`},
		{name: "tuning sysctl", plugin: "tuning", config: `"sysctl":{"net.core.somaxconn":"500"}`},
		{name: "tuning link", plugin: "tuning", config: `"mac":"02:11:22:33:44:55","mtu":1400`},
		{name: "sbr", plugin: "sbr"},
		{name: "vrf", plugin: "vrf", config: `"vrfname":"red"`, unmade: kernel},
	}
}

// untunnelled says why this user cannot make a tap, or "": some systems leave the device to the machine's root alone,
// whom the root of a user namespace is not.
func untunnelled() string {
	f, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
	if errors.Is(err, fs.ErrPermission) {
		return err.Error()
	}
	_ = f.Close()
	return ""
}

// bench is a specimen on a node of its own numbers.
type bench struct {
	*testing.T
	specimen
	n     int
	c     contract.Contract
	calls int
}

func newBench(t *testing.T, s specimen, n int) *bench {
	c, _, ok := known.Of(s.plugin, json.RawMessage("{"+s.config+"}"))
	if !ok {
		t.Fatalf("%s is not known", s.plugin)
	}
	return &bench{T: t, specimen: s, n: n, c: c}
}

func (b *bench) try() {
	b.previous()
	if b.unmade == "" {
		b.deletes()
		b.checks()
	} else {
		b.Logf("its interface is not tried: %s", b.unmade)
	}
	b.status()
}

// pod is a network namespace with a container's id.
type pod struct{ id, netns string }

func (b *bench) pod() pod {
	b.calls++
	id := fmt.Sprintf("c%d-%d", b.n, b.calls)
	shell(b.T, "ip netns add "+id)
	b.Cleanup(func() { _ = exec.Command("ip", "netns", "del", id).Run() })
	return pod{id, "/run/netns/" + id}
}

// run executes a plugin; what it printed is returned also where it failed.
func (b *bench) run(plugin, command, config string, p pod) ([]byte, error) {
	cmd := exec.Command(binary(b.T, plugin))
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "CNI_COMMAND=" + command, "CNI_CONTAINERID=" + p.id, "CNI_NETNS=" + p.netns, "CNI_IFNAME=eth0",
		"CNI_PATH=" + filepath.Dir(binary(b.T, plugin)) + ":/run/stubs"}
	if config != "" {
		config = "," + config
	}
	cmd.Stdin = strings.NewReader(`{"cniVersion":"1.1.0","name":"net","type":"` + plugin + `"` + config + `}`)
	out, err := cmd.Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		err = fmt.Errorf("%w: %s", err, bytes.TrimSpace(out))
	}
	return out, err
}

func (b *bench) must(plugin, command, config string, p pod) string {
	b.Helper()
	out, err := b.run(plugin, command, config, p)
	if err != nil {
		b.Fatalf("%s of %s: %v", command, plugin, err)
	}
	return string(out)
}

const marker = "marker.example"

// behind is the result of a ptp network in the pod, as prevResult.
func (b *bench) behind(p pod) string {
	out := b.must("ptp", "ADD", `"dns":{"domain":"`+marker+`"},"ipam":{"type":"host-local","dataDir":"/run/base",`+
		`"ranges":[[{"subnet":"10.8.0.0/24"}]],"routes":[{"dst":"0.0.0.0/0"}]}`, p)
	return `"prevResult":` + out
}

// chained says whether the specimen needs something before it.
func (b *bench) chained() bool { return b.c.Previous == contract.Needs }

// previous tries ADD with a result and without.
func (b *bench) previous() {
	if b.fixture != "" {
		shell(b.T, b.fixture)
	}
	p := b.pod()
	out, err := b.run(b.plugin, "ADD", b.config, p)
	if alone := err == nil; b.unmade == "" && alone == b.chained() {
		b.Errorf("ADD without prevResult: %v; the contract says %q", err, b.c.Previous)
	}
	if err == nil {
		b.must(b.plugin, "DEL", join(b.config, `"prevResult":`+string(out)), p)
	}
	if b.unmade != "" {
		return
	}
	before := `"prevResult":{"cniVersion":"1.1.0","interfaces":[{"name":"x","sandbox":"/x"}],"ips":[{"address":"10.7.0.5/24","interface":0}],` +
		`"dns":{"domain":"` + marker + `"}}`
	p = b.pod()
	if b.chained() {
		before = b.behind(p)
	}
	out, err = b.run(b.plugin, "ADD", join(b.config, before), p)
	if err != nil {
		b.Fatalf("ADD behind others: %v", err)
	}
	if kept := bytes.Contains(out, []byte(marker)); kept == (b.c.Previous == contract.Discards) {
		b.Errorf("ADD hands on what stood before: %t; the contract says %q", kept, b.c.Previous)
	}
	b.must(b.plugin, "DEL", join(b.config, `"prevResult":`+string(out)), p)
}

// deletes tries DEL without what the runtime may have lost, and looks for what it leaves.
func (b *bench) deletes() {
	fails, forgets := map[contract.Input]error{}, map[contract.Input][]string{}
	for _, test := range []struct {
		without contract.Input
		netns   string
	}{{contract.Netns, ""}, {contract.Netns, "/run/netns/gone"}, {contract.PrevResult, ""}, {contract.RuntimeConfig, ""}} {
		left, err := b.delete(test.without, test.netns)
		if err != nil {
			fails[test.without] = err
		} else if len(left) > 0 {
			forgets[test.without] = left
		}
	}
	for _, input := range []contract.Input{contract.Netns, contract.PrevResult, contract.RuntimeConfig} {
		if said := slices.Contains(b.c.DelFails, input); said != (fails[input] != nil) {
			b.Errorf("DEL without %s: %v; the contract says it fails: %t", input, fails[input], said)
		}
		if said := slices.Contains(b.c.DelForgets, input); said != (forgets[input] != nil) {
			b.Errorf("DEL without %s leaves %q; the contract says it forgets: %t", input, forgets[input], said)
		}
	}
}

// delete is one DEL without an input; netns is what stands for a namespace that is gone.
func (b *bench) delete(lost contract.Input, netns string) (left []string, failure error) {
	before := state(b.T)
	p := b.pod()
	previous := ""
	if b.chained() {
		previous = b.behind(p)
	}
	final := b.must(b.plugin, "ADD", join(b.config, previous), p)
	config := join(b.config, `"prevResult":`+final)
	at := p
	switch lost {
	case contract.Netns:
		at.netns = netns
		shell(b.T, "ip netns del "+p.id)
	case contract.PrevResult:
		config = b.config
	default:
		config = join(without(b.T, b.config, "runtimeConfig"), `"prevResult":`+final)
	}
	_, failure = b.run(b.plugin, "DEL", config, at)
	_ = os.Remove("/run/netns/gone") // some make a file there
	if b.chained() {
		b.must("ptp", "DEL", `"ipam":{"type":"host-local","dataDir":"/run/base","ranges":[[{"subnet":"10.8.0.0/24"}]]}`, at)
	}
	said := slices.Contains(b.c.DelForgets, lost)
	left = remains(before, state(b.T), p.id, final)
	for end := time.Now().Add(patience); len(left) > 0 && !said && failure == nil && time.Now().Before(end); {
		left = remains(before, state(b.T), p.id, final)
	}
	if b.fixture != "" {
		b.eventually(b.fixture) // once the namespace has taken the last one along
	}
	_, _ = b.run(b.plugin, "DEL", join(b.config, `"prevResult":`+final), p)
	return left, failure
}

// checks tries which changes of later stages CHECK takes for damage.
func (b *bench) checks() {
	if !slices.Contains(b.c.Adds, contract.SandboxInterface) {
		return
	}
	for _, test := range []struct {
		aspect         contract.Aspect
		plugin, config string
	}{
		{contract.MAC, "tuning", `"mac":"02:11:22:33:44:66"`}, {contract.MTU, "tuning", `"mtu":1300`}, {contract.Routes, "sbr", ""},
	} {
		if test.aspect == contract.Routes && !slices.Contains(b.c.Requires, contract.IPs) && !strings.Contains(b.config, `"ipam"`) {
			continue // no address, no route
		}
		p := b.pod()
		result := b.must(b.plugin, "ADD", b.config, p)
		b.must(b.plugin, "CHECK", join(b.config, `"prevResult":`+result), p)
		final := b.must(test.plugin, "ADD", join(test.config, `"prevResult":`+result), p)
		_, err := b.run(b.plugin, "CHECK", join(b.config, `"prevResult":`+final), p)
		if checked := slices.Contains(b.c.Checks, test.aspect); checked != (err != nil) {
			b.Errorf("CHECK once %s changed %s: %v; the contract says it fails: %t", test.plugin, test.aspect, err, checked)
		}
		b.must(b.plugin, "DEL", join(b.config, `"prevResult":`+final), p)
	}
}

// eventually runs a line until it works.
func (b *bench) eventually(line string) {
	b.Helper()
	for end := time.Now().Add(patience); ; {
		err := exec.Command("sh", "-c", line).Run()
		if err == nil || strings.HasPrefix(line, "ip link add dev0") && exec.Command("ip", "link", "show", "dev0").Run() == nil {
			return
		}
		if time.Now().After(end) {
			b.Fatalf("%s: %v", line, err)
		}
	}
}

// status tries whether STATUS asks the delegate, as those do that have it.
func (b *bench) status() {
	if err := os.MkdirAll("/run/stubs", 0o755); err != nil {
		b.Fatal(err)
	}
	stub := "#!/bin/sh\necho '{\"code\":50,\"msg\":\"not today\"}'\nexit 1\n"
	if err := os.WriteFile("/run/stubs/ill", []byte(stub), 0o755); err != nil {
		b.Fatal(err)
	}
	_, err := b.run(b.plugin, "STATUS", join(without(b.T, b.config, "ipam"), `"ipam":{"type":"ill"}`), pod{"x", ""})
	if has := slices.Contains(b.c.Verbs, "STATUS"); has != (err != nil) {
		b.Errorf("STATUS with a delegate that is ill: %v; the contract says it has STATUS: %t", err, has)
	}
}

// Package flows_test sends packets: the flows that pods of a node with two network interfaces have, over the real
// stages' binaries and behind a router that drops what a VPC drops.
package flows_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/invoke"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"

	"github.com/enichain/enichain/stages/routedveth"
	"github.com/enichain/enichain/test/lab/fabric"
	"github.com/enichain/enichain/test/need"
)

// addresses are those of one family; the names are the words of the flows.
type addresses struct {
	family          string
	node, eni       string // primary addresses of the node's network interfaces 0 and 1
	p0, p1, p2      string // pods; p0 on 0, p1 and p2 on 1
	host, remote    string // a host in the VPC and a pod on it
	client, web     string // outside the VPC: by a private way, and behind the internet gateway
	asWeb           string // how the node is seen from there
	dns             string // a node-local resolver
	toRemote, toP0  string // ClusterIPs
	toP1            string
	towardsP1       string // what the node masquerades to for p1: for IPv6 the address nearest to the destination (RFC 6724)
	gateway0        string
	gateway1        string
	networks        []string
	subnets         []string
	clientNet       string
	webNet          string
	public          map[string]string
	localhostToPort bool
	delegated       []string // prefixes of the node's network interfaces that have the pods' addresses; none: single ones
	more            []string // addresses for pods beyond the three, on the network interface whose subnet they are in
}

var four = addresses{
	family: "ip",
	node:   "10.0.0.10", eni: "10.0.1.20",
	p0: "10.0.0.11", p1: "10.0.1.21", p2: "10.0.1.22",
	host: "10.0.2.30", remote: "10.0.2.31",
	client: "192.168.100.10", web: "203.0.113.10", asWeb: "198.51.100.1",
	dns:      "169.254.20.10",
	toRemote: "10.96.0.10", toP0: "10.96.0.11", toP1: "10.96.0.12", towardsP1: "10.0.0.10",
	gateway0: "10.0.0.1", gateway1: "10.0.1.1",
	networks: []string{"10.0.0.0/16"}, subnets: []string{"10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24"},
	clientNet: "192.168.100.0/24", webNet: "203.0.113.0/24",
	public:          map[string]string{"10.0.0.10": "198.51.100.1"},
	localhostToPort: true,
}

// six: no translation at all, so that pods are seen as themselves everywhere; and no [::1] to host ports, because IPv6
// has no route_localnet.
var six = addresses{
	family: "ip6",
	node:   "2001:db8:10::10", eni: "2001:db8:10:1::20",
	p0: "2001:db8:10:0:d0::11", p1: "2001:db8:10:1:d1::21", p2: "2001:db8:10:1:d1::22",
	delegated: []string{"2001:db8:10:0:d0::/80", "2001:db8:10:1:d1::/80"},
	host:      "2001:db8:10:2::30", remote: "2001:db8:10:2::31",
	client: "2001:db8:c::10", web: "2001:db8:e::10", asWeb: "2001:db8:10::10",
	dns:      "fd00:20::10",
	toRemote: "fd00:96::10", toP0: "fd00:96::11", toP1: "fd00:96::12", towardsP1: "2001:db8:10:1::20",
	gateway0: "fe80::1", gateway1: "fe80::1",
	networks: []string{"2001:db8:10::/56"}, subnets: []string{"2001:db8:10::/64", "2001:db8:10:1::/64", "2001:db8:10:2::/64"},
	clientNet: "2001:db8:c::/64", webNet: "2001:db8:e::/64",
}

// world is the VPC with the node under test, a second instance and two hosts outside.
type world struct {
	t      *testing.T
	a      addresses   // those that flows are asked by
	all    []addresses // of every family there is
	fabric *fabric.Fabric
	node   *fabric.Node
	other  *fabric.Node
	client map[string]*fabric.Node // by family
	web    map[string]*fabric.Node
	bin    string
	cni    *libcni.CNIConfig
	list   *libcni.NetworkConfigList
}

const (
	mac0, mac1 = "02:00:00:00:00:10", "02:00:00:00:00:20"
	macOther   = "02:00:00:00:00:30"
)

func newWorld(t *testing.T, all ...addresses) *world {
	t.Helper()
	need.NetAdmin(t)
	need.Tool(t, "nft", "nftables")
	need.Tool(t, "ip", "iproute2")
	w := &world{t: t, a: all[0], all: all, bin: binaries(t), client: map[string]*fabric.Node{}, web: map[string]*fabric.Node{}}
	var c fabric.Config
	for _, a := range all {
		c.Networks, c.Subnets = append(c.Networks, prefixes(a.networks)...), append(c.Subnets, prefixes(a.subnets)...)
	}
	var err error
	w.fabric, err = fabric.Up(t.Context(), c)
	must(t, err)
	t.Cleanup(func() { must(t, w.fabric.Close()) })
	w.node, w.other = w.instance("node-1"), w.instance("node-2")
	w.attach("node-1", 0, mac0, func(a addresses) []string { return a.ofPods(0, a.node, a.p0) })
	w.attach("node-1", 1, mac1, func(a addresses) []string { return a.ofPods(1, a.eni, a.p1, a.p2) })
	w.attach("node-2", 0, macOther, func(a addresses) []string { return []string{a.host, a.remote} })
	w.sh(w.node, "ip link add nodelocaldns type veth peer name resolver; ip link set nodelocaldns up")
	for _, a := range all {
		web, nodad, second := fabric.Internet, "", ""
		if a.family == "ip6" { // the remote pod's address is no source of its host's own packets
			web, nodad, second = "web6", " nodad", " preferred_lft 0"
		}
		w.client[a.family] = w.outside("client"+strings.TrimPrefix(a.family, "ip"), a.clientNet, a.client)
		w.web[a.family] = w.outside(web, a.webNet, a.web)
		w.sh(w.other, "ip address add "+a.remote+" dev eth0"+second+nodad)
		w.sh(w.node, "ip address add "+a.dns+" dev nodelocaldns"+nodad)
	}
	w.prepare()
	w.supply()
	w.cni = libcni.NewCNIConfigWithCacheDir([]string{w.bin}, t.TempDir(), &inside{node: w.node})
	return w
}

// ofPods are the single addresses of network interface n: the primary one, and the pods' where they are not delegated.
func (a addresses) ofPods(n int, primary string, pods ...string) []string {
	if len(a.delegated) > 0 {
		return []string{primary}
	}
	return append(append([]string{primary}, pods...), a.moreOf(n)...)
}

// moreOf are the further addresses in the subnet of network interface n.
func (a addresses) moreOf(n int) (of []string) {
	for _, x := range a.more {
		if prefixes(a.subnets)[n].Contains(netip.MustParseAddr(x)) {
			of = append(of, x)
		}
	}
	return of
}

func (w *world) outside(name, network, address string) *fabric.Node {
	w.t.Helper()
	n, err := w.fabric.Outside(w.t.Context(), name, netip.MustParsePrefix(network), netip.MustParseAddr(address))
	must(w.t, err)
	return n
}

func (w *world) instance(name string) *fabric.Node {
	w.t.Helper()
	n, err := w.fabric.Instance(w.t.Context(), name)
	must(w.t, err)
	return n
}

func (w *world) attach(node string, device int, mac string, of func(addresses) []string) {
	w.t.Helper()
	hw, err := net.ParseMAC(mac)
	must(w.t, err)
	i := fabric.Interface{ID: fmt.Sprintf("eni-%s-%d", node, device), Device: device, MAC: hw, Boot: device == 0,
		Public: map[netip.Addr]netip.Addr{}}
	for _, a := range w.all {
		for _, x := range of(a) {
			i.Addresses = append(i.Addresses, netip.MustParseAddr(x))
			if public := a.public[x]; public != "" {
				i.Public[netip.MustParseAddr(x)] = netip.MustParseAddr(public)
			}
		}
		if node == "node-1" && len(a.delegated) > 0 {
			i.Prefixes = append(i.Prefixes, netip.MustParsePrefix(a.delegated[device]))
		}
	}
	must(w.t, w.fabric.Attach(w.t.Context(), node, i))
}

// prepare does what the agent does when the network interfaces are attached.
func (w *world) prepare() {
	w.t.Helper()
	must(w.t, w.node.Do(func() error {
		for _, e := range w.enis() {
			if err := routedveth.Prepare(w.t.Context(), e); err != nil {
				return err
			}
		}
		return nil
	}))
}

func (w *world) enis() []routedveth.ENI {
	one := routedveth.ENI{N: 1, MAC: mac1}
	for _, a := range w.all {
		primary, gateway := netip.MustParseAddr(a.eni), netip.MustParseAddr(a.gateway1)
		if primary.Is4() {
			one.Primary, one.Gateway = primary, gateway
		} else {
			one.Primary6, one.Gateway6 = primary, gateway
		}
	}
	return []routedveth.ENI{{N: 0, MAC: mac0}, one}
}

// load takes the flagship list, with further stages behind.
func (w *world) load(further ...map[string]any) {
	w.t.Helper()
	plugins := []map[string]any{
		{"type": "eni-ipam", "families": w.families()},
		{"type": "routed-veth"},
		{"type": "snat"},
		{"type": "portmap-compat", "capabilities": map[string]bool{"portMappings": true}},
	}
	plugins = append(plugins, further...)
	text, err := json.Marshal(map[string]any{"cniVersion": "1.0.0", "name": "enichain", "plugins": plugins})
	must(w.t, err)
	w.list, err = libcni.NetworkConfFromBytes(text)
	must(w.t, err)
}

// families are those of the world, as eni-ipam's configuration has them.
func (w *world) families() (names []string) {
	for _, a := range w.all {
		names = append(names, map[string]string{"ip": "ipv4", "ip6": "ipv6"}[a.family])
	}
	return names
}

// wanted are the addresses by which flows know a pod, as a runtime asks for them; none for others.
func (w *world) wanted(pod string) string {
	var all []string
	for _, a := range w.all {
		if address := map[string]string{"p0": a.p0, "p1": a.p1, "p2": a.p2}[pod]; address != "" {
			all = append(all, address)
		}
	}
	return strings.Join(all, ",")
}

func (w *world) runtime(pod string, ports ...port) *libcni.RuntimeConf {
	rt := &libcni.RuntimeConf{ContainerID: pod, NetNS: "/run/netns/" + pod, IfName: "eth0",
		Args: [][2]string{{"IgnoreUnknown", "1"}, {"K8S_POD_NAMESPACE", "default"}, {"K8S_POD_NAME", pod}}}
	if len(ports) > 0 {
		rt.CapabilityArgs = map[string]any{"portMappings": ports}
	}
	return rt
}

// port is a mapping as containerd sends it.
type port struct {
	HostPort, ContainerPort int
	Protocol, HostIP        string
}

// add makes the pod's namespace and runs the chain.
func (w *world) add(pod string, ports ...port) {
	w.t.Helper()
	w.sh(w.node, "ip netns add "+pod+"; ip -n "+pod+" link set lo up")
	rt := w.runtime(pod, ports...)
	rt.Args = append(rt.Args, [2]string{"IP", w.wanted(pod)})
	answer, err := w.cni.AddNetworkList(w.t.Context(), w.list, rt)
	if err != nil {
		w.t.Fatalf("ADD of %s: %v", pod, err)
	}
	result, err := types100.NewResultFromResult(answer)
	must(w.t, err)
	want := map[string]string{"p0": w.a.p0, "p1": w.a.p1, "p2": w.a.p2}[pod]
	if got := result.IPs[0].Address.IP.String(); got != want || len(result.IPs) != len(w.all) {
		w.t.Fatalf("ADD of %s: addresses %v, want %s first of %d", pod, result.IPs, want, len(w.all))
	}
	if err := w.cni.CheckNetworkList(w.t.Context(), w.list, rt); err != nil {
		w.t.Fatalf("CHECK of %s: %v", pod, err)
	}
}

func (w *world) del(pod string, ports ...port) {
	w.t.Helper()
	if err := w.cni.DelNetworkList(w.t.Context(), w.list, w.runtime(pod, ports...)); err != nil {
		w.t.Fatalf("DEL of %s: %v", pod, err)
	}
}

func (w *world) sh(n *fabric.Node, script string) string {
	w.t.Helper()
	out, err := n.Exec(w.t.Context(), "sh", "-euc", script)
	must(w.t, err)
	return out
}

// drops are the wrong sources that the router has seen so far.
func (w *world) drops() int { return w.fabric.Dropped()[fabric.WrongSource] }

// inside runs plugins in the node, as its container runtime would.
type inside struct {
	node *fabric.Node
	version.PluginDecoder
}

var _ invoke.Exec = (*inside)(nil)

// FindInPath implements invoke.Exec.
func (*inside) FindInPath(plugin string, paths []string) (string, error) {
	return invoke.FindInPath(plugin, paths)
}

// ExecPlugin implements invoke.Exec.
func (e *inside) ExecPlugin(ctx context.Context, path string, stdin []byte, environ []string) ([]byte, error) {
	cmd := e.node.Command(ctx, path)
	var words strings.Builder
	cmd.Env, cmd.Stdin, cmd.Stderr = environ, strings.NewReader(string(stdin)), &words
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s%s", filepath.Base(path), err, out, words.String())
	}
	return out, nil
}

// binDir is where the stages are built, once per run of the tests.
func binDir() string {
	return filepath.Join(os.TempDir(), fmt.Sprintf("enichain-flows-%d", os.Getpid()))
}

// TestMain takes the folder away at the end.
func TestMain(m *testing.M) {
	code := m.Run()
	os.RemoveAll(binDir())
	os.Exit(code)
}

var build = sync.OnceValues(func() (string, error) {
	dir := binDir()
	const upstream = "github.com/containernetworking/plugins/plugins/"
	cmd := exec.Command("go", "build", "-o", dir+"/", "./cmd/eni-ipam", "./cmd/routed-veth", "./cmd/snat", "./cmd/portmap-compat", "./cmd/fastpath",
		upstream+"ipam/host-local", upstream+"meta/portmap", upstream+"meta/bandwidth", upstream+"meta/firewall",
		upstream+"meta/tuning", upstream+"meta/sbr")
	cmd.Dir, cmd.Env = "../../..", append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return dir, fmt.Errorf("cannot build the stages: %w\n%s", err, out)
	}
	return dir, writeGiven(dir)
})

// binaries is a folder with the stages, built once.
func binaries(t *testing.T) string {
	t.Helper()
	dir, err := build()
	must(t, err)
	return dir
}

func prefixes(of []string) (out []netip.Prefix) {
	for _, p := range of {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

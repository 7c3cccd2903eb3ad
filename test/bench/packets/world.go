package packets

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/invoke"

	"github.com/enichain/enichain/test/node"
)

// recipe says what a node is made of.
type recipe struct {
	name   string
	pods   int    // added by our stages; on a bare node all but the measured one are what the script makes of them
	stages string // behind eni-ipam and routed-veth, as they stand in a list
	ports  int    // host ports of the measured pod, by turns of UDP and TCP
	bare   bool   // our rules and tables are taken away again: pods are reached by the main table
	script string // what the node gets then; POD, PEER and POD6 stand for addresses

	interfaces int  // of the network; 0: as many as all nodes
	translates bool // what leaves the VPC must leave as the node
}

// world is a node with its VPC, and the pod on it that is measured.
type world struct {
	recipe
	at   int // tells worlds apart: pods of two of them may talk to each other
	node *node.Neighbour
	cni  *libcni.CNIConfig
	list *libcni.NetworkConfigList
	pod  node.Place // the one that is measured
	peer node.Place // another one on the node

	lock sync.Mutex // guards node's pods
}

// The node's size: as many addresses as 1,000 pods need.
const (
	interfaces = 5
	addresses  = 240
)

// build makes the node, its pods and what the recipe adds.
func build(ctx context.Context, r recipe, at int, bin, dir string) (*world, error) {
	if r.interfaces == 0 {
		r.interfaces = interfaces
	}
	w := &world{recipe: r, at: at}
	fail := func(err error) (*world, error) { return w, fmt.Errorf("cannot make node %s: %w", r.name, err) }
	var err error
	pool := filepath.Join(dir, r.name+".pool")
	w.node, err = node.NewNeighbour(ctx, node.Options{ENIs: r.interfaces, Addresses: addresses, IPv6: true, NoDAD: true},
		node.Further{Name: r.name, Pool: pool})
	if err != nil {
		return fail(err)
	}
	text := fmt.Sprintf(`{"cniVersion": "1.0.0", "name": "enichain", "plugins": [{"type": "eni-ipam", "poolFile": %q, `+
		`"families": ["ipv4", "ipv6"]}, {"type": "routed-veth"}%s]}`, pool, r.stages)
	if w.list, err = libcni.NetworkConfFromBytes([]byte(text)); err != nil {
		return fail(err)
	}
	w.cni = libcni.NewCNIConfigWithCacheDir([]string{bin}, filepath.Join(dir, r.name),
		&invoke.DefaultExec{RawExec: &invoke.RawExec{Stderr: os.Stderr}}) // libcni makes one when it is first asked, by several at once
	if err := w.fill(ctx); err != nil {
		return fail(err)
	}
	if r.bare {
		if err := w.node.Script(ctx, strip); err != nil {
			return fail(err)
		}
	}
	if r.script != "" {
		pod := strings.NewReplacer("POD6", w.pod.Addr6.String(), "POD", w.pod.Addr.String(), "PEER", w.peer.Addr.String())
		if err := w.node.Script(ctx, pod.Replace(r.script)); err != nil {
			return fail(err)
		}
	}
	if err := w.node.ScriptAtHost(ctx, beyond); err != nil {
		return fail(err)
	}
	return w, nil
}

// beyond makes the VPC cost as little as it can, and full of clients and servers. Its watch over sources was there
// while the node was made; what it would see afterwards is test/e2e/flows's affair.
const beyond = `nft delete table inet vpc
ip route add local 198.18.0.0/15 dev lo
sysctl -qw net.ipv4.ip_local_port_range="1024 65000"`

// strip makes our node one that has no rules: the pods' routes move to the main table.
const strip = `for family in -4 -6; do
	ip $family route show table 1000 | sed 's/^/route add /' | ip $family -batch -
	for pref in 500 1499 1500; do while ip $family rule del pref $pref 2>/dev/null; do :; done; done
done
nft list tables | sed -n 's/^table inet enichain/delete &/p' | sed 's/delete table/delete table/' | nft -f -
ip link add crowd type veth peer name crowd-end; ip link set crowd up; ip link set crowd-end up`

// fill adds the pods, four at a time, the measured one last.
func (w *world) fill(ctx context.Context) error {
	crowd := w.pods - 2
	if w.bare { // the crowd of such a node are routes and rules of its script
		crowd = 0
	}
	errs := make([]error, 4)
	var group sync.WaitGroup
	for k := range errs {
		group.Go(func() {
			for i := k; i < crowd && errs[k] == nil; i += len(errs) {
				_, errs[k] = w.add(ctx, fmt.Sprintf("%s-%d", w.name, i), i%w.interfaces, i/w.interfaces, nil)
			}
		})
	}
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	var err error
	if w.peer, err = w.add(ctx, w.name+"-peer", 0, addresses-1-w.at, nil); err != nil {
		return err
	}
	w.pod, err = w.add(ctx, w.name+"-last", 1, addresses-1-w.at, hostPorts(w.ports))
	return err
}

// add runs the list for a pod with the address of that place on a network interface.
func (w *world) add(ctx context.Context, name string, eni, place int, ports []portMapping) (node.Place, error) {
	four := netip.AddrFrom4([4]byte{10, 110, byte(10 + eni), byte(10 + place)})
	six := netip.MustParseAddr(fmt.Sprintf("2001:db8:110:%x::%x", 10+eni, 16+place))
	w.lock.Lock()
	pod, err := w.node.Pod(name)
	w.lock.Unlock()
	if err != nil {
		return node.Place{}, err
	}
	rt := &libcni.RuntimeConf{ContainerID: name, NetNS: pod.Netns, IfName: "eth0",
		Args: [][2]string{{"IgnoreUnknown", "1"}, {"IP", four.String() + "," + six.String()}}}
	if len(ports) > 0 {
		rt.CapabilityArgs = map[string]any{"portMappings": ports}
	}
	for range tries {
		if err = w.node.Within(func() error { _, err := w.cni.AddNetworkList(ctx, w.list, rt); return err }); err == nil || ctx.Err() != nil {
			break
		}
		err = fmt.Errorf("ADD of %s: %w", name, err)
		if gone := w.node.Within(func() error { return w.cni.DelNetworkList(ctx, w.list, rt) }); gone != nil {
			return node.Place{}, errors.Join(err, gone)
		}
	}
	return node.Place{Name: name, Netns: pod.Netns, Addr: four, Addr6: six}, err
}

// tries is how often a pod is added, as a runtime does: where many are added at once, one may wait too long for its turn.
const tries = 5

// portMapping is one of a runtime's capability "portMappings".
type portMapping struct {
	HostPort      int    `json:"hostPort"`
	ContainerPort int    `json:"containerPort"`
	Protocol      string `json:"protocol"`
}

// Host ports begin at firstPort; the pod serves all of them at one port.
const (
	firstPort = 20000
	podPort   = 80
)

// hostPorts are n mappings, by turns of UDP and TCP; the last two are the measured ones.
func hostPorts(n int) (all []portMapping) {
	for i := range n {
		all = append(all, portMapping{firstPort + i/2, podPort, []string{"udp", "tcp"}[i%2]})
	}
	return all
}

// lastPort is the host port of the last mapping of either protocol.
func (w *world) lastPort() int { return firstPort + (w.ports-1)/2 }

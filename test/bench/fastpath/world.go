package fastpath

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"

	"github.com/containernetworking/cni/libcni"

	"github.com/enichain/enichain/test/node"
)

// world is a node with two pods by our stages: one on the primary network interface, one on a secondary one.
type world struct {
	name   string
	node   *node.Neighbour
	first  node.Place // on the primary network interface
	second node.Place // on the secondary one, with a host port
}

// hostPort leads to the second pod's podPort, for TCP and UDP.
const (
	hostPort = 20000
	podPort  = 7000
)

const list = `{"cniVersion": "1.0.0", "name": "enichain", "plugins": [
	{"type": "eni-ipam", "poolFile": %q, "families": ["ipv4", "ipv6"]}, {"type": "routed-veth"}, {"type": "snat"},
	{"type": "portmap-compat", "capabilities": {"portMappings": true}}%s]}`

// build makes a node whose list ends with the further stages.
func build(ctx context.Context, name, further, bin, dir string) (w *world, err error) {
	w = &world{name: name}
	defer func() {
		if err != nil {
			err = fmt.Errorf("cannot make node %s: %w", name, err)
		}
	}()
	pool := filepath.Join(dir, name+".pool")
	w.node, err = node.NewNeighbour(ctx, node.Options{IPv6: true, NoDAD: true}, node.Further{Name: name, Pool: pool})
	if err != nil {
		return w, err
	}
	// The router's watch over sources, which test/e2e/flows needs, would cost each packet something.
	if err = w.node.ScriptAtHost(ctx, "nft delete table inet vpc"); err != nil {
		return w, err
	}
	conf, err := libcni.NetworkConfFromBytes(fmt.Appendf(nil, list, pool, further))
	if err != nil {
		return w, err
	}
	cni := libcni.NewCNIConfigWithCacheDir([]string{bin}, filepath.Join(dir, name), nil)
	if w.first, err = w.add(ctx, cni, conf, 0); err != nil {
		return w, err
	}
	w.second, err = w.add(ctx, cni, conf, 1)
	return w, err
}

// add runs the list for the pod on network interface eni.
func (w *world) add(ctx context.Context, cni *libcni.CNIConfig, list *libcni.NetworkConfigList, eni int) (node.Place, error) {
	name := fmt.Sprintf("%s-%d", w.name, eni)
	pod, err := w.node.Pod(name)
	if err != nil {
		return node.Place{}, err
	}
	p := node.Place{Name: name, Netns: pod.Netns, Addr: netip.AddrFrom4([4]byte{10, 110, byte(10 + eni), 20}),
		Addr6: netip.MustParseAddr(fmt.Sprintf("2001:db8:110:%x::20", 10+eni))}
	rt := &libcni.RuntimeConf{ContainerID: name, NetNS: pod.Netns, IfName: "eth0",
		Args: [][2]string{{"IgnoreUnknown", "1"}, {"IP", p.Addr.String() + "," + p.Addr6.String()}}}
	if eni == 1 {
		var ports []map[string]any
		for _, protocol := range []string{"tcp", "udp"} {
			ports = append(ports, map[string]any{"hostPort": hostPort, "containerPort": podPort, "protocol": protocol})
		}
		rt.CapabilityArgs = map[string]any{"portMappings": ports}
	}
	return p, w.node.Within(func() error {
		if _, err := cni.AddNetworkList(ctx, list, rt); err != nil {
			return fmt.Errorf("ADD of %s: %w", name, err)
		}
		return nil
	})
}

package packets

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
)

// The nodes that differ in pods, and those with kube-proxy's rules: "tracked-" and "ours-" with its modes' names.
func (b *bench) byPods() (all []string) {
	all = append(all, numbered("bare", b.small), numbered("bare", b.large), numbered("tracked", b.small), numbered("tracked", b.large))
	for _, kind := range []string{"ours", "aws"} {
		for _, n := range b.sizes() {
			all = append(all, numbered(kind, n))
		}
	}
	return all
}

// modes are those of kube-proxy.
func modes() []string { return []string{"iptables", "nftables"} }

// established are the probes of all ways through the nodes that differ in pods, and past kube-proxy's rules.
func (b *bench) established(context.Context) (all []probe, err error) {
	names := b.byPods()
	for _, mode := range modes() {
		names = append(names, "tracked-"+mode, "ours-"+mode)
	}
	for _, p := range parts() {
		names = append(names, p.name)
	}
	for _, d := range directions() { // what is compared stands side by side
		for _, name := range names {
			if d.six && strings.HasPrefix(name, "aws") { // it has no such rules for IPv6
				continue
			}
			p, err := d.probe(b.worlds[name])
			if err != nil {
				return nil, err
			}
			all = append(all, p)
		}
	}
	return all, nil
}

// firsts are the probes of first packets: straight to the pod, to its last host port, and past networks that are left
// out of SNAT.
func (b *bench) firsts(context.Context) (all []probe, err error) {
	add := func(p probe, err error) error {
		all = append(all, p)
		return err
	}
	for _, name := range []string{numbered("bare", b.small), numbered("tracked", b.large), numbered("ours", b.small), numbered("ours", b.large),
		"tracked-iptables", "tracked-nftables", "ours-iptables", "ours-nftables"} {
		if err := add(direct(b.worlds[name])); err != nil {
			return nil, err
		}
		if err := add(toOutside(b.worlds[name])); err != nil {
			return nil, err
		}
	}
	for _, n := range b.sizes() {
		for _, kind := range []string{"ours", "iptables", "nftables"} {
			if err := add(toPort(b.worlds[numbered("ports-"+kind, n)])); err != nil {
				return nil, err
			}
		}
		for _, kind := range []string{"ours", "iptables"} {
			if err := add(toOutside(b.worlds[numbered("snat-"+kind, n)])); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

// streamPort is where pods listen for what comes to them directly.
const streamPort = 5001

// straight are ways to the pod from a VPC host, by the pod's own address; the nodes of a kind with most pods.
func (b *bench) straight() map[string]string {
	return map[string]string{"bare": numbered("bare", b.large), "tracked": numbered("tracked", b.large),
		"ours": numbered("ours", b.large), "aws": numbered("aws", b.large)}
}

// connections are the probes of connect(2) and of whole connections: to pods directly, and by their last host port.
func (b *bench) connections(context.Context) (all []probe, err error) {
	for _, name := range b.straight() {
		w := b.worlds[name]
		p, err := newPath(w.node.Host, w.pod, netip.AddrPortFrom(w.pod.Addr, streamPort))
		if err != nil {
			return nil, fmt.Errorf("node %s: %w", name, err)
		}
		all = append(all, p.connects(name+"/connect"), p.rates(name+"/rate"))
	}
	for _, n := range b.sizes() {
		for _, kind := range []string{"ours", "iptables", "nftables"} {
			w := b.worlds[numbered("ports-"+kind, n)]
			p, err := newPath(w.node.Host, w.pod, netip.AddrPortFrom(w.node.Self.Addr, uint16(w.lastPort())))
			if err != nil {
				return nil, fmt.Errorf("node %s: %w", w.name, err)
			}
			b.byPort[w.name] = p
			all = append(all, p.connects(w.name+"/connect"), p.rates(w.name+"/rate"))
		}
	}
	return all, nil
}

// streams are the probes of throughput: between two pods of a node, between pods of two nodes, and by a host port.
func (b *bench) streams(ctx context.Context) (all []probe, err error) {
	add := func(id string, p *path, err error) error {
		if err != nil {
			return fmt.Errorf("%s: %w", id, err)
		}
		probe, err := p.streams(id)
		all = append(all, probe)
		return err
	}
	for kind, name := range b.straight() {
		w, other := b.worlds[name], b.worlds[numbered(kind, b.small)]
		p, err := newPath(w.peer, w.pod, netip.AddrPortFrom(w.pod.Addr, streamPort+1))
		if err := add(name+"/stream", p, err); err != nil {
			return nil, err
		}
		if err := join(ctx, w, other); err != nil {
			return nil, err
		}
		p, err = newPath(w.pod, other.pod, netip.AddrPortFrom(other.pod.Addr, streamPort+1))
		if err := add(name+"/stream-across", p, err); err != nil {
			return nil, err
		}
	}
	for _, kind := range []string{"ours", "iptables", "nftables"} {
		name := numbered("ports-"+kind, b.small)
		if err := add(name+"/stream", b.byPort[name], nil); err != nil {
			return nil, err
		}
	}
	w := b.worlds[numbered("bare", b.small)]
	p, err := newPath(w.node.Host, w.pod, netip.AddrPortFrom(w.pod.Addr, streamPort))
	return all, add(w.name+"/stream-host", p, err)
}

// join lets the measured pods of two nodes reach each other, by a wire between the two VPCs' namespaces.
func join(ctx context.Context, a, b *world) error {
	script := func(from, to *world, here, there int, more string) string {
		return fmt.Sprintf(`%s
ip address add 169.254.99.%d/30 dev joined; ip link set joined up
ip route add %s/32 via 169.254.99.%d dev joined onlink
`, more, here, to.pod.Addr, there)
	}
	wire := "ip link add name joined mtu 9001 type veth peer name joined mtu 9001 netns " + b.name + "-vpc"
	if err := a.node.ScriptAtHost(ctx, script(a, b, 1, 2, wire)); err != nil {
		return err
	}
	return b.node.ScriptAtHost(ctx, script(b, a, 2, 1, ""))
}

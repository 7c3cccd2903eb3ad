package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/enichain/enichain/test/lab/fabric"
	"github.com/enichain/enichain/test/lab/vpc"
	"github.com/enichain/enichain/test/lab/wire"
)

// launchAll starts the instances of the plan: nodes, the control instance where there is more than one node, hosts.
func (h *holder) launchAll(ctx context.Context) error {
	for _, n := range h.Plan.Nodes {
		if err := h.launch(ctx, n, roleNode); err != nil {
			return err
		}
	}
	if len(h.Plan.Nodes) > 1 && !h.Flags.NoDaemons {
		c := planInstance{Name: control, Type: "t3.small", Subnet: h.Plan.Subnets[0].Name}
		if err := h.launch(ctx, c, roleControl); err != nil {
			return err
		}
	}
	for _, n := range h.Plan.Hosts {
		if err := h.launch(ctx, n, roleHost); err != nil {
			return err
		}
	}
	return nil
}

// launch starts an instance; its first interface and public address are there when it returns.
func (h *holder) launch(ctx context.Context, p planInstance, role string) error {
	node, err := h.fabric.Instance(ctx, p.Name)
	if err != nil {
		return err
	}
	made, eni, err := h.world.AddInstance(time.Now(), vpc.Launch{Type: p.Type, Subnet: h.subnetID(p.Subnet),
		IPv6: p.ipv6(h.Plan), Groups: h.groupIDs(p.Groups), Tags: p.tags(role), ENITags: map[string]string{"Name": p.Name + " eth0"}})
	if err != nil {
		return err
	}
	n := &labNode{name: p.Name, role: role, instance: made.ID, kind: p.Type, subnet: p.Subnet, primary: eni.Primary, node: node}
	h.mu.Lock()
	h.public = h.public.Next()
	n.public = h.public
	h.nodes = append(h.nodes, n)
	h.mu.Unlock()
	return h.advance(ctx)
}

// subnetID finds a subnet of the plan by its name.
func (h *holder) subnetID(name string) string {
	for _, s := range h.subnets {
		if s.Name == name {
			return s.ID
		}
	}
	return name
}

// ec2 is the API; what a client was told is true in the kernel by then.
func (h *holder) ec2() http.Handler {
	return wire.Handler(h.world, wire.RealClock{}, func(time.Time) { h.settle(context.Background()) })
}

// settle takes the fabric where the world is now, and sets the clock for what is to come.
func (h *holder) settle(ctx context.Context) {
	if err := h.advance(ctx); err != nil {
		h.log.Error("cannot follow the world", "error", err)
	}
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// follow applies changes when they are due, and mends faults that were set for a time, until ctx ends.
func (h *holder) follow(ctx context.Context) {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	timer := time.NewTimer(0)
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.wake:
		case <-timer.C:
			h.settle(ctx)
		case <-tick.C:
			h.expire(ctx)
		}
		if next, ok := h.world.Next(); ok {
			timer.Reset(time.Until(next))
		}
	}
}

// advance applies what took effect since it was last called, in order. One that cannot be applied does not stop the
// others.
func (h *holder) advance(ctx context.Context) (failed error) {
	h.following.Lock()
	defer h.following.Unlock()
	for _, c := range h.world.Advance(time.Now()) {
		if err := h.apply(ctx, c); err != nil {
			failed = errors.Join(failed, fmt.Errorf("cannot apply %s of %s to %s: %w", c.Kind, c.ENI.ID, c.Instance, err))
		}
	}
	return failed
}

func (h *holder) apply(ctx context.Context, c vpc.Change) error {
	n := h.byInstance(c.Instance)
	if n == nil {
		return errors.New("no machine of the lab is that instance")
	}
	h.log.Info(string(c.Kind), "node", n.name, "eni", c.ENI.ID, "addresses", len(c.ENI.Addresses()))
	switch c.Kind {
	case vpc.LinkAttached:
		if err := h.fabric.Attach(ctx, n.name, n.wire(c)); err != nil {
			return err
		}
		return h.booted(n, c.ENI)
	case vpc.AddressesChanged:
		return h.fabric.Addresses(ctx, n.wire(c))
	case vpc.LinkDetached:
		return h.fabric.Detach(ctx, c.ENI.ID)
	case vpc.InstanceStopped, vpc.InstanceTerminated:
		return h.turnOff(ctx, n)
	case vpc.InstanceStarted:
		return h.turnOn(ctx, n)
	}
	return fmt.Errorf("the lab knows no change %q", c.Kind)
}

// wire is a network interface as the fabric knows it. Only an instance's first one has a public address, and only for
// its primary address, as in a subnet that gives instances public addresses.
func (n *labNode) wire(c vpc.Change) fabric.Interface {
	mac, _ := net.ParseMAC(c.ENI.MAC) // of the world's making
	i := fabric.Interface{ID: c.ENI.ID, MAC: mac, Unchecked: !c.ENI.SourceDestCheck,
		Addresses: append(c.ENI.Addresses(), c.ENI.IPv6...), Prefixes: append(c.ENI.Prefixes, c.ENI.IPv6Prefixes...)}
	if a := c.ENI.Attachment; a != nil {
		i.Device = a.Device
		if a.Card > 0 { // udev's names differ by card as well; these only must not collide
			i.Name = fmt.Sprintf("eth%d", 100*a.Card+a.Device)
		}
		if i.Boot = a.Device == 0 && a.Card == 0; i.Boot {
			i.Public = map[netip.Addr]netip.Addr{c.ENI.Primary: n.public}
		}
	}
	return i
}

// byInstance finds a machine by its instance id, byName by its name; nil when there is none.
func (h *holder) byInstance(id string) *labNode {
	return h.find(func(n *labNode) bool { return n.instance == id })
}

func (h *holder) byName(name string) *labNode {
	return h.find(func(n *labNode) bool { return n.name == name || name != "" && n.instance == name })
}

func (h *holder) find(fits func(*labNode) bool) *labNode {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, n := range h.nodes {
		if fits(n) {
			return n
		}
	}
	return nil
}

// all are the machines of some roles; of every role when none is named.
func (h *holder) all(roles ...string) []*labNode {
	h.mu.Lock()
	defer h.mu.Unlock()
	var found []*labNode
	for _, n := range h.nodes {
		if len(roles) == 0 || slices.Contains(roles, n.role) {
			found = append(found, n)
		}
	}
	return found
}

// serveInside opens what the machines of the lab reach: EC2 and the metadata service on the router, and a server that
// greets on port 80 of each host.
func (h *holder) serveInside(ctx context.Context, errs chan<- error) error {
	router := h.fabric.Router()
	for address, handler := range map[string]http.Handler{ec2Address: h.ec2(), imdsAddress: h.imds()} {
		l, err := router.Listen(net.JoinHostPort(address, "80"))
		if err != nil {
			return fmt.Errorf("cannot listen on the router: %w", err)
		}
		h.serve(ctx, l, handler, errs)
	}
	h.greet = func(n *labNode) error { return h.serveHost(ctx, n, errs) }
	for _, n := range h.all(roleHost, roleOutside) {
		if err := h.greet(n); err != nil {
			return err
		}
	}
	return nil
}

// serveHost greets on port 80 of a host, until ctx or the host's machine ends.
func (h *holder) serveHost(ctx context.Context, n *labNode, errs chan<- error) error {
	var packets net.PacketConn
	l, err := n.node.Listen(":80")
	if err != nil {
		return fmt.Errorf("cannot listen on %s: %w", n.name, err)
	}
	if err := n.node.Do(func() (err error) { packets, err = net.ListenPacket("udp", ":80"); return err }); err != nil {
		l.Close()
		return fmt.Errorf("cannot listen on %s: %w", n.name, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	h.mu.Lock()
	n.hush = cancel
	h.mu.Unlock()
	h.serve(ctx, l, greeting(n.name), errs)
	context.AfterFunc(ctx, func() { packets.Close() })
	go answerPackets(packets, n.name)
	return nil
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/enichain/enichain/test/lab/fabric"
	"github.com/enichain/enichain/test/lab/imds"
	"github.com/enichain/enichain/test/lab/vpc"
)

// Addresses inside a lab. EC2's and IMDS's are the router's; the hosts outside are not in the VPC's networks.
const (
	imdsAddress     = "169.254.169.254" // as everywhere in EC2
	ec2Address      = "169.254.169.252" // the lab's choice: link-local, used by no service of EC2
	internetAddress = "203.0.113.10"
	internetNetwork = "203.0.113.0/24"
	clientAddress   = "192.168.100.10" // reached privately, as over a Direct Connect
	clientNetwork   = "192.168.100.0/24"
	// The same hosts in a lab with IPv6, where addresses need no public counterparts.
	internetNetwork6 = "2001:db8:cb00:7100::/64"
	internetAddress6 = "2001:db8:cb00:7100::10"
	clientNetwork6   = "2001:db8:c0a8:6400::/64"
	clientAddress6   = "2001:db8:c0a8:6400::10"

	publicNetwork = "198.51.100.0/24" // of which primary interfaces get public addresses
	clientName    = "client"
)

// holding is what 'up' hands to the holder.
type holding struct {
	Plan  plan    `json:"plan"`
	Flags upFlags `json:"flags"`
}

// holder runs a lab: it is the only process that changes the world and the fabric.
type holder struct {
	holding
	dir     string
	log     *slog.Logger
	world   *vpc.World
	fabric  *fabric.Fabric
	end     context.CancelFunc
	keys    map[string]busKey // by instance id
	subnets []subnetView
	groups  map[string]string // ids of security groups by name
	wake    chan struct{}     // the world may have a new change to wait for
	greet   func(*labNode) error

	following sync.Mutex // held while changes are taken and applied: their order counts. Taken before mu

	mu     sync.Mutex // guards what follows
	nodes  []*labNode // in the order of the plan; hosts outside last
	public netip.Addr // last public address given
	faults labFaults
}

// labNode is a machine of the lab.
type labNode struct {
	name, role, instance, kind, subnet string
	primary, public                    netip.Addr
	node                               *fabric.Node
	daemon                             *daemon // nil where enichaind does not run
	off                                bool    // its machine: stopped or terminated
	hush                               func()  // ends the server of a host
}

// Roles of a machine.
const (
	roleNode    = "node"
	roleControl = "control" // reconciler and bus of a lab with several nodes
	roleHost    = "host"    // an instance that runs nothing of ours
	roleOutside = "outside"
)

// holdCommand is the holder: process 2 of a lab, with the sockets that 'up' opened outside.
func holdCommand() *cobra.Command {
	return &cobra.Command{Use: "__hold DIR", Args: cobra.ExactArgs(1), RunE: func(c *cobra.Command, args []string) error {
		ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGTERM, syscall.SIGINT)
		defer stop()
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		h := &holder{dir: args[0], end: cancel, log: slog.New(slog.NewJSONHandler(os.Stderr, nil)),
			keys: map[string]busKey{}, wake: make(chan struct{}, 1)}
		b, err := os.ReadFile(filepath.Join(h.dir, "plan.json"))
		if err != nil {
			return fmt.Errorf("cannot read what to hold: %w", err)
		}
		if err := json.Unmarshal(b, &h.holding); err != nil {
			return fmt.Errorf("cannot read what to hold: %w", err)
		}
		ec2, err := inherited(3, "ec2")
		if err != nil {
			return err
		}
		control, err := inherited(4, "control")
		if err != nil {
			return err
		}
		return h.hold(ctx, ec2, control, os.NewFile(5, "ready"))
	}}
}

func inherited(fd uintptr, name string) (net.Listener, error) {
	f := os.NewFile(fd, name)
	defer f.Close()
	l, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("cannot take over the %s listener: %w", name, err)
	}
	return l, nil
}

// hold makes the lab, says "ready", and keeps it until ctx ends.
func (h *holder) hold(ctx context.Context, ec2, control net.Listener, ready io.WriteCloser) error {
	if err := h.make(ctx); err != nil {
		return errors.Join(err, h.close())
	}
	var running sync.WaitGroup
	running.Go(func() { h.follow(ctx) })
	errs := make(chan error, 8)
	for _, s := range []struct {
		l net.Listener
		h http.Handler
	}{{ec2, h.ec2()}, {control, h.api()}} {
		h.serve(ctx, s.l, s.h, errs)
	}
	if err := h.serveInside(ctx, errs); err != nil {
		return errors.Join(err, h.close())
	}
	if !h.Flags.NoDaemons {
		if err := h.startDaemons(ctx, &running); err != nil {
			return errors.Join(err, h.close())
		}
	}
	fmt.Fprintln(ready, "ready")
	ready.Close()
	h.log.Info("the lab is up", "lab", h.Plan.Name)
	var failed error
	select {
	case <-ctx.Done():
	case failed = <-errs:
		h.end()
	}
	running.Wait() // daemons say goodbye
	return errors.Join(failed, h.close())
}

// serve runs an HTTP server until ctx ends.
func (h *holder) serve(ctx context.Context, l net.Listener, handler http.Handler, errs chan<- error) {
	s := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, ConnContext: imds.ConnContext,
		BaseContext: func(net.Listener) context.Context { return ctx }}
	context.AfterFunc(ctx, func() { s.Close() })
	go func() {
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			errs <- fmt.Errorf("cannot serve on %s: %w", l.Addr(), err)
		}
	}()
}

// make builds the world and the fabric, and starts the instances.
func (h *holder) make(ctx context.Context) (err error) {
	factor, err := scale(h.Flags.Speed)
	if err != nil {
		return err
	}
	config := h.Plan.EC2.config()
	config.Latency, config.Buckets = vpc.Typical(factor), vpc.Published(1)
	h.world = vpc.New(config, rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), uint64(os.Getpid()))))
	made, err := h.world.AddVPC(vpc.VPC{CIDRs: []netip.Prefix{h.Plan.VPC}, IPv6: h.Plan.IPv6, Tags: map[string]string{"Name": h.Plan.Name}})
	if err != nil {
		return err
	}
	var subnets []netip.Prefix
	for _, s := range h.Plan.Subnets {
		tags := map[string]string{"Name": s.Name, "kubernetes.io/role/cni": "1"}
		maps.Copy(tags, s.Tags)
		subnet := vpc.Subnet{VPC: made.ID, Zone: s.Zone, CIDR: s.CIDR, IPv6: s.IPv6, Tags: tags}
		subnet, err := h.world.AddSubnet(subnet)
		if err != nil {
			return err
		}
		h.subnets = append(h.subnets, subnetView{ID: subnet.ID, Name: s.Name, CIDR: s.CIDR.String(), Zone: s.Zone})
		subnets = append(subnets, s.CIDR)
		if s.IPv6.IsValid() {
			subnets = append(subnets, s.IPv6)
		}
	}
	if err := h.makeGroups(made.ID); err != nil {
		return err
	}
	h.fabric, err = fabric.Up(ctx, fabric.Config{Networks: h.world.Networks(made.ID), Subnets: subnets,
		Services: []netip.Addr{netip.MustParseAddr(imdsAddress), netip.MustParseAddr(ec2Address)}})
	if err != nil {
		return err
	}
	h.public = netip.MustParsePrefix(publicNetwork).Addr()
	if err := h.launchAll(ctx); err != nil {
		return err
	}
	return h.makeOutside(ctx)
}

func (h *holder) makeOutside(ctx context.Context) error {
	for _, o := range []struct{ name, network, address, network6, address6 string }{
		{fabric.Internet, internetNetwork, internetAddress, internetNetwork6, internetAddress6},
		{clientName, clientNetwork, clientAddress, clientNetwork6, clientAddress6},
	} {
		address := netip.MustParseAddr(o.address)
		n, err := h.fabric.Outside(ctx, o.name, netip.MustParsePrefix(o.network), address)
		if err != nil {
			return err
		}
		if h.Plan.IPv6.IsValid() {
			if err := h.fabric.AlsoAt(o.name, netip.MustParsePrefix(o.network6), netip.MustParseAddr(o.address6)); err != nil {
				return err
			}
		}
		h.nodes = append(h.nodes, &labNode{name: o.name, role: roleOutside, kind: "-", subnet: "-", primary: address, node: n})
	}
	return nil
}

// close ends the fabric. What a process of the lab still holds goes with process 1.
func (h *holder) close() error {
	if h.fabric == nil {
		return nil
	}
	return h.fabric.Close()
}

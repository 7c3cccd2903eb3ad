package agent_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/agent"
	"github.com/enichain/enichain/ipam/store"
	"github.com/enichain/enichain/stages/routedveth"
)

const (
	instance   = ipam.InstanceID("i-0123456789abcdef0")
	supplyPath = "/etc/enichain/supply.json"
	poolPath   = store.DefaultPath
)

// TestMain is also an agent: called by the name "node-agent" it runs on the node where it is started, with a file for
// a bus, until it is told to stop.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "node-agent" {
		if err := nodeAgent(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	code := m.Run()
	if dir, err := build(); err == nil {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

func nodeAgent() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	boot, err := store.BootID()
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	shell, err := agent.NewShell(agent.Config{Instance: instance, Type: "m5.large", Boot: boot,
		Bus:    agent.NewFileBus(supplyPath, func(err error) { log.Error(err.Error()) }),
		Kernel: kernel{}, Log: log,
		Options: agent.Options{Resync: time.Second, Grace: 2 * time.Second}})
	if err != nil {
		return err
	}
	return shell.Run(ctx)
}

// kernel is the node's namespace by routed-veth's own code.
type kernel struct{}

var _ agent.Kernel = kernel{}

func (kernel) Links(context.Context) ([]agent.Link, error) {
	links, err := netlink.LinkList()
	if err != nil {
		return nil, err
	}
	var found []agent.Link
	for _, l := range links {
		a := l.Attrs()
		if len(a.HardwareAddr) != 6 || a.EncapType != "ether" || a.Group >= 7000 && a.Group < 8024 {
			continue
		}
		link := agent.Link{Name: a.Name, Index: a.Index, MAC: a.HardwareAddr.String(), Up: a.RawFlags&syscall.IFF_UP != 0, N: -1}
		if a.Group >= 6872 && a.Group < 7000 {
			link.N = int(a.Group - 6872)
		}
		addresses, err := netlink.AddrList(l, netlink.FAMILY_ALL)
		if err != nil {
			return nil, err
		}
		for _, addr := range addresses {
			if ip, ok := netip.AddrFromSlice(addr.IP); ok {
				link.Addresses = append(link.Addresses, ip.Unmap())
			}
		}
		found = append(found, link)
	}
	return found, nil
}

func toENI(e agent.ENI) routedveth.ENI {
	return routedveth.ENI{N: e.N, MAC: e.MAC, Primary: e.Primary, Gateway: e.Gateway, Subnet: e.Subnet, MTU: e.MTU}
}

func (kernel) Prepare(ctx context.Context, e agent.ENI) error {
	return routedveth.Prepare(ctx, toENI(e))
}

func (kernel) Repair(ctx context.Context, enis []agent.ENI) ([]string, error) {
	var list []routedveth.ENI
	for _, e := range enis {
		list = append(list, toENI(e))
	}
	return routedveth.Repair(ctx, list)
}

func (kernel) Forget(ctx context.Context, n int) error { return routedveth.Forget(ctx, n) }

func (kernel) Inspect(ctx context.Context) (agent.View, error) {
	seen, err := routedveth.Inspect(ctx)
	var v agent.View
	for _, p := range seen.Pods {
		link := agent.PodLink{Name: p.Link, MAC: p.MAC, Alias: p.Owner, N: p.N, Up: p.Up}
		for _, r := range seen.Routes {
			if r.Link == p.Link {
				link.Addresses = append(link.Addresses, r.Addr)
			}
		}
		v.Pods = append(v.Pods, link)
	}
	return v, err
}

func (kernel) Sweep(ctx context.Context) (int, error) {
	removed, err := routedveth.Sweep(ctx)
	return len(removed), err
}

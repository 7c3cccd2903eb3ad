// Package node is a throw-away node: its network interfaces with a pool file full of addresses, the VPC beside it (its
// router, a host in it, a host outside), pods' namespaces, and a way to say hello between any two of them. It lives in
// namespaces of its own (Enter) and leaves nothing behind.
package node

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/enichain/enichain/ipam/store"
)

// Options say what the node has. The zero value is two network interfaces with 40 IPv4 addresses for pods each.
type Options struct {
	ENIs      int  // network interfaces, at most 8; 0 means 2
	Addresses int  // for pods on each network interface and family, at most 240, beside Prefix 200; 0 means 40
	IPv6      bool // IPv6 beside IPv4: on the node, in the VPC and in the pool
	Bare      bool // a node that has never seen enichain: links alone, no pool file
	NoDAD     bool // IPv6 addresses are usable at once, in pods too, where plugins would wait for a second or two
	Prefix    bool // the primary network interface has a delegated /28 (and, with IPv6, a /80) too
}

// Further tells apart several nodes in one process.
type Further struct {
	Name string // the VPC beside it is in the namespace /run/netns/NAME-vpc; "": in /run/netns/vpc
	Pool string // path of its pool file
}

// Place is where a program can stand: a network namespace, and who it is there.
type Place struct {
	Name  string
	Netns string     // path; "" is the node's own
	Addr  netip.Addr // its IPv4 address; unset for a pod, which gets its own from a list
	Addr6 netip.Addr // unset without IPv6
}

// Node is the node that this process runs on.
type Node struct {
	Options
	Further
	Self    Place // the node itself, with the primary addresses of eth0
	Host    Place // a host in the VPC, in another subnet
	Outside Place // a host outside the VPC

	pods map[string]*Pod
}

// New makes a node of the namespaces that Enter made, with folders of its own. There is one such node in a process.
func New(ctx context.Context, o Options) (*Node, error) {
	if err := OwnFolders(); err != nil {
		return nil, err
	}
	return Beside(ctx, o, Further{Pool: store.DefaultPath})
}

// OwnFolders gives this process empty folders of its own at /run, /var/lib and /etc/cni. New does it by itself.
func OwnFolders() error {
	for _, dir := range Covered() {
		if err := unix.Mount("node", dir, "tmpfs", 0, "mode=755"); err != nil {
			return fmt.Errorf("cannot mount a %s of the node's own: %w", dir, err)
		}
	}
	return nil
}

// Beside makes a node of the network namespace of the calling thread, which is locked to its goroutine and makes all
// further calls, too: for several nodes in one process, which share their folders.
func Beside(ctx context.Context, o Options, f Further) (*Node, error) {
	if o.ENIs == 0 {
		o.ENIs = 2
	}
	if o.Addresses == 0 {
		o.Addresses = 40
	}
	most := 240
	if o.Prefix {
		most = 200
	}
	if o.ENIs < 1 || o.ENIs > 8 || o.Addresses < 1 || o.Addresses > most {
		return nil, fmt.Errorf("cannot make a node with %d network interfaces of %d addresses: want 1 to 8, of 1 to %d",
			o.ENIs, o.Addresses, most)
	}
	vpc := "/run/netns/vpc"
	if f.Name != "" {
		vpc = "/run/netns/" + f.Name + "-vpc"
	}
	n := &Node{Options: o, Further: f, pods: map[string]*Pod{}}
	n.Self = Place{Name: "node", Addr: primary(0)}
	n.Host = Place{Name: "vpc-host", Netns: vpc, Addr: netip.MustParseAddr("10.110.99.9")}
	n.Outside = Place{Name: "outside", Netns: vpc, Addr: netip.MustParseAddr("198.51.100.1")}
	if o.IPv6 {
		n.Self.Addr6 = primary6(0)
		n.Host.Addr6 = netip.MustParseAddr("2001:db8:110:99::9")
		n.Outside.Addr6 = netip.MustParseAddr("2001:db8:198::1")
	}
	return n, n.build(ctx)
}

// Covered are the folders that a node has of its own: what the machine has there cannot be seen. /etc/cni is made by
// nobody here: it may not exist.
func Covered() []string {
	dirs := []string{"/run", "/var/lib"}
	if _, err := os.Stat("/etc/cni"); err == nil {
		dirs = append(dirs, "/etc/cni")
	}
	return dirs
}

func (n *Node) build(ctx context.Context) error {
	if err := bind(n.Host.Netns); err != nil {
		return err
	}
	if err := n.wire(ctx); err != nil {
		return err
	}
	if n.Bare {
		return nil
	}
	return n.supply(ctx)
}

// Reset makes the node new: pods, links, routes, rules, tables and files of everybody are gone.
func (n *Node) Reset(ctx context.Context) error {
	var errs []error
	for _, p := range n.pods {
		errs = append(errs, p.Delete())
	}
	_ = unix.Unmount(n.Host.Netns, unix.MNT_DETACH) // its links go at once with the node's ends
	errs = append(errs, script(ctx, "", clear))
	for _, dir := range Covered() {
		entries, err := os.ReadDir(dir)
		errs = append(errs, err)
		for _, e := range entries {
			errs = append(errs, os.RemoveAll(filepath.Join(dir, e.Name())))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("cannot clear the node: %w", err)
	}
	return n.build(ctx)
}

// clear takes everything out of the node's network namespace that plugins may have put there.
const clear = `
for link in $(ip -o link show | awk -F '[:@ ]+' '$2 != "lo" {print $2}'); do ip link delete "$link" 2>/dev/null || true; done
nft flush ruleset
for tool in iptables ip6tables; do
	names=/proc/self/net/ip_tables_names; [ $tool = iptables ] || names=/proc/self/net/ip6_tables_names
	for table in $(cat $names 2>/dev/null); do printf '*%s\nCOMMIT\n' "$table" | $tool-legacy-restore; done
done
for family in -4 -6; do
	ip $family rule flush
	ip $family rule add priority 32766 lookup main
	[ $family = -6 ] || ip rule add priority 32767 lookup default
	for type in blackhole unreachable prohibit; do ip $family route flush table all type $type 2>/dev/null || true; done
done
conntrack -F 2>/dev/null || true
`

// script runs a shell script in a namespace; the first line that fails ends it.
func script(ctx context.Context, netns, text string) error {
	return Within(netns, func() error {
		cmd := exec.CommandContext(ctx, "sh", "-eu")
		cmd.Stdin = strings.NewReader(text)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, strings.TrimSpace(string(out)))
		}
		return nil
	})
}

// Leases are those of the pool file.
func (n *Node) Leases(ctx context.Context) ([]store.Lease, error) {
	if n.Bare {
		return nil, nil
	}
	var s store.State
	err := store.New(n.Pool, store.Options{}).View(ctx, func(tx *store.Tx) error { s = tx.State(); return nil })
	return s.Leases, err
}

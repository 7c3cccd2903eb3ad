package pods

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	types100 "github.com/containernetworking/cni/pkg/types/100"

	"github.com/enichain/enichain/test/bench/figure"
	"github.com/enichain/enichain/test/bench/peers"
	"github.com/enichain/enichain/test/need"
)

// TestFloor wants the floor to give a pod what our chain does, or it would be no floor: the node reaches it, it reaches
// the outside as the node, and its host port leads to it. After DEL the port leads nowhere and the address is free.
func TestFloor(t *testing.T) {
	need.NetAdmin(t)
	need.Tool(t, "nft", "nftables")
	ctx := t.Context()
	floors, err := peers.Floor(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{Options: figure.Options{Progress: func(string) {}}, dir: t.TempDir(), path: []string{floors}}
	for i, s := range others(false) {
		if !s.floor {
			continue
		}
		t.Run(s.id, func(t *testing.T) {
			n, err := newNode(ctx, s, filepath.Join(b.dir, "floor"+string(rune('0'+i))), b.path)
			if err != nil {
				t.Fatal(err)
			}
			defer n.close()
			if err := n.within(func() error { return n.tried(ctx, t) }); err != nil {
				t.Fatal(err)
			}
			if left, err := os.ReadDir(filepath.Join(n.dir, "state")); err != nil || len(left) > 0 {
				t.Errorf("leases left: %v, %v", left, err)
			}
		})
	}
}

// tried has one pod come, talk and go.
func (n *node) tried(ctx context.Context, t *testing.T) error {
	a, err := n.attachment()
	if err != nil {
		return err
	}
	defer a.pod.Delete()
	r, err := n.cni.AddNetworkList(ctx, n.list, a.runtime)
	if err != nil {
		return err
	}
	result, err := types100.NewResultFromResult(r)
	if err != nil {
		return err
	}
	pod := a.pod.Place
	pod.Addr = netip.MustParseAddr(result.IPs[0].Address.IP.String())
	listen, err := n.made.Listen(ctx, pod, "tcp", netip.AddrPortFrom(pod.Addr, 80))
	if err != nil {
		return err
	}
	defer listen.Close()
	outside, err := n.made.Listen(ctx, n.made.Outside, "tcp", netip.AddrPortFrom(n.made.Outside.Addr, 80))
	if err != nil {
		return err
	}
	defer outside.Close()
	if _, err := n.made.Dial(ctx, n.made.Self, "tcp", listen.At); err != nil {
		t.Error(err)
	}
	if answer, err := n.made.Dial(ctx, pod, "tcp", outside.At); err != nil || answer.Saw != n.made.Self.Addr {
		t.Errorf("the outside saw %+v, want the node: %v", answer, err)
	}
	port := netip.AddrPortFrom(n.made.Self.Addr, uint16(1024+n.pods*n.ports))
	if _, err := n.made.Dial(ctx, n.made.Host, "tcp", port); err != nil {
		t.Error(err)
	}
	if err := n.del(ctx, a); err != nil {
		return err
	}
	if _, err := n.made.Dial(ctx, n.made.Host, "tcp", port); err == nil {
		t.Error("after DEL the host port still leads to the pod")
	}
	return nil
}

package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"math/rand/v2"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/enichain/enichain/bus"
	"github.com/enichain/enichain/ipam"
	metadata "github.com/enichain/enichain/ipam/imds"
	"github.com/enichain/enichain/ipam/store"
	"github.com/enichain/enichain/test/lab/imds"
	"github.com/enichain/enichain/test/lab/vpc"
	"github.com/enichain/enichain/test/lab/wire"
)

// shownNode is a node of the lab whose interfaces somebody else manages, with the part of a daemon that reads its metadata.
type shownNode struct {
	*daemon
	world  *vpc.World
	id     ipam.InstanceID
	subnet vpc.Subnet
	eth0   vpc.NetworkInterface
}

func newShownNode(t *testing.T) *shownNode {
	t.Helper()
	world := vpc.New(vpc.Config{}, rand.New(rand.NewPCG(3, 4)))
	v, err := world.AddVPC(vpc.VPC{CIDRs: []netip.Prefix{netip.MustParsePrefix("10.140.0.0/16")}, IPv6: netip.MustParsePrefix("2600:1f13:0:200::/56")})
	if err != nil {
		t.Fatal(err)
	}
	subnet, err := world.AddSubnet(vpc.Subnet{VPC: v.ID, Zone: "lab-1a", CIDR: netip.MustParsePrefix("10.140.16.0/20"), IPv6: netip.MustParsePrefix("2600:1f13:0:201::/64")})
	if err != nil {
		t.Fatal(err)
	}
	instance, eth0, err := world.AddInstance(time.Now(), vpc.Launch{Type: "m5.large", Subnet: subnet.ID})
	if err != nil {
		t.Fatal(err)
	}
	service := httptest.NewServer(imds.Handler(world, instance.ID, wire.RealClock{}))
	t.Cleanup(service.Close)
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", service.URL)
	config, err := Parse([]byte("roles: [agent]\npool: { supply: imds, file: " + filepath.Join(t.TempDir(), "pool.db") + " }\npools: [{ name: web, usePrimary: false, cooldown: 7s }]\n"))
	if err != nil {
		t.Fatal(err)
	}
	config.Node.Resync = Duration(20 * time.Millisecond)
	d := &daemon{config: config, log: slog.New(slog.DiscardHandler), journal: newJournal()}
	return &shownNode{daemon: d, world: world, id: ipam.InstanceID(instance.ID), subnet: subnet, eth0: eth0}
}

func (n *shownNode) call(t *testing.T, r vpc.Request) {
	t.Helper()
	if _, err := n.world.Call(time.Now(), "test", r); err != nil {
		t.Fatal(err)
	}
}

// until reads the file of what was shown until it has what is wanted.
func (n *shownNode) until(t *testing.T, what string, done func(ipam.Supply) bool) ipam.Supply {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		var s ipam.Supply
		text, err := os.ReadFile(n.shownFile())
		if err == nil && json.Unmarshal(text, &s) == nil && done(s) {
			return s
		}
		if time.Now().After(end) {
			t.Fatalf("waited in vain until %s: %s", what, text)
		}
	}
}

// TestSupplyByIMDS: what the metadata service lists becomes the node's supply and stays it, whatever the service forgets.
func TestSupplyByIMDS(t *testing.T) {
	n := newShownNode(t)
	ctx, stop := context.WithCancel(t.Context())
	var follow sync.WaitGroup
	t.Cleanup(func() { stop(); follow.Wait() })
	follow.Go(func() { _ = n.followIMDS(ctx) })
	eth0 := n.eth0
	n.call(t, vpc.AssignPrivateIpAddresses{ID: eth0.ID, Count: 2})
	n.call(t, vpc.AssignPrivateIpAddresses{ID: eth0.ID, PrefixCount: 1})
	n.call(t, vpc.AssignIpv6Addresses{ID: eth0.ID, PrefixCount: 1})
	full := n.until(t, "everything is shown", func(s ipam.Supply) bool {
		return len(s.ENIs) == 1 && len(s.ENIs[0].Addresses) == 2 && len(s.ENIs[0].Prefixes) == 2
	})
	e := full.ENIs[0]
	want := ipam.SuppliedENI{ENI: ipam.ENIID(eth0.ID), Attachment: "imds-" + ipam.AttachmentID(eth0.ID), Pool: "web", MAC: eth0.MAC, SubnetID: ipam.SubnetID(n.subnet.ID),
		Subnet: n.subnet.CIDR, Subnet6: n.subnet.IPv6, Primary: eth0.Primary, Gateway: netip.MustParseAddr("10.140.16.1"), Addresses: e.Addresses, Prefixes: e.Prefixes}
	same := cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})
	if diff := cmp.Diff(want, e, same); diff != "" {
		t.Errorf("interface (-want +got):\n%s", diff)
	}
	wantPools := []ipam.SuppliedPool{{Name: "web", Families: []ipam.Family{4}, Cooldown: 7 * time.Second, Window: 10 * time.Minute, MinAge: 10 * time.Minute}}
	if diff := cmp.Diff(wantPools, full.Pools); diff != "" || len(full.VPC) != 2 {
		t.Errorf("VPC %v, pools (-want +got):\n%s", full.VPC, diff)
	}

	n.call(t, vpc.UnassignPrivateIpAddresses{ID: eth0.ID, Addresses: e.Addresses[:1]})
	n.call(t, vpc.AssignPrivateIpAddresses{ID: eth0.ID, Count: 1})
	grown := n.until(t, "one more is shown", func(s ipam.Supply) bool { return len(s.ENIs) == 1 && len(s.ENIs[0].Addresses) > 2 })
	if len(grown.ENIs[0].Addresses) != 3 {
		t.Errorf("addresses %v: the one that was unassigned stays", grown.ENIs[0].Addresses)
	}

	// A daemon that comes up again goes on from there.
	again := n.shownBefore()
	if diff := cmp.Diff(grown, again, same); diff != "" {
		t.Errorf("after a restart (-before +after):\n%s", diff)
	}
}

// TestShownBus: the agent gets what was shown once it has told its pool file's state, and its events reach people here.
func TestShownBus(t *testing.T) {
	n := newShownNode(t)
	n.call(t, vpc.AssignPrivateIpAddresses{ID: n.eth0.ID, Count: 2})
	ctx, stop := context.WithCancel(t.Context())
	var follow sync.WaitGroup
	t.Cleanup(func() { stop(); follow.Wait() })
	follow.Go(func() { _ = n.followIMDS(ctx) })
	n.until(t, "it is shown", func(s ipam.Supply) bool { return len(s.ENIs) == 1 })
	via := n.shownBus()
	supplies := make(chan ipam.Supply, 10)
	follow.Go(func() { _ = via.Supplies(ctx, n.id, func(s ipam.Supply) { supplies <- s }) })
	if err := via.PublishSnapshot(ctx, ipam.Snapshot{Instance: n.id, Inc: "1234567890abcdef", Seq: 5}); err != nil {
		t.Fatal(err)
	}
	select {
	case s := <-supplies:
		if s.Basis != (ipam.Basis{Inc: "1234567890abcdef", Seq: 5}) || s.Instance != n.id || s.Rev == 0 || len(s.ENIs) != 1 || len(s.Release) != 0 {
			t.Errorf("supply %+v", s)
		}
	case <-time.After(patience):
		t.Error("no supply")
	}
	if err := via.PublishEvent(ctx, "i-1", "inc", ipam.Record{N: 1, Verb: ipam.PodAdded, At: time.Now()}); err != nil {
		t.Error(err)
	}
	if got := n.journal.newest(time.Time{}); len(got) != 1 || got[0].ID != bus.EventID("inc", 1) {
		t.Errorf("events %+v", got)
	}
}

// TestFromReconcilerToIMDS: a node that lived on a reconciler's supply keeps its lives: nothing that was given up comes back
// because the metadata service still shows it, and what is free stays free.
func TestFromReconcilerToIMDS(t *testing.T) {
	n := newShownNode(t)
	n.call(t, vpc.AssignPrivateIpAddresses{ID: n.eth0.ID, Count: 4})
	places, err := metadata.New().Places(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	shown := shownSupply(n.config, ipam.Supply{}, places, past{})
	all := shown.ENIs[0].Addresses
	boot, err := store.BootID()
	if err != nil {
		t.Fatal(err)
	}
	now := store.ReadClock()
	file, err := store.Create(t.Context(), n.config.Pool.File, store.Options{Boot: boot}, now,
		store.Identity{Instance: n.id, Boot: boot, Inc: "1234567890abcdef"}, store.Past{})
	if err != nil {
		t.Fatal(err)
	}
	do := func(f func(*store.Tx) error) {
		t.Helper()
		if err := file.Update(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	accept := func(s ipam.Supply, rev uint64) {
		t.Helper()
		do(func(tx *store.Tx) error {
			s.Instance, s.Epoch, s.Rev, s.Basis = n.id, 1, rev, ipam.Basis{Inc: "1234567890abcdef", Seq: tx.Meta().Seq}
			if _, _, err := tx.Accept(now, s); err != nil {
				return err
			}
			_, err := tx.Links(now, []store.Link{{MAC: n.eth0.MAC, Name: "eth0", N: 0, Ready: true}})
			return err
		})
	}
	told := shown
	told.ENIs = slices.Clone(shown.ENIs)
	told.ENIs[0].Attachment = "eni-attach-1"
	accept(told, 1)
	do(func(tx *store.Tx) error {
		for range 2 { // one is unassigned then, the other one not yet
			r := ipam.Release{ENI: told.ENIs[0].ENI, Count: 1}
			chosen, err := tx.Choose(now, r)
			if err != nil {
				return err
			}
			if _, err := tx.Fence(now, r, chosen); err != nil {
				return err
			}
		}
		return nil
	})
	told.ENIs[0].Addresses = all[:3]
	accept(told, 2)
	known, err := n.past(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	mine := shownSupply(n.config, ipam.Supply{}, places, known)
	if e := mine.ENIs[0]; e.Attachment != "eni-attach-1" || !slices.Equal(e.Addresses, all[:3]) {
		t.Errorf("shown %s with %v, want what is not held of %v", e.Attachment, e.Addresses, all)
	}
	accept(mine, 3)
	states := map[ipam.State]int{}
	do(func(tx *store.Tx) error {
		for _, a := range tx.State().Addresses {
			states[a.State]++
		}
		return nil
	})
	if diff := cmp.Diff(map[ipam.State]int{ipam.Free: 2, ipam.Fenced: 1}, states); diff != "" {
		t.Errorf("after the metadata service's supply (-want +got):\n%s", diff)
	}

	// Back with a reconciler: what was shown before is no evidence for a later time without one.
	if err := writeSupply(n.shownFile(), mine); err != nil {
		t.Fatal(err)
	}
	if err := n.forgetShown(); err != nil || len(n.shownBefore().ENIs) != 0 {
		t.Errorf("%v, still known: %+v", err, n.shownBefore())
	}
}

// TestOldBoot: what was shown before the machine started is nothing.
func TestOldBoot(t *testing.T) {
	d := &daemon{config: Config{Pool: PoolConfig{File: filepath.Join(t.TempDir(), "pool.db")}}}
	write(t, d.shownFile(), `{"enis":[{"eni":"eni-1"}]}`)
	if s := d.shownBefore(); len(s.ENIs) != 1 {
		t.Fatalf("written in this boot: %+v", s)
	}
	old := time.Unix(1, 0)
	if err := os.Chtimes(d.shownFile(), old, old); err != nil {
		t.Fatal(err)
	}
	if s := d.shownBefore(); len(s.ENIs) != 0 {
		t.Errorf("written before it: %+v", s)
	}
}

// TestSupplyOfRoles: the metadata service supplies a node that is alone.
func TestSupplyOfRoles(t *testing.T) {
	for text, good := range map[string]bool{
		"roles: [agent]\npool: { supply: imds }\n": true,
		"roles: [agent]\n":                         false, // no bus to connect to
		"cluster: a\nroles: [agent, reconciler, bus]\npool: { supply: imds }\n":       false,
		"cluster: a\nroles: [reconciler, bus]\npool: { supply: imds }\n":              true, // the nodes' part of one file for all
		"roles: [agent]\nbus: { urls: [nats://a:1] }\npool: { supply: metadata }\n":   false,
		"roles: [agent]\nbus: { urls: [nats://a:1] }\npool: { supply: reconciler }\n": true,
	} {
		if _, err := Parse([]byte(text)); (err == nil) != good {
			t.Errorf("%q: %v", text, err)
		}
	}
}

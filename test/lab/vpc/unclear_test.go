package vpc_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/enichain/enichain/test/lab/vpc"
)

// What the documentation leaves open: both behaviours of each setting.
func TestUnclear(t *testing.T) {
	on := func(set func(*vpc.Config)) vpc.Config {
		c := vpc.Config{}
		set(&c)
		return c
	}
	for _, test := range []struct {
		name     string
		set      func(*vpc.Config)
		ask      func(l *lab) string // a code, or empty
		off, on2 string
	}{
		{"deleted token", func(c *vpc.Config) { c.DeletedToken = vpc.MakesAnother }, func(l *lab) string {
			return reused(l, func(n vpc.NetworkInterface) { ok[vpc.Done](l, vpc.DeleteNetworkInterface{ID: n.ID}) })
		}, "the same", "another"},
		{"token kept", func(c *vpc.Config) { c.TokenKept = time.Hour }, func(l *lab) string {
			return reused(l, func(vpc.NetworkInterface) { l.now = l.now.Add(2 * time.Hour) })
		}, "the same", "another"},
		{"in use", func(c *vpc.Config) { c.InUseAsInvalidParameter = true }, func(l *lab) string {
			return l.refused(vpc.DeleteNetworkInterface{ID: l.eth0.ID})
		}, "InvalidNetworkInterface.InUse", "InvalidParameterValue"},
		{"throttled calls cost", func(c *vpc.Config) { c.ThrottledCosts = true }, func(l *lab) string {
			for range 150 { // thrice the refill of 5 a second
				l.now = l.now.Add(time.Second / 16)
				_, _ = l.Call(l.now, "greedy", vpc.DescribeVpcs{})
			}
			return fmt.Sprint(l.Counts()[0].Accepted > 50)
		}, "true", "false"},
		{"throttled status", func(c *vpc.Config) { c.ThrottledStatus = 400 }, func(l *lab) string {
			if err := l.fault("throttle", "*=0", 0); err != nil {
				return err.Error()
			}
			_, err := l.Call(l.now, "c", vpc.DescribeVpcs{})
			return fmt.Sprint(err.HTTPStatus)
		}, "503", "400"},
		{"ids unbounded", func(c *vpc.Config) { c.IDsUnbounded = true }, func(l *lab) string {
			for range 30 {
				_, _ = l.Call(l.now, "c", vpc.DescribeNetworkInterfaces{IDs: []string{l.eth0.ID}})
			}
			return fmt.Sprint(l.Counts()[0].Accepted)
		}, "25", "12"},
		{"unpaged", func(c *vpc.Config) { c.UnpagedMost = 1 }, func(l *lab) string {
			if got := l.refused(vpc.DescribeNetworkInterfaces{Page: vpc.Page{MaxResults: 5}}); got != "" {
				return "with a page: " + got
			}
			return l.refused(vpc.DescribeNetworkInterfaces{})
		}, "", "Unavailable"},
		{"weight of a prefix", func(c *vpc.Config) { c.PrefixUnits = 16 }, func(l *lab) string {
			return l.refused(vpc.AssignPrivateIpAddresses{ID: l.eth0.ID, PrefixCount: 1})
		}, "", "NetworkAddressUsageLimitExceeded"},
		{"rest", func(c *vpc.Config) { c.AddressRest = time.Minute }, func(l *lab) string {
			n := l.eni(vpc.CreateNetworkInterface{SecondaryCount: 1})
			ok[vpc.Done](l, vpc.UnassignPrivateIpAddresses{ID: n.ID, Addresses: n.Secondary})
			return l.refused(vpc.AssignPrivateIpAddresses{ID: l.eth0.ID, Addresses: n.Secondary})
		}, "", "Resource.AlreadyAssigned"},
		{"forced detachment", func(c *vpc.Config) { c.ForcedDetachBlocks = true }, func(l *lab) string {
			n := l.eni(vpc.CreateNetworkInterface{})
			ok[vpc.Done](l, vpc.DetachNetworkInterface{AttachmentID: l.attach(n.ID, 1), Force: true})
			attach := vpc.AttachNetworkInterface{ID: n.ID, InstanceID: l.node.ID, Device: 1}
			code := l.refused(attach)
			if code != "" { // a stop and a start help
				l.granted(vpc.StopInstances{IDs: []string{l.node.ID}})
				l.granted(vpc.StartInstances{IDs: []string{l.node.ID}})
				l.granted(attach)
			}
			return code
		}, "", "InvalidParameterValue"},
		{"over the limit", func(c *vpc.Config) { c.OverLimitStarts = true }, func(l *lab) string {
			l.attach(l.eni(vpc.CreateNetworkInterface{}).ID, 1)
			l.attach(l.eni(vpc.CreateNetworkInterface{}).ID, 2)
			l.granted(vpc.StopInstances{IDs: []string{l.node.ID}})
			ok[vpc.Done](l, vpc.ModifyInstanceAttribute{ID: l.node.ID, InstanceType: &vpc.StringValue{Value: "c7g.medium"}})
			return l.refused(vpc.StartInstances{IDs: []string{l.node.ID}})
		}, "AttachmentLimitExceeded", ""},
		{"terminated kept", func(c *vpc.Config) { c.TerminatedKept = time.Minute }, func(l *lab) string {
			l.granted(vpc.TerminateInstances{IDs: []string{l.node.ID}})
			l.now = l.now.Add(10 * time.Minute)
			return l.refused(vpc.DescribeInstances{IDs: []string{l.node.ID}})
		}, "", "InvalidInstanceID.NotFound"},
	} {
		t.Run(test.name, func(t *testing.T) {
			base := func(c *vpc.Config) { c.Buckets, c.Quotas = vpc.Published(0.25), vpc.Quotas{AddressUsage: 10} }
			if got := test.ask(newLab(t, on(base))); got != test.off {
				t.Errorf("not set: %q, want %q", got, test.off)
			}
			if got := test.ask(newLab(t, on(func(c *vpc.Config) { base(c); test.set(c) }))); got != test.on2 {
				t.Errorf("set: %q, want %q", got, test.on2)
			}
		})
	}
}

// reused makes an interface with a token, lets something happen and says what the token makes then.
func reused(l *lab, between func(vpc.NetworkInterface)) string {
	r := vpc.CreateNetworkInterface{SubnetID: l.a.ID, ClientToken: "t"}
	first := l.eni(r)
	between(first)
	if l.eni(r).ID == first.ID {
		return "the same"
	}
	return "another"
}

// A subnet is fragmented by what is in it: each /28 has somebody. When one is empty again a prefix can be had.
func TestFragmentation(t *testing.T) {
	l := newLab(t, vpc.Config{})
	n := l.eni(vpc.CreateNetworkInterface{})
	for block := 1; block < 15; block++ {
		a := netip.AddrFrom4([4]byte{10, 110, 10, byte(16*block + 3)})
		if code := l.refused(vpc.AssignPrivateIpAddresses{ID: n.ID, Addresses: []netip.Addr{a}}); code != "" && code != "Resource.AlreadyAssigned" {
			t.Fatal(code)
		}
	}
	take := vpc.AssignPrivateIpAddresses{ID: l.eth0.ID, PrefixCount: 1}
	if got := l.refused(take); got != "InsufficientCidrBlocks" {
		t.Errorf("with somebody in every /28: %q", got)
	}
	if free := ok[vpc.DescribeSubnetsOutput](l, vpc.DescribeSubnets{IDs: []string{l.a.ID}}).Subnets[0].Free; free < 200 {
		t.Errorf("%d addresses are free", free)
	}
	if got := l.refused(vpc.AssignPrivateIpAddresses{ID: l.eth0.ID, Count: 1}); got != "" {
		t.Errorf("a single address: %q", got)
	}
	ok[vpc.Done](l, vpc.DeleteNetworkInterface{ID: n.ID})
	got := ok[vpc.AssignPrivateIpAddressesOutput](l, take).Prefixes
	if len(got) != 1 || got[0].Bits() != 28 {
		t.Errorf("a block is free again, and assigned was %v", got)
	}
}

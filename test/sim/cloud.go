package sim

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/ec2"
	"github.com/enichain/enichain/ipam/reconcile"
	"github.com/enichain/enichain/test/lab/vpc"
)

// do makes one call, as package ec2 does without a wire; its answer is there at the time it returns.
func (f *fleet) do(caller string, call reconcile.Call) (reconcile.Answer, time.Time) {
	a := reconcile.Answer{ID: call.ID, Class: reconcile.Done}
	out, err := f.world.Call(f.wall(), caller, request(call))
	a.Took = out.Answered.Sub(f.wall())
	if err != nil {
		class, known := ec2.ClassOf(err.Code, err.Message)
		if !known {
			class = reconcile.Other
			if err.HTTPStatus >= 500 {
				class = reconcile.Unknown
			}
		}
		a.Class, a.Code, a.Text = class, err.Code, err.Message
		return a, out.Answered
	}
	switch o := out.Output.(type) {
	case vpc.CreateNetworkInterfaceOutput:
		e := eniOf(o.NetworkInterface)
		a.ENI = &e
	case vpc.AttachNetworkInterfaceOutput:
		a.Attachment = ipam.AttachmentID(o.AttachmentID)
	case vpc.AssignPrivateIpAddressesOutput:
		a.Addresses, a.Prefixes = o.Addresses, o.Prefixes
	case vpc.AssignIpv6AddressesOutput:
		a.Addresses, a.Prefixes = o.Addresses, o.Prefixes
	}
	return a, out.Answered
}

// request is a call in EC2's own words.
func request(call reconcile.Call) vpc.Request {
	yes := true
	switch call.Action {
	case reconcile.Create:
		var tags []vpc.Tag
		for _, k := range slices.Sorted(maps.Keys(call.Tags)) {
			tags = append(tags, vpc.Tag{Key: k, Value: call.Tags[k]})
		}
		return vpc.CreateNetworkInterface{
			SubnetID: string(call.Subnet), Groups: call.Groups, SecondaryCount: call.Count, ClientToken: call.Token,
			PrefixCount: call.Prefixes, IPv6Count: call.Addrs6, IPv6PrefixCount: call.Prefixes6, Description: call.About,
			TagSpecification: []vpc.TagSpecification{{ResourceType: "network-interface", Tags: tags}},
		}
	case reconcile.Attach:
		return vpc.AttachNetworkInterface{ID: string(call.ENI), InstanceID: string(call.Instance), Device: call.Device, Card: call.Card}
	case reconcile.Assign:
		return vpc.AssignPrivateIpAddresses{ID: string(call.ENI), Count: call.Count, PrefixCount: call.Prefixes}
	case reconcile.Unassign:
		return vpc.UnassignPrivateIpAddresses{ID: string(call.ENI), Addresses: call.Addresses, Prefixes: call.Give}
	case reconcile.Assign6:
		return vpc.AssignIpv6Addresses{ID: string(call.ENI), PrefixCount: call.Prefixes6, Count: call.Addrs6}
	case reconcile.Unassign6:
		return vpc.UnassignIpv6Addresses{ID: string(call.ENI), Prefixes: call.Give}
	case reconcile.Detach:
		return vpc.DetachNetworkInterface{AttachmentID: string(call.Attachment)}
	case reconcile.Delete:
		return vpc.DeleteNetworkInterface{ID: string(call.ENI)}
	case reconcile.Bind:
		if len(call.Groups) > 0 {
			return vpc.ModifyNetworkInterfaceAttribute{ID: string(call.ENI), Groups: call.Groups}
		}
		return vpc.ModifyNetworkInterfaceAttribute{ID: string(call.ENI), Attachment: &vpc.AttachmentChanges{
			AttachmentID: string(call.Attachment), DeleteOnTermination: &yes}}
	}
	panic("no such action: " + string(call.Action))
}

func eniOf(n vpc.NetworkInterface) reconcile.ENI {
	e := reconcile.ENI{
		ID: ipam.ENIID(n.ID), Subnet: ipam.SubnetID(n.Subnet), MAC: strings.ToLower(n.MAC), Primary: n.Primary,
		Addresses: slices.Clone(n.Secondary), Groups: slices.Clone(n.Groups), Tags: n.Tags, Kind: n.Type, About: n.Description,
	}
	e.Prefixes = append(slices.Clone(n.Prefixes), n.IPv6Prefixes...)
	if len(n.IPv6) > 0 {
		e.Primary6 = n.IPv6[0]
	}
	if a := n.Attachment; a != nil {
		e.Instance, e.Attachment = ipam.InstanceID(a.Instance), ipam.AttachmentID(a.ID)
		e.Device, e.Card, e.Bound, e.Detaching = a.Device, a.Card, a.DeleteOnTermination, a.Status() == vpc.Detaching
	}
	return e
}

// holds says whether an interface has an address, alone or in a prefix.
func holds(e vpc.NetworkInterface, a netip.Addr) bool {
	in := func(p netip.Prefix) bool { return p.Contains(a) }
	return slices.Contains(e.Secondary, a) || slices.ContainsFunc(e.Prefixes, in) || slices.Contains(e.IPv6, a) ||
		slices.ContainsFunc(e.IPv6Prefixes, in)
}

// typeOf is what EC2 allows an instance type.
func typeOf(name string) vpc.InstanceType {
	for _, t := range vpc.InstanceTypes() {
		if t.Name == name {
			return t
		}
	}
	panic("no such type: " + name)
}

func limitsOf(t vpc.InstanceType) ipam.Limits {
	l := ipam.Limits{ENIs: t.InterfacesPerCard[0], IPv4: t.IPv4PerInterface, IPv6: t.IPv6PerInterface, Prefixes: t.Hypervisor == "nitro"}
	if len(t.InterfacesPerCard) > 1 {
		l.Cards = slices.Clone(t.InterfacesPerCard)
	}
	return l
}

package sim

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/ec2"
	"github.com/enichain/enichain/ipam/reconcile"
	"github.com/enichain/enichain/test/lab/vpc"
)

// cloud is what package ec2 does, without a wire.
type cloud struct {
	world  *vpc.World
	caller string
}

// list answers a List; a refusal is an Err, as an incomplete list is.
func (c cloud) list(now time.Time, ask reconcile.List) reconcile.Listed {
	l := reconcile.Listed{ID: ask.ID, Limits: map[string]ipam.Limits{}}
	wanted := map[string]bool{}
	for _, id := range ask.Instances {
		wanted[string(id)] = true
	}
	out, err := c.world.Call(now, c.caller, vpc.DescribeNetworkInterfaces{})
	if err != nil {
		return reconcile.Listed{ID: ask.ID, Err: err.Message, Code: err.Code}
	}
	rows := out.Output.(vpc.DescribeNetworkInterfacesOutput).NetworkInterfaces
	for _, n := range rows {
		if ask.Full && n.Tags[reconcile.TagCluster] == ask.Cluster && n.Tags[reconcile.TagNode] != "" {
			wanted[n.Tags[reconcile.TagNode]] = true
		}
	}
	for _, n := range rows {
		ours := n.Tags[reconcile.TagCluster] == ask.Cluster && wanted[n.Tags[reconcile.TagNode]]
		if ours || wanted[n.Instance()] {
			l.ENIs = append(l.ENIs, eniOf(n))
		}
	}
	out, err = c.world.Call(now, c.caller, vpc.DescribeInstances{})
	if err != nil {
		return reconcile.Listed{ID: ask.ID, Err: err.Message, Code: err.Code}
	}
	vpcs := map[string]bool{}
	for _, id := range ask.VPCs {
		vpcs[id] = true
	}
	for _, i := range out.Output.(vpc.DescribeInstancesOutput).Instances {
		if !wanted[i.Instance.ID] {
			continue
		}
		vpcs[i.Instance.VPC] = true
		l.Instances = append(l.Instances, reconcile.Instance{
			ID: ipam.InstanceID(i.Instance.ID), State: string(i.Instance.State), Type: i.Instance.Type,
			Zone: i.Instance.Zone, VPC: i.Instance.VPC, Subnet: ipam.SubnetID(i.Instance.Subnet),
		})
		l.Limits[i.Type.Name] = ipam.Limits{ENIs: i.Type.InterfacesPerCard[0], IPv4: i.Type.IPv4PerInterface}
	}
	if ask.Network {
		l.VPCs = map[string][]netip.Prefix{}
		for id := range vpcs {
			l.VPCs[id] = c.world.Networks(id)
		}
		out, err = c.world.Call(now, c.caller, vpc.DescribeSubnets{})
		if err != nil {
			return reconcile.Listed{ID: ask.ID, Err: err.Message, Code: err.Code}
		}
		for _, s := range out.Output.(vpc.DescribeSubnetsOutput).Subnets {
			l.Subnets = append(l.Subnets, reconcile.Subnet{
				ID: ipam.SubnetID(s.ID), VPC: s.VPC, Zone: s.Zone, CIDR: s.CIDR, CIDR6: s.IPv6, Free: s.Free, Tags: s.Tags,
			})
		}
	}
	return l
}

// do makes one call; its answer is there at the time it returns.
func (c cloud) do(now time.Time, call reconcile.Call) (reconcile.Answer, time.Time) {
	a := reconcile.Answer{ID: call.ID, Class: reconcile.Done}
	out, err := c.world.Call(now, c.caller, request(call))
	a.Took = out.Answered.Sub(now)
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
		a.Addresses = o.Addresses
	}
	return a, out.Answered
}

func request(call reconcile.Call) vpc.Request {
	yes := true
	switch call.Action {
	case reconcile.Create:
		var tags []vpc.Tag
		for _, k := range []string{reconcile.TagCluster, reconcile.TagNode, reconcile.TagSlot} {
			tags = append(tags, vpc.Tag{Key: k, Value: call.Tags[k]})
		}
		return vpc.CreateNetworkInterface{
			SubnetID: string(call.Subnet), Groups: call.Groups, SecondaryCount: call.Count, ClientToken: call.Token,
			TagSpecification: []vpc.TagSpecification{{ResourceType: "network-interface", Tags: tags}},
		}
	case reconcile.Attach:
		return vpc.AttachNetworkInterface{ID: string(call.ENI), InstanceID: string(call.Instance), Device: call.Device}
	case reconcile.Assign:
		return vpc.AssignPrivateIpAddresses{ID: string(call.ENI), Count: call.Count}
	case reconcile.Unassign:
		return vpc.UnassignPrivateIpAddresses{ID: string(call.ENI), Addresses: call.Addresses}
	case reconcile.Detach:
		return vpc.DetachNetworkInterface{AttachmentID: string(call.Attachment)}
	case reconcile.Delete:
		return vpc.DeleteNetworkInterface{ID: string(call.ENI)}
	case reconcile.Bind:
		return vpc.ModifyNetworkInterfaceAttribute{ID: string(call.ENI), Attachment: &vpc.AttachmentChanges{
			AttachmentID: string(call.Attachment), DeleteOnTermination: &yes}}
	}
	panic("no such action: " + string(call.Action))
}

func eniOf(n vpc.NetworkInterface) reconcile.ENI {
	e := reconcile.ENI{
		ID: ipam.ENIID(n.ID), Subnet: ipam.SubnetID(n.Subnet), MAC: strings.ToLower(n.MAC), Primary: n.Primary,
		Addresses: slices.Clone(n.Secondary), Prefixes: slices.Clone(n.Prefixes), Groups: slices.Clone(n.Groups), Tags: n.Tags,
	}
	if a := n.Attachment; a != nil {
		e.Instance, e.Attachment = ipam.InstanceID(a.Instance), ipam.AttachmentID(a.ID)
		e.Device, e.Card, e.Bound, e.Detaching = a.Device, a.Card, a.DeleteOnTermination, a.Status() == vpc.Detaching
	}
	return e
}

package wire

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/enichain/enichain/test/lab/vpc"
)

const head = `<?xml version="1.0" encoding="UTF-8"?>` + "\n"

func encodeError(requestID string, refusal *vpc.Error) []byte {
	d := &document{}
	d.WriteString(head)
	d.in("Response", func() {
		d.in("Errors", func() {
			d.in("Error", func() {
				d.text("Code", refusal.Code)
				d.text("Message", refusal.Message)
			})
		})
		d.text("RequestID", requestID)
	})
	return d.Bytes()
}

// encode writes a success. Names are those of the published model; they follow no rule, see docs/lab.md.
func (h *handler) encode(action string, response vpc.Response) []byte {
	d := &document{}
	d.WriteString(head)
	fmt.Fprintf(d, `<%sResponse xmlns="http://ec2.amazonaws.com/doc/%s/">`, action, apiVersion)
	d.text("requestId", response.RequestID)
	p := &printer{document: d, account: h.world.Config().Account, region: h.world.Config().Region}
	p.output(response.Output)
	fmt.Fprintf(d, "</%sResponse>", action)
	return d.Bytes()
}

// printer writes outputs.
type printer struct {
	*document
	account, region string
}

func (p *printer) output(output vpc.Output) {
	switch o := output.(type) {
	case vpc.Done:
		p.truth("return", true)
	case vpc.CreateNetworkInterfaceOutput:
		p.in("networkInterface", func() { p.networkInterface(o.NetworkInterface, o.Groups) })
		p.some("clientToken", o.ClientToken)
	case vpc.AttachNetworkInterfaceOutput:
		p.text("attachmentId", o.AttachmentID)
		p.number("networkCardIndex", o.Card)
	case vpc.AssignPrivateIpAddressesOutput:
		p.text("networkInterfaceId", o.ID)
		list(p.document, "assignedPrivateIpAddressesSet", o.Addresses, func(a netip.Addr) {
			p.text("privateIpAddress", a.String())
		})
		list(p.document, "assignedIpv4PrefixSet", o.Prefixes, func(x netip.Prefix) { p.text("ipv4Prefix", x.String()) })
	case vpc.AssignIpv6AddressesOutput:
		p.text("networkInterfaceId", o.ID)
		texts(p.document, "assignedIpv6Addresses", o.Addresses)
		texts(p.document, "assignedIpv6PrefixSet", o.Prefixes)
	case vpc.UnassignIpv6AddressesOutput:
		p.text("networkInterfaceId", o.ID)
		texts(p.document, "unassignedIpv6Addresses", o.Addresses)
		texts(p.document, "unassignedIpv6PrefixSet", o.Prefixes)
	case vpc.DescribeNetworkInterfaceAttributeOutput:
		p.attribute(o)
	case vpc.TerminateInstancesOutput:
		p.changes(o.Changes)
	case vpc.StopInstancesOutput:
		p.changes(o.Changes)
	case vpc.StartInstancesOutput:
		p.changes(o.Changes)
	case vpc.CreateSecurityGroupOutput:
		p.text("groupId", o.ID)
		p.tags(o.Tags)
	default:
		p.listing(output)
	}
}

func (p *printer) changes(changes []vpc.StateChange) {
	list(p.document, "instancesSet", changes, func(c vpc.StateChange) {
		p.text("instanceId", c.ID)
		p.in("currentState", func() { p.state(c.Current) })
		p.in("previousState", func() { p.state(c.Previous) })
	})
}

// listing writes the answers of describes.
func (p *printer) listing(output vpc.Output) {
	next := ""
	switch o := output.(type) {
	case vpc.DescribeNetworkInterfacesOutput:
		list(p.document, "networkInterfaceSet", o.NetworkInterfaces, func(n vpc.NetworkInterface) {
			p.networkInterface(n, o.Groups)
		})
		next = o.NextToken
	case vpc.DescribeInstancesOutput:
		list(p.document, "reservationSet", o.Instances, p.reservation)
		next = o.NextToken
	case vpc.DescribeInstanceTypesOutput:
		list(p.document, "instanceTypeSet", o.Types, p.instanceType)
		next = o.NextToken
	case vpc.DescribeSubnetsOutput:
		list(p.document, "subnetSet", o.Subnets, p.subnet)
		next = o.NextToken
	case vpc.DescribeVpcsOutput:
		list(p.document, "vpcSet", o.VPCs, p.vpc)
		next = o.NextToken
	case vpc.DescribeSecurityGroupsOutput:
		list(p.document, "securityGroupInfo", o.Groups, p.securityGroup)
		next = o.NextToken
	case vpc.DescribeAvailabilityZonesOutput:
		list(p.document, "availabilityZoneInfo", o.Zones, p.zone)
	case vpc.DescribeTagsOutput:
		list(p.document, "tagSet", o.Tags, func(t vpc.ResourceTag) {
			p.text("resourceId", t.Resource)
			p.text("resourceType", t.ResourceType)
			p.text("key", t.Key)
			p.text("value", t.Value)
		})
		next = o.NextToken
	case vpc.DescribeRouteTablesOutput:
		list(p.document, "routeTableSet", o.Tables, p.routeTable)
		next = o.NextToken
	default:
		panic(fmt.Sprintf("no XML for a %T", output))
	}
	p.some("nextToken", next)
}

func (p *printer) tags(tags map[string]string) {
	list(p.document, "tagSet", slices.Sorted(maps.Keys(tags)), func(key string) {
		p.text("key", key)
		p.text("value", tags[key])
	})
}

func (p *printer) groups(ids []string, names map[string]string) {
	list(p.document, "groupSet", ids, func(id string) {
		p.text("groupId", id)
		p.some("groupName", names[id])
	})
}

func (p *printer) state(s vpc.InstanceState) {
	p.number("code", s.Code())
	p.text("name", string(s))
}

// hostname is the DNS name that EC2 derives from an address.
func (p *printer) hostname(a netip.Addr) string {
	return "ip-" + strings.ReplaceAll(a.String(), ".", "-") + "." + p.region + ".compute.internal"
}

func (p *printer) networkInterface(n vpc.NetworkInterface, groups map[string]string) {
	p.text("networkInterfaceId", n.ID)
	p.text("subnetId", n.Subnet)
	p.text("vpcId", n.VPC)
	p.text("availabilityZone", n.Zone)
	p.text("description", n.Description)
	p.text("ownerId", p.account)
	p.truth("requesterManaged", false)
	p.text("status", n.Status())
	p.text("macAddress", n.MAC)
	p.text("privateIpAddress", n.Primary.String())
	p.text("privateDnsName", p.hostname(n.Primary))
	p.truth("sourceDestCheck", n.SourceDestCheck)
	p.groups(n.Groups, groups)
	p.text("interfaceType", n.Type)
	if n.Attachment != nil {
		p.in("attachment", func() { p.attachment(n.Attachment, true) })
	}
	p.tags(n.Tags)
	p.addresses(n, true)
}

// addresses writes what DescribeNetworkInterfaces and DescribeInstances both have.
func (p *printer) addresses(n vpc.NetworkInterface, full bool) {
	list(p.document, "privateIpAddressesSet", n.Addresses(), func(a netip.Addr) {
		p.text("privateIpAddress", a.String())
		p.text("privateDnsName", p.hostname(a))
		p.truth("primary", a == n.Primary)
	})
	list(p.document, "ipv4PrefixSet", n.Prefixes, func(x netip.Prefix) { p.text("ipv4Prefix", x.String()) })
	list(p.document, "ipv6AddressesSet", n.IPv6, func(a netip.Addr) {
		p.text("ipv6Address", a.String())
		p.truth("isPrimaryIpv6", false)
	})
	list(p.document, "ipv6PrefixSet", n.IPv6Prefixes, func(x netip.Prefix) { p.text("ipv6Prefix", x.String()) })
	if full && len(n.IPv6) > 0 {
		p.text("ipv6Address", n.IPv6[0].String())
	}
}

func (p *printer) attachment(a *vpc.Attachment, full bool) {
	p.text("attachmentId", a.ID)
	p.number("deviceIndex", a.Device)
	p.number("networkCardIndex", a.Card)
	p.text("status", a.Status())
	p.time("attachTime", a.Since)
	p.truth("deleteOnTermination", a.DeleteOnTermination)
	if full {
		p.text("instanceId", a.Instance)
		p.text("instanceOwnerId", p.account)
	}
}

func (p *printer) attribute(o vpc.DescribeNetworkInterfaceAttributeOutput) {
	n := o.NetworkInterface
	p.text("networkInterfaceId", n.ID)
	switch o.Attribute {
	case "description":
		p.in("description", func() { p.text("value", n.Description) })
	case "sourceDestCheck":
		p.in("sourceDestCheck", func() { p.truth("value", n.SourceDestCheck) })
	case "groupSet":
		names := map[string]string{}
		for _, g := range o.Groups {
			names[g.ID] = g.Name
		}
		p.groups(n.Groups, names)
	case "attachment":
		if n.Attachment != nil {
			p.in("attachment", func() { p.attachment(n.Attachment, true) })
		}
	}
}

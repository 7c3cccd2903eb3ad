package ec2

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"unique"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/reconcile"
)

// eniOf keeps of EC2's description what the reconciler needs.
func eniOf(n types.NetworkInterface) (reconcile.ENI, error) {
	e := reconcile.ENI{
		ID: ipam.ENIID(aws.ToString(n.NetworkInterfaceId)), Subnet: ipam.SubnetID(shared(n.SubnetId)),
		MAC: strings.ToLower(aws.ToString(n.MacAddress)), Kind: shared((*string)(&n.InterfaceType)), About: shared(n.Description),
	}
	var fault error
	parse := func(text *string) netip.Addr {
		a, err := netip.ParseAddr(aws.ToString(text))
		if err != nil && fault == nil {
			fault = fmt.Errorf("cannot read network interface %s: address %q: %w", e.ID, aws.ToString(text), err)
		}
		return a
	}
	if more := len(n.PrivateIpAddresses) - 1; more > 0 {
		e.Addresses = make([]netip.Addr, 0, more)
	}
	for _, a := range n.PrivateIpAddresses {
		if aws.ToBool(a.Primary) {
			e.Primary = parse(a.PrivateIpAddress)
		} else {
			e.Addresses = append(e.Addresses, parse(a.PrivateIpAddress))
		}
	}
	delegated := func(text *string) {
		p, err := netip.ParsePrefix(aws.ToString(text))
		if err != nil && fault == nil {
			fault = fmt.Errorf("cannot read network interface %s: prefix %q: %w", e.ID, aws.ToString(text), err)
		}
		e.Prefixes = append(e.Prefixes, p)
	}
	for _, p := range n.Ipv4Prefixes {
		delegated(p.Ipv4Prefix)
	}
	for _, p := range n.Ipv6Prefixes {
		delegated(p.Ipv6Prefix)
	}
	for _, a := range n.Ipv6Addresses {
		if aws.ToBool(a.IsPrimaryIpv6) || !e.Primary6.IsValid() {
			e.Primary6 = parse(a.Ipv6Address)
		}
	}
	if a := n.Attachment; a != nil && a.Status != types.AttachmentStatusDetached {
		e.Instance, e.Attachment = ipam.InstanceID(aws.ToString(a.InstanceId)), ipam.AttachmentID(aws.ToString(a.AttachmentId))
		e.Device, e.Card = int(aws.ToInt32(a.DeviceIndex)), int(aws.ToInt32(a.NetworkCardIndex))
		e.Bound, e.Detaching = aws.ToBool(a.DeleteOnTermination), a.Status == types.AttachmentStatusDetaching
	}
	for _, g := range n.Groups {
		e.Groups = append(e.Groups, shared(g.GroupId))
	}
	e.Tags = ourTags(n.TagSet)
	return e, fault
}

// shared keeps one copy of a text that many rows have: a fleet has 15,000 interfaces, and a few subnets and groups.
func shared(text *string) string { return unique.Make(aws.ToString(text)).Value() }

// ourTags are those that mean something to us; interfaces have up to 50, and nobody asks for the rest.
func ourTags(tags []types.Tag) map[string]string {
	return tagMap(slices.DeleteFunc(slices.Clone(tags), func(t types.Tag) bool {
		return !strings.HasPrefix(aws.ToString(t.Key), ourPrefix) && aws.ToString(t.Key) != reconcile.TagNoManage
	}))
}

const ourPrefix = "enichain.io/"

func instanceOf(i types.Instance) reconcile.Instance {
	r := reconcile.Instance{
		ID: ipam.InstanceID(aws.ToString(i.InstanceId)), Type: shared((*string)(&i.InstanceType)),
		VPC: shared(i.VpcId), Subnet: ipam.SubnetID(shared(i.SubnetId)), Tags: tagMap(i.Tags),
	}
	if i.State != nil {
		r.State = string(i.State.Name)
	}
	if i.Placement != nil {
		r.Zone = shared(i.Placement.AvailabilityZone)
	}
	return r
}

func subnetOf(s types.Subnet) (reconcile.Subnet, error) {
	r := reconcile.Subnet{
		ID: ipam.SubnetID(aws.ToString(s.SubnetId)), VPC: aws.ToString(s.VpcId), Zone: aws.ToString(s.AvailabilityZone),
		Free: int(aws.ToInt32(s.AvailableIpAddressCount)), Tags: tagMap(s.Tags),
	}
	var err error
	if s.CidrBlock != nil { // a subnet of IPv6 alone has none
		if r.CIDR, err = netip.ParsePrefix(*s.CidrBlock); err != nil {
			return r, fmt.Errorf("cannot read subnet %s: %w", r.ID, err)
		}
	}
	for _, a := range s.Ipv6CidrBlockAssociationSet {
		if a.Ipv6CidrBlockState != nil && a.Ipv6CidrBlockState.State == types.SubnetCidrBlockStateCodeAssociated {
			if r.CIDR6, err = netip.ParsePrefix(aws.ToString(a.Ipv6CidrBlock)); err != nil {
				return r, fmt.Errorf("cannot read subnet %s: %w", r.ID, err)
			}
		}
	}
	return r, nil
}

// networksOf are a VPC's networks in the order of their addresses.
func networksOf(v types.Vpc) ([]netip.Prefix, error) {
	var all []netip.Prefix
	add := func(text string) error {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return fmt.Errorf("cannot read VPC %s: %w", aws.ToString(v.VpcId), err)
		}
		if !slices.Contains(all, p) {
			all = append(all, p)
		}
		return nil
	}
	if v.CidrBlock != nil {
		if err := add(*v.CidrBlock); err != nil {
			return nil, err
		}
	}
	for _, a := range v.CidrBlockAssociationSet {
		if a.CidrBlockState != nil && a.CidrBlockState.State == types.VpcCidrBlockStateCodeAssociated {
			if err := add(aws.ToString(a.CidrBlock)); err != nil {
				return nil, err
			}
		}
	}
	for _, a := range v.Ipv6CidrBlockAssociationSet {
		if a.Ipv6CidrBlockState != nil && a.Ipv6CidrBlockState.State == types.VpcCidrBlockStateCodeAssociated {
			if err := add(aws.ToString(a.Ipv6CidrBlock)); err != nil {
				return nil, err
			}
		}
	}
	slices.SortFunc(all, func(a, b netip.Prefix) int { return cmp.Or(a.Addr().Compare(b.Addr()), a.Bits()-b.Bits()) })
	return all, nil
}

// limitsOf are a type's limits: ENIs on its default network card, and each card's where there are several.
func limitsOf(t types.InstanceTypeInfo) ipam.Limits {
	l := ipam.Limits{Prefixes: t.Hypervisor == types.InstanceTypeHypervisorNitro || aws.ToBool(t.BareMetal)}
	n := t.NetworkInfo
	if n == nil {
		return l
	}
	l.IPv4, l.IPv6 = int(aws.ToInt32(n.Ipv4AddressesPerInterface)), int(aws.ToInt32(n.Ipv6AddressesPerInterface))
	l.ENIs = int(aws.ToInt32(n.MaximumNetworkInterfaces))
	for _, card := range n.NetworkCards {
		index, most := int(aws.ToInt32(card.NetworkCardIndex)), int(aws.ToInt32(card.MaximumNetworkInterfaces))
		if index == int(aws.ToInt32(n.DefaultNetworkCardIndex)) {
			l.ENIs = most
		}
		if len(n.NetworkCards) < 2 || index < 0 || index >= mostCards {
			continue
		}
		for len(l.Cards) <= index {
			l.Cards = append(l.Cards, 0)
		}
		l.Cards[index] = most
	}
	return l
}

// mostCards bounds what EC2 may say: the widest type has 32.
const mostCards = 256

func groupOf(g types.SecurityGroup) reconcile.Group {
	return reconcile.Group{ID: aws.ToString(g.GroupId), VPC: aws.ToString(g.VpcId), Name: aws.ToString(g.GroupName), Tags: tagMap(g.Tags)}
}

func tagMap(tags []types.Tag) map[string]string {
	if len(tags) == 0 {
		return nil
	}
	m := make(map[string]string, len(tags))
	for _, t := range tags {
		m[shared(t.Key)] = shared(t.Value)
	}
	return m
}

// tagsOf lists tags by key, so that the same call is the same request: EC2 compares the parameters of a token.
func tagsOf(m map[string]string) []types.Tag {
	var tags []types.Tag
	for k, v := range m {
		tags = append(tags, types.Tag{Key: aws.String(k), Value: aws.String(v)})
	}
	slices.SortFunc(tags, func(a, b types.Tag) int { return cmp.Compare(*a.Key, *b.Key) })
	return tags
}

func names(rates map[reconcile.Action]Rate) []string {
	var all []string
	for a := range rates {
		all = append(all, string(a))
	}
	slices.Sort(all)
	return all
}

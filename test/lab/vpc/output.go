package vpc

import "net/netip"

// CreateNetworkInterfaceOutput is the new interface, or the one that the ClientToken made before.
type CreateNetworkInterfaceOutput struct {
	NetworkInterface NetworkInterface
	Groups           map[string]string // names of security groups by id
	ClientToken      string
}

// AttachNetworkInterfaceOutput is what EC2 says of a new attachment, which may still be attaching.
type AttachNetworkInterfaceOutput struct {
	AttachmentID string
	Card         int
}

// AssignPrivateIpAddressesOutput is what was assigned by this call.
type AssignPrivateIpAddressesOutput struct {
	ID        string
	Addresses []netip.Addr
	Prefixes  []netip.Prefix
}

// AssignIpv6AddressesOutput is what was assigned by this call.
type AssignIpv6AddressesOutput struct {
	ID        string
	Addresses []netip.Addr
	Prefixes  []netip.Prefix
}

// UnassignIpv6AddressesOutput is what was taken away by this call.
type UnassignIpv6AddressesOutput struct {
	ID        string
	Addresses []netip.Addr
	Prefixes  []netip.Prefix
}

// DescribeNetworkInterfaceAttributeOutput has the one attribute of the interface that was asked for.
type DescribeNetworkInterfaceAttributeOutput struct {
	Attribute        string // "description", "groupSet", "sourceDestCheck", "attachment"
	NetworkInterface NetworkInterface
	Groups           []SecurityGroup
}

// DescribeInstancesOutput is a page of instances by id.
type DescribeInstancesOutput struct {
	Instances []InstanceView
	NextToken string
}

// InstanceView is an instance with its network interfaces by card and device index.
type InstanceView struct {
	Instance          Instance
	Type              InstanceType
	NetworkInterfaces []NetworkInterface
	Groups            map[string]string // names of security groups by id
}

// DescribeInstanceTypesOutput is a page of types by name.
type DescribeInstanceTypesOutput struct {
	Types     []InstanceType
	NextToken string
}

// DescribeNetworkInterfacesOutput is a page of network interfaces by id.
type DescribeNetworkInterfacesOutput struct {
	NetworkInterfaces []NetworkInterface
	Groups            map[string]string // names of security groups by id
	NextToken         string
}

// DescribeSubnetsOutput is a page of subnets by id.
type DescribeSubnetsOutput struct {
	Subnets   []SubnetView
	NextToken string
}

// SubnetView is a subnet with the number of its free IPv4 addresses.
type SubnetView struct {
	Subnet
	Free int
}

// DescribeVpcsOutput is a page of VPCs by id.
type DescribeVpcsOutput struct {
	VPCs      []VPC
	NextToken string
}

// DescribeSecurityGroupsOutput is a page of security groups by id.
type DescribeSecurityGroupsOutput struct {
	Groups    []SecurityGroup
	NextToken string
}

// DescribeAvailabilityZonesOutput is the zones by name.
type DescribeAvailabilityZonesOutput struct{ Zones []Zone }

// Zone is an availability zone; Name "lab-1a" has the id "lab1-az1".
type Zone struct{ Name, ID string }

// DescribeTagsOutput is a page of tags by resource and key.
type DescribeTagsOutput struct {
	Tags      []ResourceTag
	NextToken string
}

// ResourceTag is one tag and what bears it.
type ResourceTag struct {
	Resource, ResourceType, Key, Value string
}

// DescribeRouteTablesOutput is a page of route tables by id.
type DescribeRouteTablesOutput struct {
	Tables    []RouteTable
	NextToken string
}

// RouteTable is the main route table of a VPC: its own blocks are local, the rest goes to the internet gateway.
type RouteTable struct {
	ID, VPC string
	Local   []netip.Prefix
	Gateway string // "igw-…"
	Tags    map[string]string
}

package vpc

import "slices"

// DescribeInstances answers DescribeInstancesOutput.
type DescribeInstances struct {
	Dry
	Page
	IDs     []string `query:"InstanceId"`
	Filters []Filter `query:"Filter"`
}

// DescribeInstanceTypes answers DescribeInstanceTypesOutput.
type DescribeInstanceTypes struct {
	Dry
	Page
	Types   []string `query:"InstanceType"`
	Filters []Filter `query:"Filter"`
}

// DescribeNetworkInterfaces answers DescribeNetworkInterfacesOutput.
type DescribeNetworkInterfaces struct {
	Dry
	Page
	IDs     []string `query:"NetworkInterfaceId"`
	Filters []Filter `query:"Filter"`
}

// DescribeSubnets answers DescribeSubnetsOutput.
type DescribeSubnets struct {
	Dry
	Page
	IDs     []string `query:"SubnetId"`
	Filters []Filter `query:"Filter"`
}

// DescribeVpcs answers DescribeVpcsOutput.
type DescribeVpcs struct {
	Dry
	Page
	IDs     []string `query:"VpcId"`
	Filters []Filter `query:"Filter"`
}

// DescribeSecurityGroups answers DescribeSecurityGroupsOutput.
type DescribeSecurityGroups struct {
	Dry
	Page
	IDs     []string `query:"GroupId"`
	Names   []string `query:"GroupName"`
	Filters []Filter `query:"Filter"`
}

// DescribeAvailabilityZones answers DescribeAvailabilityZonesOutput.
type DescribeAvailabilityZones struct {
	Dry
	Names   []string `query:"ZoneName"`
	IDs     []string `query:"ZoneId"`
	All     bool     `query:"AllAvailabilityZones"`
	Filters []Filter `query:"Filter"`
}

// DescribeTags answers DescribeTagsOutput.
type DescribeTags struct {
	Dry
	Page
	Filters []Filter `query:"Filter"`
}

// DescribeRouteTables answers DescribeRouteTablesOutput: one main table for each VPC.
type DescribeRouteTables struct {
	Dry
	Page
	IDs     []string `query:"RouteTableId"`
	Filters []Filter `query:"Filter"`
}

// Action is "CreateNetworkInterface".
func (CreateNetworkInterface) Action() string { return "CreateNetworkInterface" }

// Action is "DeleteNetworkInterface".
func (DeleteNetworkInterface) Action() string { return "DeleteNetworkInterface" }

// Action is "AttachNetworkInterface".
func (AttachNetworkInterface) Action() string { return "AttachNetworkInterface" }

// Action is "DetachNetworkInterface".
func (DetachNetworkInterface) Action() string { return "DetachNetworkInterface" }

// Action is "AssignPrivateIpAddresses".
func (AssignPrivateIpAddresses) Action() string { return "AssignPrivateIpAddresses" }

// Action is "UnassignPrivateIpAddresses".
func (UnassignPrivateIpAddresses) Action() string { return "UnassignPrivateIpAddresses" }

// Action is "AssignIpv6Addresses".
func (AssignIpv6Addresses) Action() string { return "AssignIpv6Addresses" }

// Action is "UnassignIpv6Addresses".
func (UnassignIpv6Addresses) Action() string { return "UnassignIpv6Addresses" }

// Action is "ModifyNetworkInterfaceAttribute".
func (ModifyNetworkInterfaceAttribute) Action() string { return "ModifyNetworkInterfaceAttribute" }

// Action is "DescribeNetworkInterfaceAttribute".
func (DescribeNetworkInterfaceAttribute) Action() string { return "DescribeNetworkInterfaceAttribute" }

// Action is "CreateTags".
func (CreateTags) Action() string { return "CreateTags" }

// Action is "DeleteTags".
func (DeleteTags) Action() string { return "DeleteTags" }

// Action is "DescribeInstances".
func (DescribeInstances) Action() string { return "DescribeInstances" }

// Action is "DescribeInstanceTypes".
func (DescribeInstanceTypes) Action() string { return "DescribeInstanceTypes" }

// Action is "DescribeNetworkInterfaces".
func (DescribeNetworkInterfaces) Action() string { return "DescribeNetworkInterfaces" }

// Action is "DescribeSubnets".
func (DescribeSubnets) Action() string { return "DescribeSubnets" }

// Action is "DescribeVpcs".
func (DescribeVpcs) Action() string { return "DescribeVpcs" }

// Action is "DescribeSecurityGroups".
func (DescribeSecurityGroups) Action() string { return "DescribeSecurityGroups" }

// Action is "DescribeAvailabilityZones".
func (DescribeAvailabilityZones) Action() string { return "DescribeAvailabilityZones" }

// Action is "DescribeTags".
func (DescribeTags) Action() string { return "DescribeTags" }

// Action is "DescribeRouteTables".
func (DescribeRouteTables) Action() string { return "DescribeRouteTables" }

// unbounded is true of a list asked for with neither filter nor pagination: those have a smaller bucket of their own.
// Whether a list of ids counts as a filter is not documented: Config.IDsUnbounded.
func (r DescribeInstances) unbounded(c Config) bool { return unbounded(c, r.Page, r.Filters, r.IDs) }
func (r DescribeNetworkInterfaces) unbounded(c Config) bool {
	return unbounded(c, r.Page, r.Filters, r.IDs)
}
func (r DescribeSecurityGroups) unbounded(c Config) bool {
	return unbounded(c, r.Page, r.Filters, slices.Concat(r.IDs, r.Names))
}

func unbounded(c Config, p Page, f []Filter, ids []string) bool {
	return p.MaxResults == 0 && p.NextToken == "" && len(f) == 0 && (len(ids) == 0 || c.IDsUnbounded)
}

package vpc

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

// Action is EC2's name of the action.
func (CreateNetworkInterface) Action() string            { return "CreateNetworkInterface" }
func (DeleteNetworkInterface) Action() string            { return "DeleteNetworkInterface" }
func (AttachNetworkInterface) Action() string            { return "AttachNetworkInterface" }
func (DetachNetworkInterface) Action() string            { return "DetachNetworkInterface" }
func (AssignPrivateIpAddresses) Action() string          { return "AssignPrivateIpAddresses" }
func (UnassignPrivateIpAddresses) Action() string        { return "UnassignPrivateIpAddresses" }
func (AssignIpv6Addresses) Action() string               { return "AssignIpv6Addresses" }
func (UnassignIpv6Addresses) Action() string             { return "UnassignIpv6Addresses" }
func (ModifyNetworkInterfaceAttribute) Action() string   { return "ModifyNetworkInterfaceAttribute" }
func (DescribeNetworkInterfaceAttribute) Action() string { return "DescribeNetworkInterfaceAttribute" }
func (CreateTags) Action() string                        { return "CreateTags" }
func (DeleteTags) Action() string                        { return "DeleteTags" }
func (TerminateInstances) Action() string                { return "TerminateInstances" }
func (DescribeInstances) Action() string                 { return "DescribeInstances" }
func (DescribeInstanceTypes) Action() string             { return "DescribeInstanceTypes" }
func (DescribeNetworkInterfaces) Action() string         { return "DescribeNetworkInterfaces" }
func (DescribeSubnets) Action() string                   { return "DescribeSubnets" }
func (DescribeVpcs) Action() string                      { return "DescribeVpcs" }
func (DescribeSecurityGroups) Action() string            { return "DescribeSecurityGroups" }
func (DescribeAvailabilityZones) Action() string         { return "DescribeAvailabilityZones" }
func (DescribeTags) Action() string                      { return "DescribeTags" }
func (DescribeRouteTables) Action() string               { return "DescribeRouteTables" }

// unbounded is true of a list asked for with neither filter nor pagination: those have a smaller bucket of their own.
// Whether a list of ids counts as a filter is not documented; here it does.
func (r DescribeInstances) unbounded() bool { return unbounded(r.Page, r.Filters, r.IDs) }
func (r DescribeNetworkInterfaces) unbounded() bool {
	return unbounded(r.Page, r.Filters, r.IDs)
}
func (r DescribeSecurityGroups) unbounded() bool {
	return unbounded(r.Page, r.Filters, r.IDs) && len(r.Names) == 0
}

func unbounded(p Page, f []Filter, ids []string) bool {
	return p.MaxResults == 0 && p.NextToken == "" && len(f) == 0 && len(ids) == 0
}

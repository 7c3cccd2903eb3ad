package wire_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"github.com/enichain/enichain/test/lab/vpc"
)

func (l *lab) sdk() *ec2.Client {
	return ec2.New(ec2.Options{
		Region: "lab-1", BaseEndpoint: aws.String(l.url), Retryer: aws.NopRetryer{},
		Credentials: credentials.NewStaticCredentialsProvider("AKIASDK", "secret", ""),
	})
}

// good is the answer of a call that must be granted.
func good[T any](answer T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
}

func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	var api smithy.APIError
	if !errors.As(err, &api) || api.ErrorCode() != code {
		t.Errorf("refused with %v, want %s", err, code)
	}
}

// The life of an interface as the SDK for Go sees it: every action, every answer judged by the model.
func TestSDK(t *testing.T) {
	l, ctx := newLab(t, vpc.Config{}), t.Context()
	c := l.sdk()
	tag := types.TagSpecification{ResourceType: types.ResourceTypeNetworkInterface,
		Tags: []types.Tag{{Key: aws.String("node"), Value: aws.String(l.node.ID)}}}

	made := good(c.CreateNetworkInterface(ctx, &ec2.CreateNetworkInterfaceInput{SubnetId: &l.subnet.ID,
		SecondaryPrivateIpAddressCount: aws.Int32(3), Description: aws.String("<pods> & more"), TagSpecifications: []types.TagSpecification{tag},
		ClientToken: aws.String("t1"), Ipv6AddressCount: aws.Int32(1)}))(t)
	eni := made.NetworkInterface
	if *made.ClientToken != "t1" || *eni.Description != "<pods> & more" || len(eni.PrivateIpAddresses) != 4 || len(eni.Ipv6Addresses) != 1 ||
		eni.Status != types.NetworkInterfaceStatusAvailable || *eni.TagSet[0].Value != l.node.ID || *eni.Groups[0].GroupName != "default" {
		t.Errorf("made %+v", eni)
	}
	attached := good(c.AttachNetworkInterface(ctx, &ec2.AttachNetworkInterfaceInput{
		NetworkInterfaceId: eni.NetworkInterfaceId, InstanceId: &l.node.ID, DeviceIndex: aws.Int32(1)}))(t)
	good(c.ModifyNetworkInterfaceAttribute(ctx, &ec2.ModifyNetworkInterfaceAttributeInput{NetworkInterfaceId: eni.NetworkInterfaceId,
		Attachment: &types.NetworkInterfaceAttachmentChanges{AttachmentId: attached.AttachmentId, DeleteOnTermination: aws.Bool(true)}}))(t)
	listed := good(c.DescribeNetworkInterfaces(ctx, &ec2.DescribeNetworkInterfacesInput{MaxResults: aws.Int32(5), Filters: []types.Filter{
		{Name: aws.String("tag:node"), Values: []string{"i-*"}}, {Name: aws.String("attachment.status"), Values: []string{"attached"}}}}))(t)
	if len(listed.NetworkInterfaces) != 1 || *listed.NetworkInterfaces[0].Attachment.DeviceIndex != 1 ||
		!*listed.NetworkInterfaces[0].Attachment.DeleteOnTermination || listed.NetworkInterfaces[0].Status != types.NetworkInterfaceStatusInUse {
		t.Errorf("listed %+v", listed.NetworkInterfaces)
	}
	addresses(t, c, eni)
	attributes(t, c, *eni.NetworkInterfaceId)
	places(t, l, c)

	_, err := c.DeleteNetworkInterface(ctx, &ec2.DeleteNetworkInterfaceInput{NetworkInterfaceId: eni.NetworkInterfaceId})
	wantCode(t, err, "InvalidNetworkInterface.InUse")
	good(c.DetachNetworkInterface(ctx, &ec2.DetachNetworkInterfaceInput{AttachmentId: attached.AttachmentId}))(t)
	good(c.DeleteNetworkInterface(ctx, &ec2.DeleteNetworkInterfaceInput{NetworkInterfaceId: eni.NetworkInterfaceId}))(t)
	_, err = c.DescribeNetworkInterfaces(ctx, &ec2.DescribeNetworkInterfacesInput{NetworkInterfaceIds: []string{*eni.NetworkInterfaceId}})
	wantCode(t, err, "InvalidNetworkInterfaceID.NotFound")
	groups(t, l, c)
	machine(t, l, c)
	gone := good(c.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{l.node.ID}}))(t)
	if gone.TerminatingInstances[0].CurrentState.Name != types.InstanceStateNameShuttingDown {
		t.Errorf("terminating: %+v", gone.TerminatingInstances[0])
	}
	good(c.DescribeInstances(ctx, &ec2.DescribeInstancesInput{InstanceIds: []string{l.node.ID}}))(t)
	l.everyAction(t)
}

// addresses assigns and takes away what an interface can have.
func addresses(t *testing.T, c *ec2.Client, eni *types.NetworkInterface) {
	ctx := context.Background()
	some := good(c.AssignPrivateIpAddresses(ctx, &ec2.AssignPrivateIpAddressesInput{NetworkInterfaceId: eni.NetworkInterfaceId, SecondaryPrivateIpAddressCount: aws.Int32(2)}))(t)
	block := good(c.AssignPrivateIpAddresses(ctx, &ec2.AssignPrivateIpAddressesInput{NetworkInterfaceId: eni.NetworkInterfaceId, Ipv4PrefixCount: aws.Int32(1)}))(t)
	if len(some.AssignedPrivateIpAddresses) != 2 || len(block.AssignedIpv4Prefixes) != 1 {
		t.Errorf("assigned %+v, %+v", some, block)
	}
	good(c.UnassignPrivateIpAddresses(ctx, &ec2.UnassignPrivateIpAddressesInput{NetworkInterfaceId: eni.NetworkInterfaceId,
		PrivateIpAddresses: []string{*some.AssignedPrivateIpAddresses[0].PrivateIpAddress}}))(t)
	good(c.UnassignPrivateIpAddresses(ctx, &ec2.UnassignPrivateIpAddressesInput{NetworkInterfaceId: eni.NetworkInterfaceId,
		Ipv4Prefixes: []string{*block.AssignedIpv4Prefixes[0].Ipv4Prefix}}))(t)
	six := good(c.AssignIpv6Addresses(ctx, &ec2.AssignIpv6AddressesInput{NetworkInterfaceId: eni.NetworkInterfaceId, Ipv6AddressCount: aws.Int32(1)}))(t)
	block6 := good(c.AssignIpv6Addresses(ctx, &ec2.AssignIpv6AddressesInput{NetworkInterfaceId: eni.NetworkInterfaceId, Ipv6PrefixCount: aws.Int32(1)}))(t)
	left := good(c.UnassignIpv6Addresses(ctx, &ec2.UnassignIpv6AddressesInput{NetworkInterfaceId: eni.NetworkInterfaceId,
		Ipv6Addresses: six.AssignedIpv6Addresses, Ipv6Prefixes: block6.AssignedIpv6Prefixes}))(t)
	if !slices.Equal(left.UnassignedIpv6Addresses, six.AssignedIpv6Addresses) || len(left.UnassignedIpv6Prefixes) != 1 {
		t.Errorf("unassigned %+v", left)
	}
}

// attributes changes and reads what an interface has besides addresses.
func attributes(t *testing.T, c *ec2.Client, id string) {
	ctx := context.Background()
	good(c.ModifyNetworkInterfaceAttribute(ctx, &ec2.ModifyNetworkInterfaceAttributeInput{NetworkInterfaceId: &id,
		SourceDestCheck: &types.AttributeBooleanValue{Value: aws.Bool(false)}}))(t)
	good(c.ModifyNetworkInterfaceAttribute(ctx, &ec2.ModifyNetworkInterfaceAttributeInput{NetworkInterfaceId: &id,
		Description: &types.AttributeValue{Value: aws.String("")}}))(t)
	for _, a := range types.NetworkInterfaceAttribute("").Values()[:4] {
		out := good(c.DescribeNetworkInterfaceAttribute(ctx, &ec2.DescribeNetworkInterfaceAttributeInput{NetworkInterfaceId: &id, Attribute: a}))(t)
		if a == types.NetworkInterfaceAttributeSourceDestCheck && *out.SourceDestCheck.Value {
			t.Error("the source/destination check is still on")
		}
	}
	good(c.CreateTags(ctx, &ec2.CreateTagsInput{Resources: []string{id}, Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("b")}, {Key: aws.String("c")}}}))(t)
	good(c.DeleteTags(ctx, &ec2.DeleteTagsInput{Resources: []string{id}, Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("other")}, {Key: aws.String("c")}}}))(t)
	tags := good(c.DescribeTags(ctx, &ec2.DescribeTagsInput{Filters: []types.Filter{{Name: aws.String("resource-id"), Values: []string{id}}}}))(t)
	got := map[string]string{}
	for _, tag := range tags.Tags {
		got[*tag.Key] = *tag.Value
	}
	delete(got, "node")
	if diff := cmp.Diff(map[string]string{"a": "b"}, got); diff != "" {
		t.Errorf("tags (-want +got):\n%s", diff)
	}
}

// groups makes a security group, puts the node into it and takes both apart.
func groups(t *testing.T, l *lab, c *ec2.Client) {
	ctx := context.Background()
	made := good(c.CreateSecurityGroup(ctx, &ec2.CreateSecurityGroupInput{GroupName: aws.String("pods"), Description: aws.String("of pods"),
		VpcId: &l.subnet.VPC, TagSpecifications: []types.TagSpecification{{ResourceType: types.ResourceTypeSecurityGroup,
			Tags: []types.Tag{{Key: aws.String("team"), Value: aws.String("a")}}}}}))(t)
	good(c.ModifyInstanceAttribute(ctx, &ec2.ModifyInstanceAttributeInput{InstanceId: &l.node.ID, Groups: []string{*made.GroupId}}))(t)
	seen := good(c.DescribeNetworkInterfaces(ctx, &ec2.DescribeNetworkInterfacesInput{
		Filters: []types.Filter{{Name: aws.String("group-id"), Values: []string{*made.GroupId}}}}))(t)
	if len(seen.NetworkInterfaces) != 1 || *seen.NetworkInterfaces[0].Groups[0].GroupName != "pods" || *made.Tags[0].Value != "a" {
		t.Errorf("in the group: %+v", seen.NetworkInterfaces)
	}
	_, err := c.DeleteSecurityGroup(ctx, &ec2.DeleteSecurityGroupInput{GroupId: made.GroupId})
	wantCode(t, err, "DependencyViolation")
	others := good(c.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{Filters: []types.Filter{{Name: aws.String("group-name"), Values: []string{"default"}}}}))(t)
	good(c.ModifyInstanceAttribute(ctx, &ec2.ModifyInstanceAttributeInput{InstanceId: &l.node.ID, Groups: []string{*others.SecurityGroups[0].GroupId}}))(t)
	good(c.DeleteSecurityGroup(ctx, &ec2.DeleteSecurityGroupInput{GroupId: made.GroupId}))(t)
}

// machine reboots, stops, changes and starts the node.
func machine(t *testing.T, l *lab, c *ec2.Client) {
	ctx, ids := context.Background(), []string{l.node.ID}
	good(c.RebootInstances(ctx, &ec2.RebootInstancesInput{InstanceIds: ids}))(t)
	stopping := good(c.StopInstances(ctx, &ec2.StopInstancesInput{InstanceIds: ids}))(t).StoppingInstances[0]
	if stopping.CurrentState.Name != types.InstanceStateNameStopping || stopping.PreviousState.Name != types.InstanceStateNameRunning {
		t.Errorf("stopping: %+v", stopping)
	}
	good(c.ModifyInstanceAttribute(ctx, &ec2.ModifyInstanceAttributeInput{InstanceId: &l.node.ID,
		InstanceType: &types.AttributeValue{Value: aws.String("m5.metal")}}))(t)
	seen := good(c.DescribeInstances(ctx, &ec2.DescribeInstancesInput{InstanceIds: ids}))(t).Reservations[0].Instances[0]
	if seen.State.Name != types.InstanceStateNameStopped || *seen.State.Code != 80 || seen.InstanceType != types.InstanceTypeM5Metal || len(seen.NetworkInterfaces) != 1 {
		t.Errorf("stopped: %+v", seen)
	}
	kind := good(c.DescribeInstanceTypes(ctx, &ec2.DescribeInstanceTypesInput{InstanceTypes: []types.InstanceType{"m5.metal"}}))(t).InstanceTypes[0]
	if !*kind.BareMetal || kind.Hypervisor != "" {
		t.Errorf("m5.metal is %+v", kind)
	}
	starting := good(c.StartInstances(ctx, &ec2.StartInstancesInput{InstanceIds: ids}))(t).StartingInstances[0]
	if starting.CurrentState.Name != types.InstanceStateNamePending || *starting.CurrentState.Code != 0 {
		t.Errorf("starting: %+v", starting)
	}
}

// places reads what an interface stands in.
func places(t *testing.T, l *lab, c *ec2.Client) {
	ctx := context.Background()
	instances := good(c.DescribeInstances(ctx, &ec2.DescribeInstancesInput{Filters: []types.Filter{
		{Name: aws.String("network-interface.attachment.device-index"), Values: []string{"1"}}}}))(t)
	if i := instances.Reservations[0].Instances[0]; *i.InstanceId != l.node.ID || len(i.NetworkInterfaces) != 2 || i.State.Name != types.InstanceStateNameRunning {
		t.Errorf("instance is %+v", i)
	}
	kinds := good(c.DescribeInstanceTypes(ctx, &ec2.DescribeInstanceTypesInput{InstanceTypes: []types.InstanceType{"p4d.24xlarge", "t2.medium"}}))(t)
	if n := kinds.InstanceTypes[0].NetworkInfo; *n.MaximumNetworkInterfaces != 60 || len(n.NetworkCards) != 4 || *n.NetworkCards[3].MaximumNetworkInterfaces != 15 {
		t.Errorf("p4d.24xlarge has %+v", n)
	}
	if hypervisor := kinds.InstanceTypes[1].Hypervisor; hypervisor != types.InstanceTypeHypervisorXen {
		t.Errorf("t2.medium runs on %s", hypervisor)
	}
	subnets := good(c.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{SubnetIds: []string{l.subnet.ID}}))(t)
	if s := subnets.Subnets[0]; *s.AvailableIpAddressCount != 251-3-4-1 || *s.AvailabilityZoneId != "lab1-az1" {
		t.Errorf("subnet is %+v", s)
	}
	vpcs := good(c.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{}))(t)
	if v := vpcs.Vpcs[0]; *v.CidrBlockAssociationSet[0].CidrBlock != "10.110.0.0/16" || v.CidrBlockAssociationSet[0].CidrBlockState.State != "associated" {
		t.Errorf("VPC is %+v", v)
	}
	good(c.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{GroupNames: []string{"default"}}))(t)
	good(c.DescribeAvailabilityZones(ctx, &ec2.DescribeAvailabilityZonesInput{}))(t)
	tables := good(c.DescribeRouteTables(ctx, &ec2.DescribeRouteTablesInput{}))(t)
	if len(tables.RouteTables[0].Routes) != 4 {
		t.Errorf("routes are %+v", tables.RouteTables[0].Routes)
	}
}

// everyAction wants an accepted and a refused answer of every action, all of them judged.
func (l *lab) everyAction(t *testing.T) {
	refusals := map[string]string{ // by action: a query that is refused
		"DescribeInstances": "MaxResults=1", "DescribeInstanceTypes": "MaxResults=1", "DescribeNetworkInterfaces": "MaxResults=1",
		"DescribeSubnets": "MaxResults=1", "DescribeVpcs": "MaxResults=1", "DescribeSecurityGroups": "MaxResults=1",
		"DescribeTags": "MaxResults=1", "DescribeRouteTables": "MaxResults=1", "DescribeAvailabilityZones": "ZoneName.1=x",
	}
	for _, action := range []string{"AssignIpv6Addresses", "AssignPrivateIpAddresses", "AttachNetworkInterface", "CreateNetworkInterface",
		"CreateSecurityGroup", "CreateTags", "DeleteNetworkInterface", "DeleteSecurityGroup", "DeleteTags", "DescribeAvailabilityZones", "DescribeInstances", "DescribeInstanceTypes",
		"DescribeNetworkInterfaceAttribute", "DescribeNetworkInterfaces", "DescribeRouteTables", "DescribeSecurityGroups",
		"DescribeSubnets", "DescribeTags", "DescribeVpcs", "DetachNetworkInterface", "ModifyInstanceAttribute", "ModifyNetworkInterfaceAttribute",
		"RebootInstances", "StartInstances", "StopInstances", "TerminateInstances", "UnassignIpv6Addresses", "UnassignPrivateIpAddresses"} {
		l.post("Action="+action+"&Version=2016-11-15&"+refusals[action], nil)
		l.judge.mu.Lock()
		if l.judge.seen[action+" ok"] == 0 || l.judge.seen[action+" refused"] == 0 {
			t.Errorf("%s was not seen both accepted and refused", action)
		}
		l.judge.mu.Unlock()
	}
}

// The same token makes the same interface; pages fit together; the SDK's own retries meet throttling.
func TestSDKPagesAndTokens(t *testing.T) {
	l, ctx := newLab(t, vpc.Config{}), t.Context()
	c := l.sdk()
	for range 12 {
		good(c.CreateNetworkInterface(ctx, &ec2.CreateNetworkInterfaceInput{SubnetId: &l.subnet.ID}))(t)
	}
	var ids []string
	pages := ec2.NewDescribeNetworkInterfacesPaginator(c, &ec2.DescribeNetworkInterfacesInput{MaxResults: aws.Int32(5)})
	count := 0
	for pages.HasMorePages() {
		for _, n := range good(pages.NextPage(ctx))(t).NetworkInterfaces {
			ids = append(ids, *n.NetworkInterfaceId)
		}
		count++
	}
	if count != 3 || len(slices.Compact(slices.Sorted(slices.Values(ids)))) != 13 {
		t.Errorf("%d pages with %v", count, ids)
	}
	first := good(c.CreateNetworkInterface(ctx, &ec2.CreateNetworkInterfaceInput{SubnetId: &l.subnet.ID, ClientToken: aws.String("x")}))(t)
	second := good(c.CreateNetworkInterface(ctx, &ec2.CreateNetworkInterfaceInput{SubnetId: &l.subnet.ID, ClientToken: aws.String("x")}))(t)
	if *first.NetworkInterface.NetworkInterfaceId != *second.NetworkInterface.NetworkInterfaceId {
		t.Error("the same token made two interfaces")
	}
	_, err := c.CreateNetworkInterface(ctx, &ec2.CreateNetworkInterfaceInput{SubnetId: &l.subnet.ID, ClientToken: aws.String("x"), Description: aws.String("other")})
	wantCode(t, err, "IdempotentParameterMismatch")
	for kind, argument := range map[string]string{"throttle": "Attach*=0", "deny": "Delete*", "ec2-error": "Detach*=InternalError"} {
		f, err := vpc.ParseFault(kind, argument)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.SetFault(l.now(), f); err != nil {
			t.Fatal(err)
		}
	}
	_, err = c.AttachNetworkInterface(ctx, &ec2.AttachNetworkInterfaceInput{NetworkInterfaceId: &ids[0], InstanceId: &l.node.ID, DeviceIndex: aws.Int32(1)})
	wantCode(t, err, "RequestLimitExceeded")
	_, err = c.DeleteNetworkInterface(ctx, &ec2.DeleteNetworkInterfaceInput{NetworkInterfaceId: &ids[0]})
	wantCode(t, err, "UnauthorizedOperation")
	_, err = c.DetachNetworkInterface(ctx, &ec2.DetachNetworkInterfaceInput{AttachmentId: aws.String("eni-attach-1")})
	wantCode(t, err, "InternalError")
}

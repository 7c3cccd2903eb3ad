package ec2

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/reconcile"
)

// impossible says what of a call EC2 takes in no combination (API reference of each action), or "". Such a call is not
// sent: EC2's own answer would look like one about the subnet.
func impossible(call reconcile.Call) string {
	both := func(a, b int, name string) string {
		if a > 0 && b > 0 {
			return fmt.Sprintf("%s takes a count of addresses or one of prefixes of %s, not both: %d and %d", call.Action, name, a, b)
		}
		return ""
	}
	switch call.Action {
	case reconcile.Create:
		if text := both(call.Count, call.Prefixes, "IPv4"); text != "" {
			return text
		}
		return both(call.Addrs6, call.Prefixes6, "IPv6")
	case reconcile.Assign:
		return both(call.Count, call.Prefixes, "IPv4")
	case reconcile.Assign6:
		return both(call.Addrs6, call.Prefixes6, "IPv6")
	}
	return ""
}

// attempt makes the call and fills in the answer.
func (c *Client) attempt(ctx context.Context, call reconcile.Call, a *reconcile.Answer, once func(*ec2.Options)) error {
	eni := aws.String(string(call.ENI))
	switch call.Action {
	case reconcile.Create:
		return c.create(ctx, call, a, once)
	case reconcile.Attach:
		out, err := c.api.AttachNetworkInterface(ctx, &ec2.AttachNetworkInterfaceInput{
			InstanceId: aws.String(string(call.Instance)), NetworkInterfaceId: eni,
			DeviceIndex: aws.Int32(int32(call.Device)), NetworkCardIndex: some(call.Card),
		}, once)
		if err != nil {
			return err
		}
		a.Attachment = ipam.AttachmentID(aws.ToString(out.AttachmentId))
		return nil
	case reconcile.Assign, reconcile.Assign6:
		return c.assign(ctx, call, a, once)
	case reconcile.Unassign:
		_, err := c.api.UnassignPrivateIpAddresses(ctx, &ec2.UnassignPrivateIpAddressesInput{
			NetworkInterfaceId: eni, PrivateIpAddresses: texts(call.Addresses), Ipv4Prefixes: texts(call.Give),
		}, once)
		return err
	case reconcile.Unassign6:
		_, err := c.api.UnassignIpv6Addresses(ctx, &ec2.UnassignIpv6AddressesInput{
			NetworkInterfaceId: eni, Ipv6Addresses: texts(call.Addresses), Ipv6Prefixes: texts(call.Give),
		}, once)
		return err
	case reconcile.Detach:
		_, err := c.api.DetachNetworkInterface(ctx, &ec2.DetachNetworkInterfaceInput{
			AttachmentId: aws.String(string(call.Attachment)),
		}, once)
		return err
	case reconcile.Delete:
		_, err := c.api.DeleteNetworkInterface(ctx, &ec2.DeleteNetworkInterfaceInput{NetworkInterfaceId: eni}, once)
		return err
	case reconcile.Bind:
		_, err := c.api.ModifyNetworkInterfaceAttribute(ctx, modifyInput(call), once)
		return err
	}
	return fmt.Errorf("no such action: %q", call.Action)
}

func (c *Client) create(ctx context.Context, call reconcile.Call, a *reconcile.Answer, once func(*ec2.Options)) error {
	in := &ec2.CreateNetworkInterfaceInput{
		SubnetId:    aws.String(string(call.Subnet)),
		ClientToken: aws.String(call.Token),
		Description: aws.String(call.About),
		Groups:      call.Groups,
		TagSpecifications: []types.TagSpecification{{
			ResourceType: types.ResourceTypeNetworkInterface, Tags: tagsOf(call.Tags),
		}},
		SecondaryPrivateIpAddressCount: some(call.Count), Ipv4PrefixCount: some(call.Prefixes),
		Ipv6AddressCount: some(call.Addrs6), Ipv6PrefixCount: some(call.Prefixes6),
	}
	out, err := c.api.CreateNetworkInterface(ctx, in, once)
	if err != nil {
		return err
	}
	if out.NetworkInterface == nil {
		return errors.New("CreateNetworkInterface answered without an interface")
	}
	row, err := eniOf(*out.NetworkInterface)
	a.ENI, a.Addresses, a.Prefixes = &row, row.Addresses, row.Prefixes
	return err
}

// assign asks for addresses or prefixes of one family; the answer has what EC2 gave.
func (c *Client) assign(ctx context.Context, call reconcile.Call, a *reconcile.Answer, once func(*ec2.Options)) error {
	eni := aws.String(string(call.ENI))
	if call.Action == reconcile.Assign6 {
		out, err := c.api.AssignIpv6Addresses(ctx, &ec2.AssignIpv6AddressesInput{
			NetworkInterfaceId: eni, Ipv6PrefixCount: some(call.Prefixes6), Ipv6AddressCount: some(call.Addrs6),
		}, once)
		if err != nil {
			return err
		}
		if a.Addresses, err = parseAll(out.AssignedIpv6Addresses, netip.ParseAddr); err != nil {
			return err
		}
		a.Prefixes, err = parseAll(out.AssignedIpv6Prefixes, netip.ParsePrefix)
		return err
	}
	out, err := c.api.AssignPrivateIpAddresses(ctx, &ec2.AssignPrivateIpAddressesInput{
		NetworkInterfaceId: eni, SecondaryPrivateIpAddressCount: some(call.Count), Ipv4PrefixCount: some(call.Prefixes),
	}, once)
	if err != nil {
		return err
	}
	var addresses, prefixes []string
	for _, one := range out.AssignedPrivateIpAddresses {
		addresses = append(addresses, aws.ToString(one.PrivateIpAddress))
	}
	for _, one := range out.AssignedIpv4Prefixes {
		prefixes = append(prefixes, aws.ToString(one.Ipv4Prefix))
	}
	if a.Addresses, err = parseAll(addresses, netip.ParseAddr); err != nil {
		return err
	}
	a.Prefixes, err = parseAll(prefixes, netip.ParsePrefix)
	return err
}

// modifyInput changes one attribute, since EC2 takes one in a call: the security groups if there are any, else
// DeleteOnTermination of the attachment.
func modifyInput(call reconcile.Call) *ec2.ModifyNetworkInterfaceAttributeInput {
	in := &ec2.ModifyNetworkInterfaceAttributeInput{NetworkInterfaceId: aws.String(string(call.ENI))}
	if len(call.Groups) > 0 {
		in.Groups = call.Groups
		return in
	}
	in.Attachment = &types.NetworkInterfaceAttachmentChanges{
		AttachmentId: aws.String(string(call.Attachment)), DeleteOnTermination: aws.Bool(true),
	}
	return in
}

// some is a count that is asked for; EC2 takes a zero for a request of nothing.
func some(count int) *int32 {
	if count == 0 {
		return nil
	}
	return aws.Int32(int32(count))
}

func texts[T fmt.Stringer](all []T) []string {
	if len(all) == 0 {
		return nil
	}
	said := make([]string, len(all))
	for i, one := range all {
		said[i] = one.String()
	}
	return said
}

func parseAll[T any](said []string, parse func(string) (T, error)) ([]T, error) {
	var all []T
	for _, text := range said {
		one, err := parse(text)
		if err != nil {
			return nil, fmt.Errorf("cannot read what was assigned: %w", err)
		}
		all = append(all, one)
	}
	return all, nil
}

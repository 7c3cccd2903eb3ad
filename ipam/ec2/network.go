package ec2

import (
	"cmp"
	"context"
	"net/netip"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/enichain/enichain/ipam/reconcile"
)

// networks lists the VPCs of the listed instances and those named, their subnets and, if asked for, their security
// groups.
func (c *Client) networks(ctx context.Context, l *reconcile.Listed, ask reconcile.List) error {
	ids := slices.Clone(ask.VPCs)
	for _, i := range l.Instances {
		if i.VPC != "" {
			ids = append(ids, i.VPC)
		}
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	l.VPCs = map[string][]netip.Prefix{}
	lists := []func(context.Context, *reconcile.Listed, []types.Filter) error{c.vpcs, c.subnets}
	if ask.Groups {
		lists = append(lists, c.groups)
	}
	for part := range slices.Chunk(ids, filterSize) {
		for _, list := range lists {
			if err := list(ctx, l, []types.Filter{filter("vpc-id", part...)}); err != nil {
				return err
			}
		}
	}
	slices.SortFunc(l.Subnets, func(a, b reconcile.Subnet) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(l.Groups, func(a, b reconcile.Group) int { return cmp.Compare(a.ID, b.ID) })
	return nil
}

func (c *Client) vpcs(ctx context.Context, l *reconcile.Listed, inside []types.Filter) error {
	pages := ec2.NewDescribeVpcsPaginator(c.api, &ec2.DescribeVpcsInput{Filters: inside, MaxResults: aws.Int32(pageSize)})
	return eachPage(ctx, c, describeVPCs, pages, func(out *ec2.DescribeVpcsOutput) error {
		for _, v := range out.Vpcs {
			networks, err := networksOf(v)
			if err != nil {
				return err
			}
			l.VPCs[aws.ToString(v.VpcId)] = networks
		}
		return nil
	})
}

func (c *Client) subnets(ctx context.Context, l *reconcile.Listed, inside []types.Filter) error {
	pages := ec2.NewDescribeSubnetsPaginator(c.api, &ec2.DescribeSubnetsInput{Filters: inside, MaxResults: aws.Int32(pageSize)})
	return eachPage(ctx, c, describeSubnets, pages, func(out *ec2.DescribeSubnetsOutput) error {
		for _, s := range out.Subnets {
			row, err := subnetOf(s)
			if err != nil {
				return err
			}
			l.Subnets = append(l.Subnets, row)
		}
		return nil
	})
}

func (c *Client) groups(ctx context.Context, l *reconcile.Listed, inside []types.Filter) error {
	pages := ec2.NewDescribeSecurityGroupsPaginator(c.api, &ec2.DescribeSecurityGroupsInput{Filters: inside, MaxResults: aws.Int32(pageSize)})
	return eachPage(ctx, c, describeGroups, pages, func(out *ec2.DescribeSecurityGroupsOutput) error {
		for _, g := range out.SecurityGroups {
			l.Groups = append(l.Groups, groupOf(g))
		}
		return nil
	})
}

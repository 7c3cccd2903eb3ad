package ec2

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/reconcile"
)

const (
	pageSize     = 1000 // most rows in a page of most lists
	typePageSize = 100  // of DescribeInstanceTypes
	filterSize   = 200  // most values of a filter
)

// List implements reconcile.Cloud. Network interfaces are looked for by tag and by attachment: one that is being
// detached has left its instance, and one that is not ours has no tag. Lists go by filter and page, never by id: an id
// that EC2 does not know any more fails a whole call.
func (c *Client) List(ctx context.Context, ask reconcile.List) (reconcile.Listed, error) {
	l := reconcile.Listed{Limits: map[string]ipam.Limits{}}
	found := map[ipam.ENIID]reconcile.ENI{}
	ids := map[ipam.InstanceID]bool{}
	for _, id := range ask.Instances {
		ids[id] = true
	}
	cluster := filter("tag:"+reconcile.TagCluster, ask.Cluster)
	if ask.Full {
		if err := c.enis(ctx, found, cluster); err != nil {
			return l, err
		}
		for _, e := range found {
			if node := e.Tags[reconcile.TagNode]; node != "" {
				ids[ipam.InstanceID(node)] = true
			}
		}
	}
	names := sortedIDs(ids)
	for part := range slices.Chunk(names, filterSize) {
		if !ask.Full {
			if err := c.enis(ctx, found, cluster, filter("tag:"+reconcile.TagNode, part...)); err != nil {
				return l, err
			}
		}
		if err := c.enis(ctx, found, filter("attachment.instance-id", part...)); err != nil {
			return l, err
		}
		if err := c.instances(ctx, &l, part); err != nil {
			return l, err
		}
	}
	for _, e := range found {
		l.ENIs = append(l.ENIs, e)
	}
	slices.SortFunc(l.ENIs, func(a, b reconcile.ENI) int { return cmp.Compare(a.ID, b.ID) })
	if err := c.types(ctx, &l); err != nil {
		return l, err
	}
	if ask.Network {
		if err := c.networks(ctx, &l, ask); err != nil {
			return l, err
		}
	}
	return l, nil
}

func sortedIDs(ids map[ipam.InstanceID]bool) []string {
	var all []string
	for id := range ids {
		all = append(all, string(id))
	}
	slices.Sort(all)
	return all
}

func filter(name string, values ...string) types.Filter {
	return types.Filter{Name: aws.String(name), Values: values}
}

// listError is the error of a list that EC2 refused.
type listError struct {
	Action reconcile.Action
	Class  reconcile.Class
	Code   string // EC2's
	Text   string // for people
	err    error
}

func (e *listError) Error() string {
	return fmt.Sprintf("cannot call %s: %s (%s)", e.Action, e.Text, e.Code)
}

// Unwrap is the SDK's error.
func (e *listError) Unwrap() error { return e.err }

// ErrorCode is Code.
func (e *listError) ErrorCode() string { return e.Code }

// pager is a paginator of the SDK's.
type pager[T any] interface {
	HasMorePages() bool
	NextPage(context.Context, ...func(*ec2.Options)) (T, error)
}

// eachPage hands over every page of a list. It takes a turn for each call, which has the SDK's retries, and tells of it.
func eachPage[T any](ctx context.Context, c *Client, action reconcile.Action, pages pager[T], each func(T) error) error {
	for pages.HasMorePages() {
		if err := c.pacer.wait(ctx, action, reconcile.ForWarm); err != nil {
			return err
		}
		started := time.Now()
		page, err := pages.NextPage(ctx)
		if err != nil {
			class, code, text := classify(action, err, true)
			if class == reconcile.Throttled {
				c.pacer.throttled(action, code)
			}
			c.seen(action, code, time.Since(started))
			return &listError{Action: action, Class: class, Code: code, Text: text, err: err}
		}
		c.pacer.taken(action)
		c.seen(action, "ok", time.Since(started))
		if err := each(page); err != nil {
			return err
		}
	}
	return nil
}

func (c *Client) enis(ctx context.Context, into map[ipam.ENIID]reconcile.ENI, filters ...types.Filter) error {
	pages := ec2.NewDescribeNetworkInterfacesPaginator(c.api, &ec2.DescribeNetworkInterfacesInput{
		Filters: filters, MaxResults: aws.Int32(pageSize),
	})
	return eachPage(ctx, c, describeENIs, pages, func(out *ec2.DescribeNetworkInterfacesOutput) error {
		for _, n := range out.NetworkInterfaces {
			e, err := eniOf(n)
			if err != nil {
				return err
			}
			into[e.ID] = e
		}
		return nil
	})
}

func (c *Client) instances(ctx context.Context, l *reconcile.Listed, ids []string) error {
	pages := ec2.NewDescribeInstancesPaginator(c.api, &ec2.DescribeInstancesInput{
		Filters: []types.Filter{filter("instance-id", ids...)}, MaxResults: aws.Int32(pageSize),
	})
	return eachPage(ctx, c, describeInstances, pages, func(out *ec2.DescribeInstancesOutput) error {
		for _, r := range out.Reservations {
			for _, i := range r.Instances {
				l.Instances = append(l.Instances, instanceOf(i))
			}
		}
		return nil
	})
}

// types fills in the limits of the listed instances' types. They never change, so each type is asked for once.
func (c *Client) types(ctx context.Context, l *reconcile.Listed) error {
	var ask []string
	c.mu.Lock()
	for _, i := range l.Instances {
		if limits, ok := c.limits[i.Type]; ok {
			l.Limits[i.Type] = limits
		} else if i.Type != "" && !slices.Contains(ask, i.Type) {
			ask = append(ask, i.Type)
		}
	}
	c.mu.Unlock()
	slices.Sort(ask)
	for part := range slices.Chunk(ask, typePageSize) {
		pages := ec2.NewDescribeInstanceTypesPaginator(c.api, &ec2.DescribeInstanceTypesInput{
			Filters: []types.Filter{filter("instance-type", part...)}, MaxResults: aws.Int32(typePageSize),
		})
		err := eachPage(ctx, c, describeTypes, pages, func(out *ec2.DescribeInstanceTypesOutput) error {
			c.mu.Lock()
			defer c.mu.Unlock()
			for _, t := range out.InstanceTypes {
				c.limits[string(t.InstanceType)] = limitsOf(t)
				l.Limits[string(t.InstanceType)] = limitsOf(t)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

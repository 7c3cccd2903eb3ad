package sim

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/reconcile"
	"github.com/enichain/enichain/test/lab/vpc"
)

// lister makes the calls of a list, as package ec2 makes them: the same filters, the same pages.
type lister struct {
	f     *fleet
	l     *leader
	sleep sleep
}

const (
	pageSize   = 1000
	filterSize = 200
)

// page takes a turn and makes one call, with the SDK's two retries; the process waits for both.
func (in *lister) page(action reconcile.Action, request vpc.Request) (vpc.Output, *vpc.Error) {
	f := in.f
	came, asked := false, false
	in.l.pace.wait(action, reconcile.ForWarm, f.now+2*time.Minute, func(turn bool) { came, asked = turn, true })
	for !asked {
		if !in.sleep(20 * time.Millisecond) {
			return nil, &vpc.Error{Code: "Ended"}
		}
	}
	if !came || in.l.dead {
		return nil, &vpc.Error{Code: "RequestLimitExceeded", Message: "no turn came"}
	}
	for try := range 3 {
		r, err := f.world.Call(f.wall(), in.l.name, request)
		if !in.sleep(r.Answered.Sub(f.wall())) {
			return nil, &vpc.Error{Code: "Ended"}
		}
		if err == nil {
			in.l.pace.answered(action, reconcile.Done, "")
			return r.Output, nil
		}
		class := reconcile.Other
		if err.Code == vpc.CodeThrottled {
			class = reconcile.Throttled
		}
		in.l.pace.answered(action, class, err.Code)
		if try == 2 || class != reconcile.Throttled && err.HTTPStatus < 500 {
			return nil, err
		}
		if !in.sleep(between(f.bus.random, 0, time.Second<<try)) {
			return nil, &vpc.Error{Code: "Ended"}
		}
	}
	panic("unreachable")
}

func tagged(key string, values ...string) vpc.Filter { return vpc.Filter{Name: key, Values: values} }

func (in *lister) everything(ask reconcile.List) (reconcile.Listed, *vpc.Error) {
	l := reconcile.Listed{Limits: map[string]ipam.Limits{}}
	found := map[ipam.ENIID]reconcile.ENI{}
	ids := map[string]bool{}
	for _, id := range ask.Instances {
		ids[string(id)] = true
	}
	cluster := tagged("tag:"+reconcile.TagCluster, ask.Cluster)
	if ask.Full {
		if err := in.enis(found, cluster); err != nil {
			return l, err
		}
		for _, e := range found {
			if node := e.Tags[reconcile.TagNode]; node != "" {
				ids[node] = true
			}
		}
	}
	names := []string{}
	for id := range ids {
		names = append(names, id)
	}
	slices.Sort(names)
	for part := range slices.Chunk(names, filterSize) {
		if !ask.Full {
			if err := in.enis(found, cluster, tagged("tag:"+reconcile.TagNode, part...)); err != nil {
				return l, err
			}
		}
		if err := in.enis(found, tagged("attachment.instance-id", part...)); err != nil {
			return l, err
		}
		if err := in.instances(&l, part); err != nil {
			return l, err
		}
	}
	for _, e := range found {
		l.ENIs = append(l.ENIs, e)
	}
	if err := in.types(&l); err != nil || !ask.Network {
		return l, err
	}
	return l, in.networks(&l, ask)
}

func (in *lister) enis(into map[ipam.ENIID]reconcile.ENI, filters ...vpc.Filter) *vpc.Error {
	for next := ""; ; {
		out, err := in.page("DescribeNetworkInterfaces", vpc.DescribeNetworkInterfaces{Filters: filters, Page: vpc.Page{MaxResults: pageSize, NextToken: next}})
		if err != nil {
			return err
		}
		o := out.(vpc.DescribeNetworkInterfacesOutput)
		for _, n := range o.NetworkInterfaces {
			into[ipam.ENIID(n.ID)] = eniOf(n)
		}
		if next = o.NextToken; next == "" {
			return nil
		}
	}
}

func (in *lister) instances(l *reconcile.Listed, ids []string) *vpc.Error {
	for next := ""; ; {
		out, err := in.page("DescribeInstances", vpc.DescribeInstances{Filters: []vpc.Filter{tagged("instance-id", ids...)}, Page: vpc.Page{MaxResults: pageSize, NextToken: next}})
		if err != nil {
			return err
		}
		o := out.(vpc.DescribeInstancesOutput)
		for _, i := range o.Instances {
			l.Instances = append(l.Instances, reconcile.Instance{
				ID: ipam.InstanceID(i.Instance.ID), State: string(i.Instance.State), Type: i.Instance.Type, Zone: i.Instance.Zone,
				VPC: i.Instance.VPC, Subnet: ipam.SubnetID(i.Instance.Subnet), Tags: i.Instance.Tags,
			})
		}
		if next = o.NextToken; next == "" {
			return nil
		}
	}
}

// types asks for each type's limits once.
func (in *lister) types(l *reconcile.Listed) *vpc.Error {
	var ask []string
	for _, i := range l.Instances {
		if _, known := in.l.limits[i.Type]; !known && !slices.Contains(ask, i.Type) {
			ask = append(ask, i.Type)
		}
	}
	if len(ask) > 0 {
		slices.Sort(ask)
		out, err := in.page("DescribeInstanceTypes", vpc.DescribeInstanceTypes{Filters: []vpc.Filter{tagged("instance-type", ask...)}, Page: vpc.Page{MaxResults: 100}})
		if err != nil {
			return err
		}
		for _, t := range out.(vpc.DescribeInstanceTypesOutput).Types {
			in.l.limits[t.Name] = limitsOf(t)
		}
	}
	for _, i := range l.Instances {
		l.Limits[i.Type] = in.l.limits[i.Type]
	}
	return nil
}

// networks lists VPCs, subnets and security groups.
func (in *lister) networks(l *reconcile.Listed, ask reconcile.List) *vpc.Error {
	ids := slices.Clone(ask.VPCs)
	for _, i := range l.Instances {
		ids = append(ids, i.VPC)
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	l.VPCs = map[string][]netip.Prefix{}
	if len(ids) == 0 {
		return nil
	}
	inside, page := []vpc.Filter{tagged("vpc-id", ids...)}, vpc.Page{MaxResults: pageSize}
	out, err := in.page("DescribeVpcs", vpc.DescribeVpcs{Filters: inside, Page: page})
	if err != nil {
		return err
	}
	for _, v := range out.(vpc.DescribeVpcsOutput).VPCs {
		l.VPCs[v.ID] = slices.Clone(v.CIDRs)
		if v.IPv6.IsValid() {
			l.VPCs[v.ID] = append(l.VPCs[v.ID], v.IPv6)
		}
	}
	if out, err = in.page("DescribeSubnets", vpc.DescribeSubnets{Filters: inside, Page: page}); err != nil {
		return err
	}
	for _, s := range out.(vpc.DescribeSubnetsOutput).Subnets {
		l.Subnets = append(l.Subnets, reconcile.Subnet{ID: ipam.SubnetID(s.ID), VPC: s.VPC, Zone: s.Zone, CIDR: s.CIDR, CIDR6: s.IPv6, Free: s.Free, Tags: s.Tags})
	}
	slices.SortFunc(l.Subnets, func(a, b reconcile.Subnet) int { return cmp.Compare(a.ID, b.ID) })
	if !ask.Groups {
		return nil
	}
	if out, err = in.page("DescribeSecurityGroups", vpc.DescribeSecurityGroups{Filters: inside, Page: page}); err != nil {
		return err
	}
	for _, g := range out.(vpc.DescribeSecurityGroupsOutput).Groups {
		l.Groups = append(l.Groups, reconcile.Group{ID: g.ID, VPC: g.VPC, Name: g.Name, Tags: g.Tags})
	}
	slices.SortFunc(l.Groups, func(a, b reconcile.Group) int { return cmp.Compare(a.ID, b.ID) })
	return nil
}

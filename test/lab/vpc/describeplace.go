package vpc

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
)

func (r DescribeVpcs) call(w *World, _ *call) (Output, *Error) {
	blocks := func(v VPC) (all []string) {
		for _, c := range v.CIDRs {
			all = append(all, c.String())
		}
		return all
	}
	p := properties[VPC]{
		tags: func(v VPC) map[string]string { return v.Tags },
		of: map[string]func(VPC) []string{
			"vpc-id":                            func(v VPC) []string { return []string{v.ID} },
			"cidr":                              func(v VPC) []string { return blocks(v)[:1] },
			"cidr-block-association.cidr-block": blocks,
			"is-default":                        func(VPC) []string { return []string{"false"} },
			"owner-id":                          func(VPC) []string { return []string{w.config.Account} },
			"state":                             func(VPC) []string { return []string{"available"} },
		},
	}
	keep, err := p.matcher(r.Filters)
	if err != nil {
		return nil, err
	}
	for _, id := range r.IDs {
		if w.vpcs[id] == nil {
			return nil, Refuse(CodeVPCNotFound, "The vpc ID '%s' does not exist", id)
		}
	}
	if err := dryRun(r.Dry); err != nil {
		return nil, err
	}
	item := func(id string) (VPC, bool) {
		v := *w.vpcs[id]
		v.CIDRs, v.Tags = slices.Clone(v.CIDRs), maps.Clone(v.Tags)
		return v, true
	}
	l := listed{r.Page, 5, 1000, false, r.IDs}
	found, next, err := paged(l, chosen(r.IDs, slices.Sorted(maps.Keys(w.vpcs))), item, keep)
	if err != nil {
		return nil, err
	}
	return DescribeVpcsOutput{found, next}, nil
}

func (r DescribeSecurityGroups) call(w *World, _ *call) (Output, *Error) {
	one := func(f func(SecurityGroup) string) func(SecurityGroup) []string {
		return func(g SecurityGroup) []string { return []string{f(g)} }
	}
	p := properties[SecurityGroup]{
		tags: func(g SecurityGroup) map[string]string { return g.Tags },
		of: map[string]func(SecurityGroup) []string{
			"group-id":    one(func(g SecurityGroup) string { return g.ID }),
			"group-name":  one(func(g SecurityGroup) string { return g.Name }),
			"description": one(func(g SecurityGroup) string { return g.Description }),
			"vpc-id":      one(func(g SecurityGroup) string { return g.VPC }),
			"owner-id":    one(func(SecurityGroup) string { return w.config.Account }),
		},
	}
	keep, err := p.matcher(r.Filters)
	if err != nil {
		return nil, err
	}
	for _, id := range r.IDs {
		if !strings.HasPrefix(id, "sg-") {
			return nil, Refuse(CodeGroupMalformed, "Invalid id: \"%s\" (expecting \"sg-...\")", id)
		}
		if w.groups[id] == nil {
			return nil, groupNotFound(id)
		}
	}
	for _, name := range r.Names {
		if !slices.Contains(slices.Collect(maps.Values(w.groupNames())), name) {
			return nil, groupNotFound(name)
		}
	}
	if err := dryRun(r.Dry); err != nil {
		return nil, err
	}
	item := func(id string) (SecurityGroup, bool) {
		g := *w.groups[id]
		g.Tags = maps.Clone(g.Tags)
		return g, len(r.Names) == 0 || slices.Contains(r.Names, g.Name)
	}
	l := listed{r.Page, 5, 1000, true, r.IDs}
	found, next, err := paged(l, chosen(r.IDs, slices.Sorted(maps.Keys(w.groups))), item, keep)
	if err != nil {
		return nil, err
	}
	return DescribeSecurityGroupsOutput{found, next}, nil
}

// ZoneID is the id that the lab gives an availability zone: "lab-1b" is "lab1-az2".
func ZoneID(name string) string {
	if name == "" {
		return ""
	}
	letter := name[len(name)-1]
	return strings.ReplaceAll(name[:len(name)-1], "-", "") + "-az" + string(letter-'a'+'1')
}

func (r DescribeAvailabilityZones) call(w *World, _ *call) (Output, *Error) {
	one := func(f func(Zone) string) func(Zone) []string {
		return func(z Zone) []string { return []string{f(z)} }
	}
	p := properties[Zone]{of: map[string]func(Zone) []string{
		"zone-name":   one(func(z Zone) string { return z.Name }),
		"zone-id":     one(func(z Zone) string { return z.ID }),
		"region-name": one(func(Zone) string { return w.config.Region }),
		"state":       one(func(Zone) string { return "available" }),
		"zone-type":   one(func(Zone) string { return "availability-zone" }),
	}}
	keep, err := p.matcher(r.Filters)
	if err != nil {
		return nil, err
	}
	zones := map[string]Zone{}
	for _, s := range w.subnets {
		zones[s.Zone] = Zone{s.Zone, ZoneID(s.Zone)}
	}
	for _, name := range r.Names {
		if _, ok := zones[name]; !ok {
			return nil, invalid("Invalid availability zone: [%s]", name)
		}
	}
	if err := dryRun(r.Dry); err != nil {
		return nil, err
	}
	var out DescribeAvailabilityZonesOutput
	for _, name := range chosen(r.Names, slices.Sorted(maps.Keys(zones))) {
		if z := zones[name]; keep(z) && (len(r.IDs) == 0 || slices.Contains(r.IDs, z.ID)) {
			out.Zones = append(out.Zones, z)
		}
	}
	return out, nil
}

func (r DescribeRouteTables) call(w *World, _ *call) (Output, *Error) {
	p := properties[RouteTable]{
		tags: func(t RouteTable) map[string]string { return t.Tags },
		of: map[string]func(RouteTable) []string{
			"route-table-id":        func(t RouteTable) []string { return []string{t.ID} },
			"vpc-id":                func(t RouteTable) []string { return []string{t.VPC} },
			"association.main":      func(RouteTable) []string { return []string{"true"} },
			"association.subnet-id": func(RouteTable) []string { return nil }, // subnets use the main table implicitly
			"owner-id":              func(RouteTable) []string { return []string{w.config.Account} },
		},
	}
	keep, err := p.matcher(r.Filters)
	if err != nil {
		return nil, err
	}
	tables := map[string]RouteTable{}
	for _, v := range w.vpcs {
		t := RouteTable{ID: "rtb-" + strings.TrimPrefix(v.ID, "vpc-"), VPC: v.ID, Local: slices.Clone(v.CIDRs),
			Gateway: "igw-" + strings.TrimPrefix(v.ID, "vpc-")}
		if v.IPv6.IsValid() {
			t.Local = append(t.Local, v.IPv6)
		}
		tables[t.ID] = t
	}
	for _, id := range r.IDs {
		if _, ok := tables[id]; !ok {
			return nil, Refuse(CodeRouteTableNotFound, "The routeTable ID '%s' does not exist", id)
		}
	}
	if err := dryRun(r.Dry); err != nil {
		return nil, err
	}
	item := func(id string) (RouteTable, bool) { return tables[id], true }
	l := listed{r.Page, 5, 100, false, r.IDs}
	found, next, err := paged(l, chosen(r.IDs, slices.Sorted(maps.Keys(tables))), item, keep)
	if err != nil {
		return nil, err
	}
	return DescribeRouteTablesOutput{found, next}, nil
}

// Defaults are the destinations that a main table sends to the internet gateway.
func (t RouteTable) Defaults() []netip.Prefix {
	routes := []netip.Prefix{netip.PrefixFrom(netip.IPv4Unspecified(), 0)}
	if slices.ContainsFunc(t.Local, func(p netip.Prefix) bool { return p.Addr().Is6() }) {
		routes = append(routes, netip.PrefixFrom(netip.IPv6Unspecified(), 0))
	}
	return routes
}

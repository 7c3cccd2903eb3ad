package vpc

import (
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"time"
)

func (r DescribeNetworkInterfaces) call(w *World, c *call) (Output, *Error) {
	keep, err := w.filters.interfaces.matcher(r.Filters)
	if err != nil {
		return nil, err
	}
	for _, id := range r.IDs { // only the first bad one is named
		if err := checkID(id, "eni", CodeENIMalformed); err != nil {
			return nil, err
		}
		if t := w.enis[id]; t == nil || t.view(c.view) == nil {
			return nil, eniNotFound(id)
		}
	}
	if err := dryRun(r.Dry); err != nil {
		return nil, err
	}
	item := func(id string) (NetworkInterface, bool) {
		if n := w.enis[id].view(c.view); n != nil {
			return *n, true
		}
		return NetworkInterface{}, false
	}
	l := listed{r.Page, 5, 1000, true, r.IDs}
	found, next, err := paged(l, w.candidates(r), item, keep)
	if err == nil {
		err = w.mayUnpaged(r.Page, r.IDs, len(found))
	}
	if err != nil {
		return nil, err
	}
	return DescribeNetworkInterfacesOutput{found, w.groupNames(), next}, nil
}

// mayUnpaged refuses a list without pages that is too long for one answer.
func (w *World) mayUnpaged(p Page, ids []string, found int) *Error {
	if most := w.config.UnpagedMost; most > 0 && found > most && p.MaxResults == 0 && len(ids) == 0 {
		return Refuse(CodeUnavailable, "The request could not be answered in time; use pagination.")
	}
	return nil
}

// chosen is what to walk: the given ids in order, without repetition, or else all.
func chosen(ids, all []string) []string {
	if len(ids) == 0 {
		return all
	}
	sorted := slices.Clone(ids)
	slices.Sort(sorted)
	return slices.Compact(sorted)
}

func (r DescribeInstances) call(w *World, c *call) (Output, *Error) {
	keep, err := w.filters.instances.matcher(r.Filters)
	if err != nil {
		return nil, err
	}
	for _, id := range r.IDs {
		if i, err := w.namedInstance(id); err != nil {
			return nil, err
		} else if i.stateAt(c.view) == "" {
			return nil, instanceNotFound(id)
		}
	}
	if err := dryRun(r.Dry); err != nil {
		return nil, err
	}
	groups := w.groupNames()
	item := func(id string) (InstanceView, bool) {
		i := w.instances[id]
		if i == nil { // named by a filter, which need not find it
			return InstanceView{}, false
		}
		v := InstanceView{Instance: i.view(c.view), Groups: groups, NetworkInterfaces: w.interfacesIn(i, c.view)}
		v.Type, _ = w.instanceType(i.Type)
		return v, v.Instance.State != ""
	}
	l := listed{r.Page, 5, 1000, true, r.IDs}
	found, next, err := paged(l, chosen(instancesIn(r), w.instanceIDs), item, keep)
	if err == nil {
		err = w.mayUnpaged(r.Page, r.IDs, len(found))
	}
	if err != nil {
		return nil, err
	}
	return DescribeInstancesOutput{found, next}, nil
}

// instancesIn are the instances that a list can have, if it names them itself or by a filter.
func instancesIn(r DescribeInstances) []string {
	if len(r.IDs) > 0 {
		return r.IDs
	}
	for _, f := range r.Filters {
		if f.Name == "instance-id" && isPlain(f.Values) {
			return f.Values
		}
	}
	return nil
}

func (r DescribeInstanceTypes) call(w *World, _ *call) (Output, *Error) {
	properties := properties[InstanceType]{of: map[string]func(InstanceType) []string{
		"instance-type": func(t InstanceType) []string { return []string{t.Name} },
		"hypervisor":    func(t InstanceType) []string { return []string{t.Hypervisor} },
		"bare-metal":    func(t InstanceType) []string { return []string{strconv.FormatBool(t.Hypervisor == "")} },
	}}
	keep, err := properties.matcher(r.Filters)
	if err != nil {
		return nil, err
	}
	if len(r.Types) > 100 {
		return nil, invalid("%d instance types are given; at most 100 are allowed", len(r.Types))
	}
	for _, name := range r.Types {
		if _, ok := w.types[name]; !ok {
			return nil, Refuse(CodeInstanceType, "The following supplied instance types do not exist: [%s]", name)
		}
	}
	if err := dryRun(r.Dry); err != nil {
		return nil, err
	}
	l := listed{r.Page, 5, 100, false, r.Types}
	item := func(name string) (InstanceType, bool) { t, ok := w.types[name]; return t, ok }
	found, next, err := paged(l, chosen(r.Types, slices.Sorted(maps.Keys(w.types))), item, keep)
	if err != nil {
		return nil, err
	}
	return DescribeInstanceTypesOutput{found, next}, nil
}

func (r DescribeSubnets) call(w *World, c *call) (Output, *Error) {
	keep, err := subnetProperties(w).matcher(r.Filters)
	if err != nil {
		return nil, err
	}
	for _, id := range r.IDs {
		if w.subnets[id] == nil {
			return nil, subnetNotFound(id)
		}
	}
	if err := dryRun(r.Dry); err != nil {
		return nil, err
	}
	item := func(id string) (SubnetView, bool) {
		s := w.subnets[id]
		s.settle(c.now)
		v := SubnetView{Subnet: s.Subnet, Free: s.free()}
		if w.isFull(s.Subnet) {
			v.Free = 0
		}
		v.Tags = maps.Clone(s.Tags)
		return v, true
	}
	l := listed{r.Page, 5, 1000, false, r.IDs}
	found, next, err := paged(l, chosen(r.IDs, slices.Sorted(maps.Keys(w.subnets))), item, keep)
	if err != nil {
		return nil, err
	}
	return DescribeSubnetsOutput{found, next}, nil
}

// interfaceProperties are the filters of DescribeNetworkInterfaces.
func interfaceProperties(w *World) properties[NetworkInterface] {
	attached := func(f func(*Attachment) string) func(NetworkInterface) []string {
		return func(n NetworkInterface) []string {
			if n.Attachment == nil {
				return nil
			}
			return []string{f(n.Attachment)}
		}
	}
	plain := func(f func(NetworkInterface) string) func(NetworkInterface) []string {
		return func(n NetworkInterface) []string { return []string{f(n)} }
	}
	return properties[NetworkInterface]{
		tags: func(n NetworkInterface) map[string]string { return n.Tags },
		of: map[string]func(NetworkInterface) []string{
			"attachment.attachment-id":      attached(func(a *Attachment) string { return a.ID }),
			"attachment.instance-id":        attached(func(a *Attachment) string { return a.Instance }),
			"attachment.device-index":       attached(func(a *Attachment) string { return strconv.Itoa(a.Device) }),
			"attachment.network-card-index": attached(func(a *Attachment) string { return strconv.Itoa(a.Card) }),
			"attachment.status":             attached((*Attachment).Status),
			"attachment.delete-on-termination": attached(func(a *Attachment) string {
				return strconv.FormatBool(a.DeleteOnTermination)
			}),
			"attachment.attach-time":       attached(func(a *Attachment) string { return a.Since.UTC().Format(time.RFC3339) }),
			"attachment.instance-owner-id": attached(func(*Attachment) string { return w.config.Account }),
			"addresses.private-ip-address": func(n NetworkInterface) []string { return texts(n.Addresses()) },
			"private-ip-address":           plain(func(n NetworkInterface) string { return n.Primary.String() }),
			"ipv6-addresses.ipv6-address":  func(n NetworkInterface) []string { return texts(n.IPv6) },
			"availability-zone":            plain(func(n NetworkInterface) string { return n.Zone }),
			"description":                  plain(func(n NetworkInterface) string { return n.Description }),
			"group-id":                     func(n NetworkInterface) []string { return n.Groups },
			"group-name": func(n NetworkInterface) (names []string) {
				for _, id := range n.Groups {
					if g := w.groups[id]; g != nil {
						names = append(names, g.Name)
					}
				}
				return names
			},
			"interface-type":       plain(func(n NetworkInterface) string { return n.Type }),
			"mac-address":          plain(func(n NetworkInterface) string { return n.MAC }),
			"network-interface-id": plain(func(n NetworkInterface) string { return n.ID }),
			"owner-id":             plain(func(NetworkInterface) string { return w.config.Account }),
			"requester-managed":    plain(func(NetworkInterface) string { return "false" }),
			"source-dest-check":    plain(func(n NetworkInterface) string { return strconv.FormatBool(n.SourceDestCheck) }),
			"status":               plain(NetworkInterface.Status),
			"subnet-id":            plain(func(n NetworkInterface) string { return n.Subnet }),
			"vpc-id":               plain(func(n NetworkInterface) string { return n.VPC }),
		},
	}
}

func texts(addrs []netip.Addr) []string {
	all := make([]string, 0, len(addrs))
	for _, a := range addrs {
		all = append(all, a.String())
	}
	return all
}

func instanceProperties(w *World) properties[InstanceView] {
	plain := func(f func(InstanceView) string) func(InstanceView) []string {
		return func(v InstanceView) []string { return []string{f(v)} }
	}
	p := properties[InstanceView]{
		tags: func(v InstanceView) map[string]string { return v.Instance.Tags },
		of: map[string]func(InstanceView) []string{
			"instance-id":         plain(func(v InstanceView) string { return v.Instance.ID }),
			"instance-state-name": plain(func(v InstanceView) string { return string(v.Instance.State) }),
			"instance-state-code": plain(func(v InstanceView) string { return strconv.Itoa(v.Instance.State.Code()) }),
			"instance-type":       plain(func(v InstanceView) string { return v.Instance.Type }),
			"availability-zone":   plain(func(v InstanceView) string { return v.Instance.Zone }),
			"subnet-id":           plain(func(v InstanceView) string { return v.Instance.Subnet }),
			"vpc-id":              plain(func(v InstanceView) string { return v.Instance.VPC }),
			"owner-id":            plain(func(InstanceView) string { return w.config.Account }),
			"private-ip-address":  primary(func(n NetworkInterface) []string { return []string{n.Primary.String()} }),
			"instance.group-id":   primary(func(n NetworkInterface) []string { return n.Groups }),
		},
	}
	for name, values := range interfaceProperties(w).of {
		p.of["network-interface."+name] = func(v InstanceView) (all []string) {
			for _, n := range v.NetworkInterfaces {
				all = append(all, values(n)...)
			}
			return all
		}
	}
	return p
}

func primary(f func(NetworkInterface) []string) func(InstanceView) []string {
	return func(v InstanceView) []string {
		if len(v.NetworkInterfaces) == 0 {
			return nil
		}
		return f(v.NetworkInterfaces[0])
	}
}

// Code is EC2's number of an instance's state.
func (s InstanceState) Code() int {
	switch s {
	case Pending:
		return 0
	case ShuttingDown:
		return 32
	case Terminated:
		return 48
	case Stopping:
		return 64
	case Stopped:
		return 80
	}
	return 16
}

func subnetProperties(w *World) properties[SubnetView] {
	plain := func(f func(SubnetView) string) func(SubnetView) []string {
		return func(s SubnetView) []string { return []string{f(s)} }
	}
	return properties[SubnetView]{
		tags: func(s SubnetView) map[string]string { return s.Tags },
		of: map[string]func(SubnetView) []string{
			"availability-zone":          plain(func(s SubnetView) string { return s.Zone }),
			"availability-zone-id":       plain(func(s SubnetView) string { return ZoneID(s.Zone) }),
			"available-ip-address-count": plain(func(s SubnetView) string { return strconv.Itoa(s.Free) }),
			"cidr-block":                 plain(func(s SubnetView) string { return s.CIDR.String() }),
			"owner-id":                   plain(func(SubnetView) string { return w.config.Account }),
			"state":                      plain(func(SubnetView) string { return "available" }),
			"subnet-id":                  plain(func(s SubnetView) string { return s.ID }),
			"vpc-id":                     plain(func(s SubnetView) string { return s.VPC }),
		},
	}
}

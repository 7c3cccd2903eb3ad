package store

import (
	"encoding/json"
	"net/netip"
	"reflect"

	"github.com/enichain/enichain/chain/plain"
	"github.com/enichain/enichain/ipam"
)

// All values of the file are as encoding/json writes them. The kinds of records that an ADD or a DEL reads and writes have
// tables (see package plain): members in the order of their structs, which tables_test.go holds against encoding/json.

// table is that of a record, which a pointer stands for; nil where encoding/json reads and writes it.
func table(record any) plain.Table {
	switch v := record.(type) {
	case *Meta:
		return v.members
	case *ENI:
		return v.members
	case *Address:
		return v.members
	case *Lease:
		return v.members
	case *delegated:
		return v.members
	case *ipam.Record:
		return func(m *plain.Members) { edge(v, m) }
	}
	return nil
}

// read fills a zero record.
func read(text []byte, record any) error {
	if t := table(record); t != nil {
		if t.Read(text) {
			return nil
		}
		reflect.ValueOf(record).Elem().SetZero() // of what was read before it turned out not to be plain
	}
	return json.Unmarshal(text, record)
}

// written is a record's text.
func written(record any) ([]byte, error) {
	if t := table(record); t != nil {
		if text, ok := t.Write(); ok {
			return text, nil
		}
	}
	return json.Marshal(record)
}

func (v *Meta) members(m *plain.Members) {
	plain.String(m, "Instance", &v.Instance, false)
	plain.String(m, "Boot", &v.Boot, false)
	plain.String(m, "Inc", &v.Inc, false)
	plain.String(m, "Type", &v.Type, v.Type == "")
	plain.Number(m, "MaxPods", &v.MaxPods, v.MaxPods == 0)
	plain.Bool(m, "Unschedulable", &v.Unschedulable, !v.Unschedulable)
	plain.Number(m, "Seq", &v.Seq, false)
	plain.Number(m, "Gen", &v.Gen, false)
	plain.Object(m, "Seen", false, func(m *plain.Members) {
		plain.Number(m, "epoch", &v.Seen.Epoch, false)
		plain.Number(m, "rev", &v.Seen.Rev, false)
	})
	plain.Number(m, "Basis", &v.Basis, false)
	plain.Bool(m, "Supplied", &v.Supplied, false)
	plain.Bool(m, "Leasable", &v.Leasable, false)
	plain.List(m, "Served", &v.Served, len(v.Served) == 0, plain.StringOf)
	plain.List(m, "VPC", &v.VPC, false, plain.TextOf[netip.Prefix])
	plain.Object(m, "Policy", false, func(m *plain.Members) {
		plain.Number(m, "rev", &v.Policy.Rev, false)
	})
	plain.Objects(m, "Pools", &v.Pools, len(v.Pools) == 0, suppliedPool)
	plain.Number(m, "Most", &v.Most, v.Most == 0)
	plain.Text(m, "Heard", &v.Heard, v.Heard.IsZero())
	plain.Pointer(m, "Mute", &v.Mute, (*Mute).members)
	plain.Pointer(m, "Hold", &v.Hold, (*Hold).members)
	plain.Number(m, "LastRecord", &v.LastRecord, false)
	plain.Number(m, "Dropped", &v.Dropped, false)
	plain.Number(m, "LastTicket", &v.LastTicket, false)
	plain.Number(m, "Commits", &v.Commits, false)
	plain.Number(m, "Chance", &v.Chance, false)
	plain.Text(m, "Created", &v.Created, false)
}

func suppliedPool(v *ipam.SuppliedPool, m *plain.Members) {
	plain.String(m, "name", &v.Name, false)
	plain.List(m, "families", &v.Families, false, plain.NumberOf)
	plain.Number(m, "cooldown", &v.Cooldown, false)
	plain.Number(m, "low", &v.Low, false)
	plain.Number(m, "high", &v.High, false)
	plain.Number(m, "window", &v.Window, false)
	plain.Number(m, "minAge", &v.MinAge, false)
	plain.Pointer(m, "why", &v.Why, why)
}

func (v *ENI) members(m *plain.Members) {
	suppliedENI(&v.SuppliedENI, m)
	plain.Number(m, "N", &v.N, false)
	plain.String(m, "Link", &v.Link, false)
	plain.Bool(m, "Present", &v.Present, false)
	plain.Bool(m, "Ready", &v.Ready, false)
	plain.Bool(m, "Listed", &v.Listed, false)
	plain.Number(m, "Since", &v.Since, false)
	plain.Object(m, "Counts", false, v.Counts.members)
	plain.Object(m, "Counts6", false, v.Counts6.members)
	plain.Object(m, "Prefixed", false, v.Prefixed.members)
	plain.Object(m, "Prefixed6", false, v.Prefixed6.members)
	plain.Objects(m, "Bridges", &v.Bridges, len(v.Bridges) == 0, (*Bridge).members)
}

func suppliedENI(v *ipam.SuppliedENI, m *plain.Members) {
	plain.String(m, "eni", &v.ENI, false)
	plain.String(m, "attachment", &v.Attachment, false)
	plain.String(m, "pool", &v.Pool, false)
	plain.String(m, "mac", &v.MAC, false)
	plain.Number(m, "device", &v.Device, false)
	plain.Number(m, "card", &v.Card, false)
	plain.String(m, "subnetId", &v.SubnetID, false)
	plain.Text(m, "subnet", &v.Subnet, false)
	plain.Text(m, "subnet6", &v.Subnet6, false)
	plain.Text(m, "primary", &v.Primary, false)
	plain.Text(m, "primary6", &v.Primary6, false)
	plain.Text(m, "gateway", &v.Gateway, false)
	plain.List(m, "addresses", &v.Addresses, false, plain.TextOf[netip.Addr])
	plain.List(m, "prefixes", &v.Prefixes, len(v.Prefixes) == 0, plain.TextOf[netip.Prefix])
	plain.Bool(m, "podsOk", &v.PodsOK, false)
	plain.Number(m, "mtu", &v.MTU, v.MTU == 0)
}

func (v *Counts) members(m *plain.Members) {
	plain.Number(m, "Pending", &v.Pending, false)
	plain.Number(m, "Free", &v.Free, false)
	plain.Number(m, "Leased", &v.Leased, false)
	plain.Number(m, "Lost", &v.Lost, false)
	plain.Number(m, "Cooling", &v.Cooling, false)
	plain.Number(m, "Fenced", &v.Fenced, false)
	plain.Number(m, "Held", &v.Held, false)
	plain.Number(m, "Free6", &v.Free6, false)
}

func (v *Prefixed) members(m *plain.Members) {
	plain.Number(m, "Free", &v.Free, false)
	plain.Number(m, "Kept", &v.Kept, false)
}

func (v *Address) members(m *plain.Members) {
	plain.Text(m, "Address", &v.Address, false)
	plain.String(m, "ENI", &v.ENI, v.ENI == "")
	plain.String(m, "Attachment", &v.Attachment, v.Attachment == "")
	plain.String(m, "State", &v.State, false)
	plain.Bool(m, "Listed", &v.Listed, !v.Listed)
	plain.Bool(m, "Lost", &v.Lost, !v.Lost)
	plain.Bool(m, "Flagged", &v.Flagged, !v.Flagged)
	plain.Object(m, "Owner", v.Owner == ipam.Attachment{}, func(m *plain.Members) { attachment(&v.Owner, m) })
	plain.Number(m, "Freed", &v.Freed, v.Freed == 0)
	plain.Number(m, "Until", &v.Until, v.Until == 0)
	plain.Number(m, "Fence", &v.Fence, v.Fence == 0)
	plain.Text(m, "Prefix", &v.Prefix, v.Prefix == netip.Prefix{})
}

func attachment(v *ipam.Attachment, m *plain.Members) {
	plain.String(m, "Network", &v.Network, false)
	plain.String(m, "Container", &v.Container, false)
	plain.String(m, "IfName", &v.IfName, false)
}

func (v *Lease) members(m *plain.Members) {
	attachment(&v.Attachment, m)
	plain.String(m, "Pool", &v.Pool, false)
	plain.List(m, "Addresses", &v.Addresses, false, plain.TextOf[netip.Addr])
	plain.List(m, "Gateways", &v.Gateways, len(v.Gateways) == 0, plain.TextOf[netip.Addr])
	plain.List(m, "Prefixes", &v.Prefixes, len(v.Prefixes) == 0, plain.TextOf[netip.Prefix])
	plain.String(m, "ENIID", &v.ENIID, false)
	plain.String(m, "Netns", &v.Netns, v.Netns == "")
	plain.String(m, "Pod", &v.Pod, v.Pod == "")
	plain.Number(m, "At", &v.At, false)
	plain.Text(m, "Wall", &v.Wall, false)
	plain.Number(m, "Users", &v.Users, v.Users == 0)
}

func (v *delegated) members(m *plain.Members) {
	plain.String(m, "ENI", &v.ENI, false)
	plain.Text(m, "Prefix", &v.Prefix, false)
	plain.Bool(m, "Listed", &v.Listed, false)
	plain.Object(m, "Counts", false, v.Counts.members)
	plain.Number(m, "Kept", &v.Kept, false)
}

func edge(v *ipam.Record, m *plain.Members) {
	plain.Number(m, "n", &v.N, false)
	plain.Text(m, "at", &v.At, false)
	plain.String(m, "boot", &v.Boot, false)
	plain.String(m, "verb", &v.Verb, false)
	plain.String(m, "network", &v.Network, v.Network == "")
	plain.String(m, "container", &v.Container, v.Container == "")
	plain.String(m, "ifname", &v.IfName, v.IfName == "")
	plain.String(m, "netns", &v.Netns, v.Netns == "")
	plain.List(m, "address", &v.Address, len(v.Address) == 0, plain.TextOf[netip.Addr])
	plain.String(m, "eni", &v.ENI, v.ENI == "")
	plain.String(m, "pod", &v.Pod, v.Pod == "")
	plain.Number(m, "took", &v.Took, v.Took == 0)
	plain.String(m, "cause", &v.Cause, v.Cause == "")
}

func (v *Mute) members(m *plain.Members) {
	plain.Text(m, "Since", &v.Since, false)
	plain.String(m, "Bus", &v.Bus, false)
}

func (v *Hold) members(m *plain.Members) {
	plain.Number(m, "S0", &v.S0, false)
	plain.Number(m, "Until", &v.Until, false)
	plain.Number(m, "S1", &v.S1, false)
}

func why(v *ipam.Why, m *plain.Members) {
	plain.String(m, "code", &v.Code, false)
	plain.String(m, "text", &v.Text, false)
	plain.String(m, "subnet", &v.Subnet, v.Subnet == "")
	plain.Text(m, "since", &v.Since, false)
	plain.Number(m, "retryIn", &v.RetryIn, v.RetryIn == 0)
}

func (v *Bridge) members(m *plain.Members) {
	plain.Text(m, "Prefix", &v.Prefix, false)
	plain.String(m, "Network", &v.Network, false)
	plain.Number(m, "Users", &v.Users, false)
}

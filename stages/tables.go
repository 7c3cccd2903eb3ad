package stages

import (
	"net"

	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"

	"github.com/enichain/enichain/chain/contract"
	"github.com/enichain/enichain/chain/plain"
)

// flightTable is that of a line of the record (see package plain).
func flightTable(f *Flight) plain.Table {
	return func(m *plain.Members) {
		plain.String(m, "t", &f.T, false)
		plain.String(m, "stage", &f.Stage, false)
		plain.String(m, "cmd", &f.Command, false)
		plain.String(m, "net", &f.Network, f.Network == "")
		plain.String(m, "ctr", &f.Container, f.Container == "")
		plain.String(m, "if", &f.IfName, f.IfName == "")
		plain.String(m, "pod", &f.Pod, f.Pod == "")
		plain.Number(m, "took_us", &f.Took, false)
		plain.Number(m, "lock_us", &f.Lock, false)
		plain.Number(m, "wait_us", &f.Wait, f.Wait == 0)
		plain.String(m, "token", &f.Token, f.Token == "")
		plain.String(m, "trace", &f.Trace, f.Trace == "")
	}
}

// versionTable is that of the answer to VERSION.
func versionTable(asked string, c contract.Contract) plain.Table {
	return func(m *plain.Members) {
		release, supported := Release, Versions()
		plain.String(m, "cniVersion", &asked, false)
		plain.Object(m, contract.Key, false, contractTable(&c))
		plain.String(m, ReleaseKey, &release, false)
		plain.List(m, "supportedVersions", &supported, false, plain.StringOf)
	}
}

// contractTable is that of a declaration.
func contractTable(c *contract.Contract) plain.Table {
	return func(m *plain.Members) {
		plain.Number(m, "v", &c.V, false)
		plain.String(m, "previous", &c.Previous, c.Previous == "")
		stated(m, "requires", &c.Requires)
		stated(m, "adds", &c.Adds)
		stated(m, "exclusive", &c.Exclusive)
		stated(m, "capabilities", &c.Capabilities)
		plain.String(m, "delegates", &c.Delegates, c.Delegates == "")
		listed(m, "changes", &c.Changes)
		listed(m, "checks", &c.Checks)
		listed(m, "delFails", &c.DelFails)
		listed(m, "delForgets", &c.DelForgets)
		listed(m, "verbs", &c.Verbs)
		listed(m, "kernel", &c.Kernel)
		plain.Map(m, "notUnder", &c.NotUnder, len(c.NotUnder) == 0, plain.StringOf)
		plain.Map(m, "keys", &c.Keys, false, plain.StringOf)
		plain.Map(m, "stages", &c.Stages, len(c.Stages) == 0, func(m *plain.Members, c *contract.Contract) {
			plain.ObjectOf(m, contractTable(c))
		})
	}
}

// stated is a list that may not be left out: null says nothing, so that of no items is [].
func stated[S ~string](m *plain.Members, name string, v *[]S) {
	all := *v
	if all == nil {
		all = []S{}
	}
	plain.List(m, name, &all, false, plain.StringOf)
	*v = all
}

// listed is a list that is left out where it is empty.
func listed[S ~string](m *plain.Members, name string, v *[]S) {
	plain.List(m, name, v, len(*v) == 0, plain.StringOf)
}

// resultTable is that of a result of CNI 1.x (see package plain). encoding/json makes the same of it, with a plan of a dozen
// types.
func resultTable(r *Result) plain.Table {
	return func(m *plain.Members) {
		plain.String(m, "cniVersion", &r.CNIVersion, r.CNIVersion == "")
		plain.List(m, "interfaces", &r.Interfaces, len(r.Interfaces) == 0, interfaceOf)
		plain.List(m, "ips", &r.IPs, len(r.IPs) == 0, ipOf)
		plain.List(m, "routes", &r.Routes, len(r.Routes) == 0, routeOf)
		plain.Object(m, "dns", r.DNS.IsEmpty(), func(m *plain.Members) {
			plain.List(m, "nameservers", &r.DNS.Nameservers, len(r.DNS.Nameservers) == 0, plain.StringOf)
			plain.String(m, "domain", &r.DNS.Domain, r.DNS.Domain == "")
			plain.List(m, "search", &r.DNS.Search, len(r.DNS.Search) == 0, plain.StringOf)
			plain.List(m, "options", &r.DNS.Options, len(r.DNS.Options) == 0, plain.StringOf)
		})
	}
}

func interfaceOf(m *plain.Members, at **types100.Interface) {
	v := made(at)
	plain.ObjectOf(m, func(m *plain.Members) {
		plain.String(m, "name", &v.Name, false)
		plain.String(m, "mac", &v.Mac, v.Mac == "")
		plain.Number(m, "mtu", &v.Mtu, v.Mtu == 0)
		plain.String(m, "sandbox", &v.Sandbox, v.Sandbox == "")
		plain.String(m, "socketPath", &v.SocketPath, v.SocketPath == "")
		plain.String(m, "pciID", &v.PciID, v.PciID == "")
	})
}

func ipOf(m *plain.Members, at **types100.IPConfig) {
	v := made(at)
	plain.ObjectOf(m, func(m *plain.Members) {
		plain.Optional(m, "interface", &v.Interface, plain.NumberOf)
		plain.Text(m, "address", (*cidr)(&v.Address), false)
		plain.Text(m, "gateway", &v.Gateway, len(v.Gateway) == 0)
	})
}

func routeOf(m *plain.Members, at **types.Route) {
	v := made(at)
	plain.ObjectOf(m, func(m *plain.Members) {
		plain.Text(m, "dst", (*cidr)(&v.Dst), false)
		plain.Text(m, "gw", &v.GW, len(v.GW) == 0)
		plain.Number(m, "mtu", &v.MTU, v.MTU == 0)
		plain.Number(m, "advmss", &v.AdvMSS, v.AdvMSS == 0)
		plain.Number(m, "priority", &v.Priority, v.Priority == 0)
		plain.Optional(m, "table", &v.Table, plain.NumberOf)
		plain.Optional(m, "scope", &v.Scope, plain.NumberOf)
	})
}

// made is what a pointer in a list points to; one that is read is made first.
func made[T any](at **T) *T {
	if *at == nil {
		*at = new(T)
	}
	return *at
}

// cidr is an address with the length of its network's prefix.
type cidr net.IPNet

func (c *cidr) MarshalText() ([]byte, error) { return []byte((*net.IPNet)(c).String()), nil }

func (c *cidr) UnmarshalText(text []byte) error {
	n, err := types.ParseCIDR(string(text))
	if err == nil {
		*c = cidr(*n)
	}
	return err
}

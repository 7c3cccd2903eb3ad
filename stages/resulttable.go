package stages

import (
	"net"

	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"

	"github.com/enichain/enichain/chain/plain"
)

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

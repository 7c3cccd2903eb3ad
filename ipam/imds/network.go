package imds

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/enichain/enichain/ipam"
)

// Interface is one network interface as the metadata service shows it. It lags behind EC2 by seconds, and has been
// seen stuck for good: its presence proves nothing, its absence is a reason to look.
type Interface struct {
	MAC       string // lower case, colons
	ENI       ipam.ENIID
	Addresses []netip.Addr   // of both families, the primary IPv4 one first
	Prefixes  []netip.Prefix // delegated ones, of both families
}

// Place is an Interface and where it stands.
type Place struct {
	Interface
	Device  int // device index, from 0 on each network card
	Card    int
	Subnet  ipam.SubnetID
	CIDR    netip.Prefix   // the subnet's; zero in one of IPv6 alone
	CIDR6   netip.Prefix   // zero without IPv6
	VPC     []netip.Prefix // the VPC's networks, of both families
	Primary netip.Addr     // of IPv4; zero without
	First6  netip.Addr     // the first of its IPv6 addresses; zero without
}

const macs = "network/interfaces/macs/"

// Interfaces lists the network interfaces that the metadata service shows, in its order, with their addresses. For
// alarms only.
func (c *Client) Interfaces(ctx context.Context) ([]Interface, error) {
	return folders(ctx, c, c.network)
}

// Places lists them with where they stand: for nodes whose addresses nobody but the metadata service tells of.
func (c *Client) Places(ctx context.Context) ([]Place, error) {
	return folders(ctx, c, c.place)
}

// folders reads the folder of every interface; all of them, or an error.
func folders[T any](ctx context.Context, c *Client, read func(ctx context.Context, name string) (T, error)) ([]T, error) {
	listing, err := c.metadata(ctx, macs)
	if err != nil {
		return nil, err
	}
	var found []T
	for _, line := range strings.Fields(listing) {
		name := strings.TrimSuffix(line, "/") // both forms occur
		if !mac.MatchString(strings.ToLower(name)) {
			return nil, fmt.Errorf("cannot use the metadata service's %s: %q is not a MAC address", metadataPath(macs), clip(name))
		}
		one, err := read(ctx, name)
		if err != nil {
			return nil, err
		}
		found = append(found, one)
	}
	return found, nil
}

// network reads one interface's folder. Items of a family that it has not do not exist.
func (c *Client) network(ctx context.Context, name string) (Interface, error) {
	one := Interface{MAC: strings.ToLower(name)}
	eni, err := c.metadata(ctx, macs+name+"/interface-id")
	if err != nil {
		return one, err
	}
	one.ENI = ipam.ENIID(eni)
	for _, item := range []string{"local-ipv4s", "ipv6s"} {
		found, err := lines(ctx, c, macs+name+"/"+item, netip.ParseAddr)
		if err != nil {
			return one, err
		}
		one.Addresses = append(one.Addresses, found...)
	}
	for _, item := range []string{"ipv4-prefix", "ipv6-prefix"} {
		found, err := lines(ctx, c, macs+name+"/"+item, netip.ParsePrefix)
		if err != nil {
			return one, err
		}
		one.Prefixes = append(one.Prefixes, found...)
	}
	return one, nil
}

// place reads the rest of the folder.
func (c *Client) place(ctx context.Context, name string) (p Place, err error) {
	if p.Interface, err = c.network(ctx, name); err != nil {
		return p, err
	}
	for _, a := range p.Addresses {
		switch {
		case a.Is4() && !p.Primary.IsValid():
			p.Primary = a
		case a.Is6() && !p.First6.IsValid():
			p.First6 = a
		}
	}
	numbers := []struct {
		item string
		into *int
	}{{"device-number", &p.Device}, {"network-card", &p.Card}}
	for _, n := range numbers {
		found, err := lines(ctx, c, macs+name+"/"+n.item, strconv.Atoi)
		if err != nil {
			return p, err
		}
		if len(found) > 0 {
			*n.into = found[0]
		}
	}
	subnet, err := c.metadata(ctx, macs+name+"/subnet-id")
	if err != nil {
		return p, err
	}
	p.Subnet = ipam.SubnetID(subnet)
	for _, item := range []string{"subnet-ipv4-cidr-block", "subnet-ipv6-cidr-blocks", "vpc-ipv4-cidr-blocks", "vpc-ipv6-cidr-blocks"} {
		found, err := lines(ctx, c, macs+name+"/"+item, netip.ParsePrefix)
		if err != nil {
			return p, err
		}
		switch {
		case strings.HasPrefix(item, "vpc-"):
			p.VPC = append(p.VPC, found...)
		case len(found) == 0:
		case found[0].Addr().Is4():
			p.CIDR = found[0]
		default:
			p.CIDR6 = found[0]
		}
	}
	return p, nil
}

// lines reads an item of several; one that does not exist has none.
func lines[T any](ctx context.Context, c *Client, path string, parse func(string) (T, error)) ([]T, error) {
	text, err := c.metadata(ctx, path)
	var status interface{ HTTPStatusCode() int }
	if errors.As(err, &status) && status.HTTPStatusCode() == 404 {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []T
	for _, line := range strings.Fields(text) {
		one, err := parse(line)
		if err != nil {
			return nil, fmt.Errorf("cannot use the metadata service's %s: %w", metadataPath(path), err)
		}
		all = append(all, one)
	}
	return all, nil
}

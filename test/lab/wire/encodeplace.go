package wire

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/enichain/enichain/test/lab/vpc"
)

// reservation writes one instance: the lab makes one reservation for each.
func (p *printer) reservation(v vpc.InstanceView) {
	p.text("reservationId", "r-"+strings.TrimPrefix(v.Instance.ID, "i-"))
	p.text("ownerId", p.account)
	p.in("groupSet", func() {})
	p.in("instancesSet", func() {
		p.in("item", func() { p.instance(v) })
	})
}

func (p *printer) instance(v vpc.InstanceView) {
	i := v.Instance
	p.text("instanceId", i.ID)
	p.text("imageId", "ami-00000000000000000")
	p.in("instanceState", func() { p.state(i.State) })
	p.number("amiLaunchIndex", 0)
	p.text("instanceType", i.Type)
	p.time("launchTime", i.Launched)
	p.in("placement", func() {
		p.text("availabilityZone", i.Zone)
		p.text("tenancy", "default")
	})
	p.in("monitoring", func() { p.text("state", "disabled") })
	if i.State != vpc.Terminated {
		p.text("subnetId", i.Subnet)
		p.text("vpcId", i.VPC)
	}
	if len(v.NetworkInterfaces) > 0 {
		first := v.NetworkInterfaces[0]
		p.text("privateIpAddress", first.Primary.String())
		p.text("privateDnsName", p.hostname(first.Primary))
		p.truth("sourceDestCheck", first.SourceDestCheck)
		p.groups(first.Groups, v.Groups)
	}
	p.text("architecture", v.Type.Architecture())
	p.text("rootDeviceType", "ebs")
	p.text("virtualizationType", "hvm")
	p.text("hypervisor", "xen") // what EC2 says here of Nitro too
	p.truth("enaSupport", v.Type.Prefixes())
	list(p.document, "networkInterfaceSet", v.NetworkInterfaces, func(n vpc.NetworkInterface) {
		p.instanceInterface(n, v.Groups)
	})
	p.tags(i.Tags)
	p.in("metadataOptions", func() {
		p.text("state", "applied")
		p.text("httpTokens", "required")
		p.number("httpPutResponseHopLimit", 1)
		p.text("httpEndpoint", "enabled")
	})
}

func (p *printer) instanceInterface(n vpc.NetworkInterface, groups map[string]string) {
	p.text("networkInterfaceId", n.ID)
	p.text("subnetId", n.Subnet)
	p.text("vpcId", n.VPC)
	p.text("description", n.Description)
	p.text("ownerId", p.account)
	p.text("status", n.Status())
	p.text("macAddress", n.MAC)
	p.text("privateIpAddress", n.Primary.String())
	p.text("privateDnsName", p.hostname(n.Primary))
	p.truth("sourceDestCheck", n.SourceDestCheck)
	p.groups(n.Groups, groups)
	p.in("attachment", func() { p.attachment(n.Attachment, false) })
	p.addresses(n, false)
	p.text("interfaceType", n.Type)
}

func (p *printer) instanceType(t vpc.InstanceType) {
	p.text("instanceType", t.Name)
	p.truth("currentGeneration", t.Prefixes())
	p.truth("bareMetal", t.Hypervisor == "")
	p.some("hypervisor", t.Hypervisor)
	p.in("processorInfo", func() {
		p.in("supportedArchitectures", func() { p.text("item", t.Architecture()) })
	})
	p.in("vCpuInfo", func() { p.number("defaultVCpus", t.VCPUs) })
	p.in("memoryInfo", func() { p.number("sizeInMiB", t.MemoryMiB) })
	p.in("networkInfo", func() {
		p.text("networkPerformance", t.Performance)
		p.number("maximumNetworkInterfaces", t.Interfaces)
		p.number("maximumNetworkCards", len(t.InterfacesPerCard))
		p.number("defaultNetworkCardIndex", 0)
		p.in("networkCards", func() {
			for card, most := range t.InterfacesPerCard {
				p.in("item", func() {
					p.number("networkCardIndex", card)
					p.text("networkPerformance", t.Performance)
					p.number("maximumNetworkInterfaces", most)
				})
			}
		})
		p.number("ipv4AddressesPerInterface", t.IPv4PerInterface)
		p.number("ipv6AddressesPerInterface", t.IPv6PerInterface)
		p.truth("ipv6Supported", true)
		if t.Prefixes() {
			p.text("enaSupport", "required")
		} else {
			p.text("enaSupport", "unsupported")
		}
		p.truth("efaSupported", false)
	})
}

func (p *printer) subnet(s vpc.SubnetView) {
	p.text("subnetId", s.ID)
	p.text("subnetArn", fmt.Sprintf("arn:aws:ec2:%s:%s:subnet/%s", p.region, p.account, s.ID))
	p.text("state", "available")
	p.text("vpcId", s.VPC)
	p.text("ownerId", p.account)
	p.text("cidrBlock", s.CIDR.String())
	list(p.document, "ipv6CidrBlockAssociationSet", valid(s.IPv6), func(x netip.Prefix) {
		p.text("associationId", "subnet-cidr-assoc-"+strings.TrimPrefix(s.ID, "subnet-"))
		p.text("ipv6CidrBlock", x.String())
		p.in("ipv6CidrBlockState", func() { p.text("state", "associated") })
	})
	p.number("availableIpAddressCount", s.Free)
	p.text("availabilityZone", s.Zone)
	p.text("availabilityZoneId", vpc.ZoneID(s.Zone))
	p.truth("defaultForAz", false)
	p.truth("mapPublicIpOnLaunch", false)
	p.truth("assignIpv6AddressOnCreation", false)
	p.truth("enableDns64", false)
	p.truth("ipv6Native", false)
	p.tags(s.Tags)
}

func valid(p netip.Prefix) []netip.Prefix {
	if p.IsValid() {
		return []netip.Prefix{p}
	}
	return nil
}

func (p *printer) vpc(v vpc.VPC) {
	suffix := strings.TrimPrefix(v.ID, "vpc-")
	p.text("vpcId", v.ID)
	p.text("ownerId", p.account)
	p.text("state", "available")
	p.text("cidrBlock", v.CIDRs[0].String())
	p.in("cidrBlockAssociationSet", func() {
		for i, c := range v.CIDRs {
			p.in("item", func() {
				p.text("associationId", fmt.Sprintf("vpc-cidr-assoc-%s%d", suffix, i))
				p.text("cidrBlock", c.String())
				p.in("cidrBlockState", func() { p.text("state", "associated") })
			})
		}
	})
	list(p.document, "ipv6CidrBlockAssociationSet", valid(v.IPv6), func(x netip.Prefix) {
		p.text("associationId", "vpc-cidr-assoc-"+suffix+"6")
		p.text("ipv6CidrBlock", x.String())
		p.in("ipv6CidrBlockState", func() { p.text("state", "associated") })
		p.text("ipv6Pool", "Amazon")
	})
	p.text("dhcpOptionsId", "dopt-"+suffix)
	p.text("instanceTenancy", "default")
	p.truth("isDefault", false)
	p.tags(v.Tags)
}

// securityGroup shows rules that allow everything: the lab's router does not filter.
func (p *printer) securityGroup(g vpc.SecurityGroup) {
	p.text("ownerId", p.account)
	p.text("groupId", g.ID)
	p.text("groupName", g.Name)
	p.text("groupDescription", g.Description)
	p.text("vpcId", g.VPC)
	for _, direction := range []string{"ipPermissions", "ipPermissionsEgress"} {
		list(p.document, direction, []string{"0.0.0.0/0"}, func(any string) {
			p.text("ipProtocol", "-1")
			p.in("groups", func() {})
			list(p.document, "ipRanges", []string{any}, func(r string) { p.text("cidrIp", r) })
			p.in("ipv6Ranges", func() {})
			p.in("prefixListIds", func() {})
		})
	}
	p.tags(g.Tags)
}

func (p *printer) zone(z vpc.Zone) {
	p.text("zoneName", z.Name)
	p.text("zoneState", "available")
	p.text("regionName", p.region)
	p.in("messageSet", func() {})
	p.text("zoneId", z.ID)
	p.text("groupName", p.region)
	p.text("networkBorderGroup", p.region)
	p.text("zoneType", "availability-zone")
	p.text("optInStatus", "opt-in-not-required")
}

func (p *printer) routeTable(t vpc.RouteTable) {
	p.text("routeTableId", t.ID)
	p.text("vpcId", t.VPC)
	p.text("ownerId", p.account)
	p.in("associationSet", func() {
		p.in("item", func() {
			p.text("routeTableAssociationId", "rtbassoc-"+strings.TrimPrefix(t.ID, "rtb-"))
			p.text("routeTableId", t.ID)
			p.truth("main", true)
			p.in("associationState", func() { p.text("state", "associated") })
		})
	})
	p.in("propagatingVgwSet", func() {})
	p.in("routeSet", func() {
		for _, local := range t.Local {
			p.in("item", func() { p.route(local, "local", "CreateRouteTable") })
		}
		for _, rest := range t.Defaults() {
			p.in("item", func() { p.route(rest, t.Gateway, "CreateRoute") })
		}
	})
	p.tags(t.Tags)
}

func (p *printer) route(to netip.Prefix, gateway, origin string) {
	if to.Addr().Is4() {
		p.text("destinationCidrBlock", to.String())
	} else {
		p.text("destinationIpv6CidrBlock", to.String())
	}
	p.text("gatewayId", gateway)
	p.text("state", "active")
	p.text("origin", origin)
}

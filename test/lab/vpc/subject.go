package vpc

import (
	"fmt"
	"strings"
)

// subject says in a few words what a call was about.
func subject(request Request, output Output) string {
	switch r := request.(type) {
	case CreateNetworkInterface:
		if o, ok := output.(CreateNetworkInterfaceOutput); ok {
			return o.NetworkInterface.ID + " " + amount(o.NetworkInterface)
		}
		return r.SubnetID
	case AttachNetworkInterface:
		return fmt.Sprintf("%s → %s #%d", r.ID, r.InstanceID, r.Device)
	case AssignPrivateIpAddresses:
		if o, ok := output.(AssignPrivateIpAddressesOutput); ok {
			return r.ID + " " + plural(len(o.Addresses), "address", "addresses") + also(len(o.Prefixes))
		}
		return r.ID
	case UnassignPrivateIpAddresses:
		return r.ID + " " + plural(len(r.Addresses), "address", "addresses") + also(len(r.Prefixes))
	case DetachNetworkInterface:
		return r.AttachmentID
	case DeleteNetworkInterface:
		return r.ID
	case ModifyNetworkInterfaceAttribute:
		return r.ID
	case AssignIpv6Addresses:
		return r.ID
	case UnassignIpv6Addresses:
		return r.ID
	case TerminateInstances:
		return strings.Join(r.IDs, " ")
	case StopInstances:
		return strings.Join(r.IDs, " ")
	case StartInstances:
		return strings.Join(r.IDs, " ")
	case RebootInstances:
		return strings.Join(r.IDs, " ")
	case ModifyInstanceAttribute:
		return r.ID
	case CreateTags:
		return strings.Join(r.Resources, " ")
	case DeleteTags:
		return strings.Join(r.Resources, " ")
	case DescribeNetworkInterfaces:
		if o, ok := output.(DescribeNetworkInterfacesOutput); ok {
			return plural(len(o.NetworkInterfaces), "interface", "interfaces")
		}
	}
	return ""
}

func amount(n NetworkInterface) string {
	return plural(len(n.Secondary), "address", "addresses") + also(len(n.Prefixes))
}

func also(prefixes int) string {
	if prefixes == 0 {
		return ""
	}
	return " " + plural(prefixes, "prefix", "prefixes")
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

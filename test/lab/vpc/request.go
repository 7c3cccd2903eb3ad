package vpc

import "net/netip"

// Request is one EC2 action with its parameters. The set is closed: the types below. The tags name a member on the wire
// (EC2 Query, version 2016-11-15); package wire fills the structs by them.
type Request interface {
	Action() string
	call(w *World, c *call) (Output, *Error)
}

// Output is the answer's content; which type belongs to which Request is said there. Requests without a modelled
// output answer Done.
type Output any

// Done is the answer of an action that returns nothing but success.
type Done struct{}

// Dry asks whether the call would be allowed: it is then refused with DryRunOperation and changes nothing.
type Dry struct {
	DryRun bool `query:"DryRun"`
}

// Page asks for a part of a list. MaxResults zero is no paging; NextToken comes from the page before.
type Page struct {
	MaxResults int    `query:"MaxResults,positive"`
	NextToken  string `query:"NextToken"`
}

// Filter keeps what has one of the values in the named property; * and ? stand for any text and any character.
type Filter struct {
	Name   string   `query:"Name"`
	Values []string `query:"Value"`
}

// Tag is a name and a value on a resource.
type Tag struct {
	Key   string `query:"Key"`
	Value string `query:"Value"`
}

// TagSpecification is the tags that a new resource is made with.
type TagSpecification struct {
	ResourceType string `query:"ResourceType"`
	Tags         []Tag  `query:"Tag"`
}

// PrivateIP is an address wanted at creation.
type PrivateIP struct {
	Address netip.Addr `query:"PrivateIpAddress"`
	Primary bool       `query:"Primary"`
}

// CreateNetworkInterface answers CreateNetworkInterfaceOutput.
type CreateNetworkInterface struct {
	Dry
	SubnetID         string             `query:"SubnetId,required"`
	Description      string             `query:"Description"`
	Groups           []string           `query:"SecurityGroupId"`
	InterfaceType    string             `query:"InterfaceType"`
	Primary          netip.Addr         `query:"PrivateIpAddress"`
	Addresses        []PrivateIP        `query:"PrivateIpAddresses"`
	SecondaryCount   int                `query:"SecondaryPrivateIpAddressCount"`
	Prefixes         []Prefix4          `query:"Ipv4Prefix"`
	PrefixCount      int                `query:"Ipv4PrefixCount"`
	IPv6             []IPv6Address      `query:"Ipv6Addresses"`
	IPv6Count        int                `query:"Ipv6AddressCount"`
	IPv6Prefixes     []Prefix6          `query:"Ipv6Prefix"`
	IPv6PrefixCount  int                `query:"Ipv6PrefixCount"`
	TagSpecification []TagSpecification `query:"TagSpecification"`
	ClientToken      string             `query:"ClientToken"`
}

// Prefix4, Prefix6 and IPv6Address are structures of one member in CreateNetworkInterface, as EC2 has it.
type (
	Prefix4 struct {
		Prefix netip.Prefix `query:"Ipv4Prefix"`
	}
	Prefix6 struct {
		Prefix netip.Prefix `query:"Ipv6Prefix"`
	}
	IPv6Address struct {
		Address netip.Addr `query:"Ipv6Address"`
	}
)

// DeleteNetworkInterface answers Done. The interface must be detached.
type DeleteNetworkInterface struct {
	Dry
	ID string `query:"NetworkInterfaceId,required"`
}

// AttachNetworkInterface answers AttachNetworkInterfaceOutput.
type AttachNetworkInterface struct {
	Dry
	ID         string `query:"NetworkInterfaceId,required"`
	InstanceID string `query:"InstanceId,required"`
	Device     int    `query:"DeviceIndex,required"`
	Card       int    `query:"NetworkCardIndex"`
}

// DetachNetworkInterface answers Done.
type DetachNetworkInterface struct {
	Dry
	AttachmentID string `query:"AttachmentId,required"`
	Force        bool   `query:"Force"`
}

// AssignPrivateIpAddresses answers AssignPrivateIpAddressesOutput. It knows neither DryRun nor ClientToken.
type AssignPrivateIpAddresses struct {
	ID                string         `query:"NetworkInterfaceId,required"`
	Addresses         []netip.Addr   `query:"PrivateIpAddress"`
	Count             int            `query:"SecondaryPrivateIpAddressCount,positive"`
	Prefixes          []netip.Prefix `query:"Ipv4Prefix"`
	PrefixCount       int            `query:"Ipv4PrefixCount,positive"`
	AllowReassignment bool           `query:"AllowReassignment"`
}

// UnassignPrivateIpAddresses answers Done.
type UnassignPrivateIpAddresses struct {
	ID        string         `query:"NetworkInterfaceId,required"`
	Addresses []netip.Addr   `query:"PrivateIpAddress"`
	Prefixes  []netip.Prefix `query:"Ipv4Prefix"`
}

// AssignIpv6Addresses answers AssignIpv6AddressesOutput.
type AssignIpv6Addresses struct {
	ID          string         `query:"NetworkInterfaceId,required"`
	Addresses   []netip.Addr   `query:"Ipv6Addresses"`
	Count       int            `query:"Ipv6AddressCount,positive"`
	Prefixes    []netip.Prefix `query:"Ipv6Prefix"`
	PrefixCount int            `query:"Ipv6PrefixCount,positive"`
}

// UnassignIpv6Addresses answers UnassignIpv6AddressesOutput.
type UnassignIpv6Addresses struct {
	ID        string         `query:"NetworkInterfaceId,required"`
	Addresses []netip.Addr   `query:"Ipv6Addresses"`
	Prefixes  []netip.Prefix `query:"Ipv6Prefix"`
}

// ModifyNetworkInterfaceAttribute answers Done. Exactly one attribute goes into a call.
type ModifyNetworkInterfaceAttribute struct {
	Dry
	ID              string             `query:"NetworkInterfaceId,required"`
	Attachment      *AttachmentChanges `query:"Attachment"`
	Description     *StringValue       `query:"Description"`
	Groups          []string           `query:"SecurityGroupId"` // replaces the set
	SourceDestCheck *BoolValue         `query:"SourceDestCheck"`
}

// AttachmentChanges is the attribute attachment.
type AttachmentChanges struct {
	AttachmentID        string `query:"AttachmentId"`
	DeleteOnTermination *bool  `query:"DeleteOnTermination"`
}

// StringValue and BoolValue are EC2's AttributeValue and AttributeBooleanValue.
type (
	StringValue struct {
		Value string `query:"Value"`
	}
	BoolValue struct {
		Value bool `query:"Value"`
	}
)

// DescribeNetworkInterfaceAttribute answers DescribeNetworkInterfaceAttributeOutput.
type DescribeNetworkInterfaceAttribute struct {
	Dry
	ID        string `query:"NetworkInterfaceId,required"`
	Attribute string `query:"Attribute"`
}

// CreateTags answers Done.
type CreateTags struct {
	Dry
	Resources []string `query:"ResourceId,required"`
	Tags      []Tag    `query:"Tag,required"`
}

// DeleteTags answers Done. Without tags it takes all of the resources' tags away.
type DeleteTags struct {
	Dry
	Resources []string  `query:"ResourceId,required"`
	Tags      []TagGone `query:"Tag"`
}

// TagGone is a tag to take away: by its name alone, or only if it has the value.
type TagGone struct {
	Key   string  `query:"Key"`
	Value *string `query:"Value"`
}

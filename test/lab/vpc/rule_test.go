package vpc_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/enichain/enichain/test/lab/vpc"
)

// rule is a call that EC2 refuses, and with which code.
type rule struct {
	name string
	call func(l *lab) vpc.Request
	want string
}

func testRules(t *testing.T, rules []rule) {
	t.Helper()
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			l := newLab(t, vpc.Config{})
			request := r.call(l)
			if got := l.refused(request); got != r.want {
				t.Errorf("%s was answered %q, want %q", request.Action(), got, r.want)
			}
		})
	}
}

func TestCreateRules(t *testing.T) {
	addr := netip.MustParseAddr
	testRules(t, []rule{
		{"no subnet", func(l *lab) vpc.Request { return vpc.CreateNetworkInterface{} }, "MissingParameter"},
		{"unknown subnet", func(l *lab) vpc.Request {
			return vpc.CreateNetworkInterface{SubnetID: "subnet-1"}
		}, "InvalidSubnetID.NotFound"},
		{"unknown group", func(l *lab) vpc.Request {
			return vpc.CreateNetworkInterface{SubnetID: l.a.ID, Groups: []string{"sg-1"}}
		}, "InvalidGroup.NotFound"},
		{"malformed group", func(l *lab) vpc.Request {
			return vpc.CreateNetworkInterface{SubnetID: l.a.ID, Groups: []string{"pods"}}
		}, "InvalidGroupId.Malformed"},
		{"six groups", func(l *lab) vpc.Request {
			r := vpc.CreateNetworkInterface{SubnetID: l.a.ID}
			for n := range 6 {
				g := must(l.AddSecurityGroup(vpc.SecurityGroup{VPC: l.a.VPC, Name: fmt.Sprint(n)}))(l.t)
				r.Groups = append(r.Groups, g.ID)
			}
			return r
		}, "SecurityGroupsPerInterfaceLimitExceeded"},
		{"count and addresses", func(l *lab) vpc.Request {
			return vpc.CreateNetworkInterface{SubnetID: l.a.ID, SecondaryCount: 1, Addresses: []vpc.PrivateIP{
				{Address: addr("10.110.10.50"), Primary: true}, {Address: addr("10.110.10.51")}}}
		}, "InvalidParameterCombination"},
		{"count and prefix count", func(l *lab) vpc.Request {
			return vpc.CreateNetworkInterface{SubnetID: l.a.ID, SecondaryCount: 1, PrefixCount: 1}
		}, "InvalidParameterCombination"},
		{"two primaries", func(l *lab) vpc.Request {
			return vpc.CreateNetworkInterface{SubnetID: l.a.ID, Addresses: []vpc.PrivateIP{
				{Address: addr("10.110.10.50"), Primary: true}, {Address: addr("10.110.10.51"), Primary: true}}}
		}, "InvalidParameterCombination"},
		{"reserved address", func(l *lab) vpc.Request {
			return vpc.CreateNetworkInterface{SubnetID: l.a.ID, Primary: addr("10.110.10.3")}
		}, "InvalidParameterValue"},
		{"broadcast address", func(l *lab) vpc.Request {
			return vpc.CreateNetworkInterface{SubnetID: l.a.ID, Primary: addr("10.110.10.255")}
		}, "InvalidParameterValue"},
		{"outside of the subnet", func(l *lab) vpc.Request {
			return vpc.CreateNetworkInterface{SubnetID: l.a.ID, Primary: addr("10.110.20.50")}
		}, "InvalidParameterValue"},
		{"address in use", func(l *lab) vpc.Request {
			return vpc.CreateNetworkInterface{SubnetID: l.a.ID, Primary: l.eth0.Primary}
		}, "InvalidIPAddress.InUse"},
		{"more than any type holds", func(l *lab) vpc.Request {
			return vpc.CreateNetworkInterface{SubnetID: l.a.ID, SecondaryCount: 50}
		}, "PrivateIpAddressLimitExceeded"},
		{"more than the subnet has", func(l *lab) vpc.Request {
			return vpc.CreateNetworkInterface{SubnetID: l.tiny.ID, SecondaryCount: 11}
		}, "InsufficientFreeAddressesInSubnet"},
		{"prefix in a subnet too small", func(l *lab) vpc.Request {
			return vpc.CreateNetworkInterface{SubnetID: l.tiny.ID, PrefixCount: 1}
		}, "InvalidParameterValue"},
		{"prefix with the reserved addresses", func(l *lab) vpc.Request {
			return vpc.CreateNetworkInterface{SubnetID: l.a.ID, Prefixes: []vpc.Prefix4{{Prefix: prefixes("10.110.10.0/28")[0]}}}
		}, "InvalidParameterValue"},
		{"prefix not a /28", func(l *lab) vpc.Request {
			return vpc.CreateNetworkInterface{SubnetID: l.a.ID, Prefixes: []vpc.Prefix4{{Prefix: prefixes("10.110.10.16/27")[0]}}}
		}, "InvalidParameterValue"},
		{"prefix not aligned", func(l *lab) vpc.Request {
			return vpc.CreateNetworkInterface{SubnetID: l.a.ID, Prefixes: []vpc.Prefix4{{Prefix: netip.PrefixFrom(addr("10.110.10.24"), 28)}}}
		}, "InvalidParameterValue"},
		{"tags for another type", func(l *lab) vpc.Request {
			return vpc.CreateNetworkInterface{SubnetID: l.a.ID, TagSpecification: []vpc.TagSpecification{{ResourceType: "instance"}}}
		}, "InvalidParameterValue"},
		{"reserved tag", func(l *lab) vpc.Request {
			return vpc.CreateNetworkInterface{SubnetID: l.a.ID, TagSpecification: []vpc.TagSpecification{
				{ResourceType: "network-interface", Tags: []vpc.Tag{{Key: "aws:x", Value: "y"}}}}}
		}, "InvalidParameterValue"},
		{"51 tags", func(l *lab) vpc.Request {
			s := vpc.TagSpecification{ResourceType: "network-interface"}
			for n := range 51 {
				s.Tags = append(s.Tags, vpc.Tag{Key: fmt.Sprint(n)})
			}
			return vpc.CreateNetworkInterface{SubnetID: l.a.ID, TagSpecification: []vpc.TagSpecification{s}}
		}, "TagLimitExceeded"},
		{"unknown interface type", func(l *lab) vpc.Request {
			return vpc.CreateNetworkInterface{SubnetID: l.a.ID, InterfaceType: "fast"}
		}, "InvalidParameterValue"},
		{"long token", func(l *lab) vpc.Request {
			return vpc.CreateNetworkInterface{SubnetID: l.a.ID, ClientToken: strings.Repeat("x", 65)}
		}, "InvalidParameterValue"},
		{"IPv6 where there is none", func(l *lab) vpc.Request {
			return vpc.CreateNetworkInterface{SubnetID: l.b.ID, IPv6Count: 1}
		}, "InvalidParameterValue"},
		{"dry run", func(l *lab) vpc.Request {
			return vpc.CreateNetworkInterface{SubnetID: l.a.ID, Dry: vpc.Dry{DryRun: true}}
		}, "DryRunOperation"},
		{"dry run of nonsense", func(l *lab) vpc.Request {
			return vpc.CreateNetworkInterface{SubnetID: "subnet-1", Dry: vpc.Dry{DryRun: true}}
		}, "InvalidSubnetID.NotFound"},
	})
}

func TestAttachRules(t *testing.T) {
	testRules(t, []rule{
		{"unknown interface", func(l *lab) vpc.Request {
			return vpc.AttachNetworkInterface{ID: "eni-1", InstanceID: l.node.ID, Device: 1}
		}, "InvalidNetworkInterfaceID.NotFound"},
		{"malformed interface", func(l *lab) vpc.Request {
			return vpc.AttachNetworkInterface{ID: "eni-xyz", InstanceID: l.node.ID, Device: 1}
		}, "InvalidNetworkInterfaceId.Malformed"},
		{"unknown instance", func(l *lab) vpc.Request {
			return vpc.AttachNetworkInterface{ID: l.eni(vpc.CreateNetworkInterface{}).ID, InstanceID: "i-1", Device: 1}
		}, "InvalidInstanceID.NotFound"},
		{"terminated instance", func(l *lab) vpc.Request {
			n := l.eni(vpc.CreateNetworkInterface{})
			ok[vpc.TerminateInstancesOutput](l, vpc.TerminateInstances{IDs: []string{l.node.ID}})
			return vpc.AttachNetworkInterface{ID: n.ID, InstanceID: l.node.ID, Device: 1}
		}, "IncorrectInstanceState"},
		{"other zone", func(l *lab) vpc.Request {
			return vpc.AttachNetworkInterface{ID: l.eni(vpc.CreateNetworkInterface{SubnetID: l.b.ID}).ID, InstanceID: l.node.ID, Device: 1}
		}, "InvalidParameterCombination"},
		{"attached already", func(l *lab) vpc.Request {
			n := l.eni(vpc.CreateNetworkInterface{})
			l.attach(n.ID, 1)
			return vpc.AttachNetworkInterface{ID: n.ID, InstanceID: l.node.ID, Device: 2}
		}, "InvalidNetworkInterface.InUse"},
		{"index of the primary", func(l *lab) vpc.Request {
			return vpc.AttachNetworkInterface{ID: l.eni(vpc.CreateNetworkInterface{}).ID, InstanceID: l.node.ID}
		}, "InvalidParameterValue"},
		{"index taken", func(l *lab) vpc.Request {
			l.attach(l.eni(vpc.CreateNetworkInterface{}).ID, 1)
			return vpc.AttachNetworkInterface{ID: l.eni(vpc.CreateNetworkInterface{}).ID, InstanceID: l.node.ID, Device: 1}
		}, "InvalidParameterValue"},
		{"fourth of a t3.medium", func(l *lab) vpc.Request {
			l.attach(l.eni(vpc.CreateNetworkInterface{}).ID, 1)
			l.attach(l.eni(vpc.CreateNetworkInterface{}).ID, 2)
			return vpc.AttachNetworkInterface{ID: l.eni(vpc.CreateNetworkInterface{}).ID, InstanceID: l.node.ID, Device: 3}
		}, "AttachmentLimitExceeded"},
		{"card that is not there", func(l *lab) vpc.Request {
			return vpc.AttachNetworkInterface{ID: l.eni(vpc.CreateNetworkInterface{}).ID, InstanceID: l.node.ID, Device: 1, Card: 1}
		}, "InvalidParameterValue"},
		{"card that is full", func(l *lab) vpc.Request {
			for n := range 15 {
				ok[vpc.AttachNetworkInterfaceOutput](l, vpc.AttachNetworkInterface{
					ID: l.eni(vpc.CreateNetworkInterface{}).ID, InstanceID: l.big.ID, Device: n, Card: 2})
			}
			return vpc.AttachNetworkInterface{ID: l.eni(vpc.CreateNetworkInterface{}).ID, InstanceID: l.big.ID, Device: 15, Card: 2}
		}, "AttachmentLimitExceeded"},
		{"more addresses than the type holds", func(l *lab) vpc.Request {
			return vpc.AttachNetworkInterface{ID: l.eni(vpc.CreateNetworkInterface{SecondaryCount: 6}).ID, InstanceID: l.node.ID, Device: 1}
		}, "PrivateIpAddressLimitExceeded"},
		{"prefixes without Nitro", func(l *lab) vpc.Request {
			old, _ := l.launch("i-00000000000000003", "t2.medium", "old")
			return vpc.AttachNetworkInterface{ID: l.eni(vpc.CreateNetworkInterface{PrefixCount: 1}).ID, InstanceID: old.ID, Device: 1}
		}, "UnsupportedOperation"},
		{"negative index", func(l *lab) vpc.Request {
			return vpc.AttachNetworkInterface{ID: l.eni(vpc.CreateNetworkInterface{}).ID, InstanceID: l.node.ID, Device: -1}
		}, "InvalidParameterValue"},
	})
}

func TestDetachAndDeleteRules(t *testing.T) {
	testRules(t, []rule{
		{"primary", func(l *lab) vpc.Request {
			return vpc.DetachNetworkInterface{AttachmentID: l.eth0.Attachment.ID}
		}, "OperationNotPermitted"},
		{"unknown attachment", func(l *lab) vpc.Request {
			return vpc.DetachNetworkInterface{AttachmentID: "eni-attach-1"}
		}, "InvalidAttachmentID.NotFound"},
		{"malformed attachment", func(l *lab) vpc.Request {
			return vpc.DetachNetworkInterface{AttachmentID: "attach-1"}
		}, "InvalidNetworkInterfaceAttachmentId.Malformed"},
		{"detached already", func(l *lab) vpc.Request {
			id := l.attach(l.eni(vpc.CreateNetworkInterface{}).ID, 1)
			ok[vpc.Done](l, vpc.DetachNetworkInterface{AttachmentID: id})
			return vpc.DetachNetworkInterface{AttachmentID: id}
		}, "InvalidAttachmentID.NotFound"},
		{"delete attached", func(l *lab) vpc.Request {
			n := l.eni(vpc.CreateNetworkInterface{})
			l.attach(n.ID, 1)
			return vpc.DeleteNetworkInterface{ID: n.ID}
		}, "InvalidNetworkInterface.InUse"},
		{"delete primary", func(l *lab) vpc.Request {
			return vpc.DeleteNetworkInterface{ID: l.eth0.ID}
		}, "InvalidNetworkInterface.InUse"},
		{"delete twice", func(l *lab) vpc.Request {
			n := l.eni(vpc.CreateNetworkInterface{})
			ok[vpc.Done](l, vpc.DeleteNetworkInterface{ID: n.ID})
			return vpc.DeleteNetworkInterface{ID: n.ID}
		}, "InvalidNetworkInterfaceID.NotFound"},
	})
}

func TestAssignRules(t *testing.T) {
	assign := func(f func(l *lab) vpc.AssignPrivateIpAddresses) func(l *lab) vpc.Request {
		return func(l *lab) vpc.Request {
			r := f(l)
			if r.ID == "" {
				r.ID = l.eth0.ID
			}
			return r
		}
	}
	testRules(t, []rule{
		{"nothing", assign(func(l *lab) vpc.AssignPrivateIpAddresses {
			return vpc.AssignPrivateIpAddresses{}
		}), "MissingParameter"},
		{"count and addresses", assign(func(l *lab) vpc.AssignPrivateIpAddresses {
			return vpc.AssignPrivateIpAddresses{Count: 1, Addresses: addrs("10.110.10.50")}
		}), "InvalidParameterCombination"},
		{"negative", assign(func(l *lab) vpc.AssignPrivateIpAddresses {
			return vpc.AssignPrivateIpAddresses{Count: -1}
		}), "InvalidParameterValue"},
		{"over the type's limit", assign(func(l *lab) vpc.AssignPrivateIpAddresses {
			return vpc.AssignPrivateIpAddresses{Count: 6}
		}), "PrivateIpAddressLimitExceeded"},
		{"a prefix takes a slot", assign(func(l *lab) vpc.AssignPrivateIpAddresses {
			ok[vpc.AssignPrivateIpAddressesOutput](l, vpc.AssignPrivateIpAddresses{ID: l.eth0.ID, PrefixCount: 5})
			return vpc.AssignPrivateIpAddresses{Count: 1}
		}), "PrivateIpAddressLimitExceeded"},
		{"reserved", assign(func(l *lab) vpc.AssignPrivateIpAddresses {
			return vpc.AssignPrivateIpAddresses{Addresses: addrs("10.110.10.1")}
		}), "InvalidParameterValue"},
		{"somebody else's", assign(func(l *lab) vpc.AssignPrivateIpAddresses {
			return vpc.AssignPrivateIpAddresses{Addresses: []netip.Addr{l.eni(vpc.CreateNetworkInterface{}).Primary}}
		}), "Resource.AlreadyAssigned"},
		{"somebody else's primary by force", assign(func(l *lab) vpc.AssignPrivateIpAddresses {
			return vpc.AssignPrivateIpAddresses{Addresses: []netip.Addr{l.eni(vpc.CreateNetworkInterface{}).Primary}, AllowReassignment: true}
		}), "Resource.AlreadyAssigned"},
		{"inside of somebody's prefix", assign(func(l *lab) vpc.AssignPrivateIpAddresses {
			l.eni(vpc.CreateNetworkInterface{Prefixes: []vpc.Prefix4{{Prefix: prefixes("10.110.10.64/28")[0]}}})
			return vpc.AssignPrivateIpAddresses{Addresses: addrs("10.110.10.70")}
		}), "Resource.AlreadyAssigned"},
		{"prefix over an address", assign(func(l *lab) vpc.AssignPrivateIpAddresses {
			l.eni(vpc.CreateNetworkInterface{Primary: netip.MustParseAddr("10.110.10.70")})
			return vpc.AssignPrivateIpAddresses{Prefixes: prefixes("10.110.10.64/28")}
		}), "InsufficientCidrBlocks"},
		{"twice the same", assign(func(l *lab) vpc.AssignPrivateIpAddresses {
			return vpc.AssignPrivateIpAddresses{Addresses: addrs("10.110.10.70", "10.110.10.70")}
		}), "InvalidParameterValue"},
		{"full subnet", assign(func(l *lab) vpc.AssignPrivateIpAddresses {
			n := l.eni(vpc.CreateNetworkInterface{SubnetID: l.tiny.ID, SecondaryCount: 10})
			return vpc.AssignPrivateIpAddresses{ID: n.ID, Count: 1}
		}), "InsufficientFreeAddressesInSubnet"},
		{"fragmented subnet", assign(func(l *lab) vpc.AssignPrivateIpAddresses {
			for at := 16; at < 240; at += 16 {
				a := netip.AddrFrom4([4]byte{10, 110, 10, byte(at + 5)})
				l.call(vpc.CreateNetworkInterface{SubnetID: l.a.ID, Primary: a})
			}
			return vpc.AssignPrivateIpAddresses{PrefixCount: 1}
		}), "InsufficientCidrBlocks"},
	})
}

// call makes a call whose outcome does not matter.
func (l *lab) call(r vpc.Request) { _, _ = l.Call(l.now, "tester", r) }

func TestUnassignRules(t *testing.T) {
	testRules(t, []rule{
		{"nothing", func(l *lab) vpc.Request {
			return vpc.UnassignPrivateIpAddresses{ID: l.eth0.ID}
		}, "MissingParameter"},
		{"primary", func(l *lab) vpc.Request {
			return vpc.UnassignPrivateIpAddresses{ID: l.eth0.ID, Addresses: []netip.Addr{l.eth0.Primary}}
		}, "InvalidParameterValue"},
		{"not assigned", func(l *lab) vpc.Request {
			return vpc.UnassignPrivateIpAddresses{ID: l.eth0.ID, Addresses: addrs("10.110.10.99")}
		}, "InvalidParameterValue"},
		{"one of two not assigned", func(l *lab) vpc.Request {
			n := l.eni(vpc.CreateNetworkInterface{SecondaryCount: 1})
			return vpc.UnassignPrivateIpAddresses{ID: n.ID, Addresses: append(n.Secondary, addrs("10.110.10.4")...)}
		}, "InvalidParameterValue"},
		{"prefix not assigned", func(l *lab) vpc.Request {
			return vpc.UnassignPrivateIpAddresses{ID: l.eth0.ID, Prefixes: prefixes("10.110.10.64/28")}
		}, "InvalidParameterValue"},
		{"IPv6 not assigned", func(l *lab) vpc.Request {
			return vpc.UnassignIpv6Addresses{ID: l.eth0.ID, Addresses: addrs("2001:db8:100:a::77")}
		}, "InvalidParameterValue"},
		{"IPv6 outside", func(l *lab) vpc.Request {
			return vpc.AssignIpv6Addresses{ID: l.eth0.ID, Addresses: addrs("2001:db8:100:b::77")}
		}, "InvalidParameterValue"},
		{"IPv6 over the limit", func(l *lab) vpc.Request {
			return vpc.AssignIpv6Addresses{ID: l.eth0.ID, Count: 7}
		}, "PrivateIpAddressLimitExceeded"},
	})
}

func TestModifyRules(t *testing.T) {
	yes := true
	testRules(t, []rule{
		{"nothing", func(l *lab) vpc.Request {
			return vpc.ModifyNetworkInterfaceAttribute{ID: l.eth0.ID}
		}, "MissingParameter"},
		{"two attributes", func(l *lab) vpc.Request {
			return vpc.ModifyNetworkInterfaceAttribute{ID: l.eth0.ID, Description: &vpc.StringValue{}, SourceDestCheck: &vpc.BoolValue{}}
		}, "InvalidParameterCombination"},
		{"another's attachment", func(l *lab) vpc.Request {
			id := l.attach(l.eni(vpc.CreateNetworkInterface{}).ID, 1)
			return vpc.ModifyNetworkInterfaceAttribute{ID: l.eth0.ID, Attachment: &vpc.AttachmentChanges{AttachmentID: id, DeleteOnTermination: &yes}}
		}, "InvalidAttachmentID.NotFound"},
		{"attachment without id", func(l *lab) vpc.Request {
			return vpc.ModifyNetworkInterfaceAttribute{ID: l.eth0.ID, Attachment: &vpc.AttachmentChanges{DeleteOnTermination: &yes}}
		}, "MissingParameter"},
		{"unknown attribute", func(l *lab) vpc.Request {
			return vpc.DescribeNetworkInterfaceAttribute{ID: l.eth0.ID, Attribute: "colour"}
		}, "InvalidParameterValue"},
		{"unknown resource", func(l *lab) vpc.Request {
			return vpc.CreateTags{Resources: []string{"vol-1"}, Tags: []vpc.Tag{{Key: "a"}}}
		}, "InvalidID"},
		{"no tags", func(l *lab) vpc.Request {
			return vpc.CreateTags{Resources: []string{l.eth0.ID}}
		}, "MissingParameter"},
	})
}

func TestDescribeRules(t *testing.T) {
	page := func(n int) vpc.Page { return vpc.Page{MaxResults: n} }
	testRules(t, []rule{
		{"bad id among good ones", func(l *lab) vpc.Request {
			return vpc.DescribeNetworkInterfaces{IDs: []string{l.eth0.ID, "eni-1"}}
		}, "InvalidNetworkInterfaceID.NotFound"},
		{"ids and page", func(l *lab) vpc.Request {
			return vpc.DescribeNetworkInterfaces{IDs: []string{l.eth0.ID}, Page: page(5)}
		}, "InvalidParameterCombination"},
		{"page too small", func(l *lab) vpc.Request {
			return vpc.DescribeNetworkInterfaces{Page: page(4)}
		}, "InvalidParameterValue"},
		{"page too large", func(l *lab) vpc.Request {
			return vpc.DescribeInstanceTypes{Page: page(101)}
		}, "InvalidParameterValue"},
		{"token made up", func(l *lab) vpc.Request {
			return vpc.DescribeNetworkInterfaces{Page: vpc.Page{NextToken: "abc"}}
		}, "InvalidNextToken"},
		{"unknown filter", func(l *lab) vpc.Request {
			return vpc.DescribeNetworkInterfaces{Filters: []vpc.Filter{{Name: "colour", Values: []string{"red"}}}}
		}, "InvalidParameterValue"},
		{"201 values", func(l *lab) vpc.Request {
			return vpc.DescribeNetworkInterfaces{Filters: []vpc.Filter{{Name: "subnet-id", Values: make([]string, 201)}}}
		}, "FilterLimitExceeded"},
		{"unknown type", func(l *lab) vpc.Request {
			return vpc.DescribeInstanceTypes{Types: []string{"m9.giant"}}
		}, "InvalidInstanceType"},
		{"unknown subnet", func(l *lab) vpc.Request {
			return vpc.DescribeSubnets{IDs: []string{"subnet-1"}}
		}, "InvalidSubnetID.NotFound"},
	})
}

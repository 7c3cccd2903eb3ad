package wire_test

import (
	"encoding/xml"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/enichain/enichain/test/lab/vpc"
	"github.com/enichain/enichain/test/lab/wire"
)

// scene is a situation in which a call is refused.
type scene struct {
	*lab
	t *testing.T
}

// do posts an action with parameters given as "Name=value" and wants it granted.
func (s scene) do(action string, parameters ...string) string {
	s.t.Helper()
	status, body := s.post(query(action, parameters...), nil)
	if status != 200 {
		s.t.Fatalf("%s %v: %d %s", action, parameters, status, body)
	}
	return body
}

func query(action string, parameters ...string) string {
	form := url.Values{"Action": {action}, "Version": {"2016-11-15"}}
	for _, p := range parameters {
		name, value, _ := strings.Cut(p, "=")
		form.Set(name, value)
	}
	return form.Encode()
}

// between is the text of the first element of a name.
func between(body, name string) string {
	_, rest, _ := strings.Cut(body, "<"+name+">")
	text, _, _ := strings.Cut(rest, "</"+name+">")
	return text
}

// eni makes an interface and returns its id, attached makes and attaches one and returns its id and its attachment's.
func (s scene) eni(parameters ...string) string {
	s.t.Helper()
	return between(s.do("CreateNetworkInterface", append([]string{"SubnetId=" + s.subnet.ID}, parameters...)...), "networkInterfaceId")
}

func (s scene) attached(device int) (string, string) {
	s.t.Helper()
	id := s.eni()
	body := s.do("AttachNetworkInterface", "NetworkInterfaceId="+id, "InstanceId="+s.node.ID, fmt.Sprint("DeviceIndex=", device))
	return id, between(body, "attachmentId")
}

func (s scene) fault(kind, argument string) {
	s.t.Helper()
	f, err := vpc.ParseFault(kind, argument)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.SetFault(s.now(), f); err != nil {
		s.t.Fatal(err)
	}
}

// without makes a call and does not wait for its answer.
func (s scene) without(r vpc.Request) {
	s.t.Helper()
	if _, err := s.Call(s.now(), "another", r); err != nil {
		s.t.Fatal(err)
	}
}

// stopped stops the node.
func (s scene) stopped() { s.do("StopInstances", "InstanceId.1="+s.node.ID) }

// everyCode is each code that EC2 answers to what a pool of addresses asks, with a situation or a fault that makes it.
// prepare returns the refused call.
var everyCode = []struct {
	code, situation string
	status          int
	config          vpc.Config
	prepare         func(s scene) string
}{
	{"RequestLimitExceeded", "an empty bucket", 503, vpc.Config{Buckets: vpc.Published(0.02)}, func(s scene) string {
		s.eni()
		s.eni()
		return query("CreateNetworkInterface", "SubnetId="+s.subnet.ID)
	}},
	{"RequestLimitExceeded", "an empty bucket, by the other status", 400, vpc.Config{ThrottledStatus: 400}, func(s scene) string {
		s.fault("throttle", "Attach*=0")
		return query("AttachNetworkInterface", "NetworkInterfaceId=eni-1", "InstanceId=i-1", "DeviceIndex=1")
	}},
	{"InvalidNetworkInterfaceID.NotFound", "an interface that is gone", 400, vpc.Config{}, func(s scene) string {
		id := s.eni()
		s.do("DeleteNetworkInterface", "NetworkInterfaceId="+id)
		return query("DescribeNetworkInterfaces", "NetworkInterfaceId.1="+id)
	}},
	{"InvalidNetworkInterfaceID.NotFound", "an interface that was made just now", 400, vpc.Config{NotFound: time.Minute}, func(s scene) string {
		return query("AttachNetworkInterface", "NetworkInterfaceId="+s.eni(), "InstanceId="+s.node.ID, "DeviceIndex=1")
	}},
	{"InvalidNetworkInterfaceId.Malformed", "no id", 400, vpc.Config{}, func(scene) string {
		return query("DeleteNetworkInterface", "NetworkInterfaceId=eni-xyz")
	}},
	{"InvalidNetworkInterfaceAttachmentId.Malformed", "no id", 400, vpc.Config{}, func(scene) string {
		return query("DetachNetworkInterface", "AttachmentId=eni-1")
	}},
	{"InvalidAttachmentID.NotFound", "detached already", 400, vpc.Config{}, func(s scene) string {
		_, attachment := s.attached(1)
		s.do("DetachNetworkInterface", "AttachmentId="+attachment)
		return query("DetachNetworkInterface", "AttachmentId="+attachment)
	}},
	{"InvalidNetworkInterface.InUse", "deleting what is attached", 400, vpc.Config{}, func(s scene) string {
		id, _ := s.attached(1)
		return query("DeleteNetworkInterface", "NetworkInterfaceId="+id)
	}},
	{"InvalidParameterValue", "the same, by the other code", 400, vpc.Config{InUseAsInvalidParameter: true}, func(s scene) string {
		id, _ := s.attached(1)
		return query("DeleteNetworkInterface", "NetworkInterfaceId="+id)
	}},
	{"AttachmentLimitExceeded", "a fourth interface of an m5.large", 400, vpc.Config{}, func(s scene) string {
		s.attached(1)
		s.attached(2)
		return query("AttachNetworkInterface", "NetworkInterfaceId="+s.eni(), "InstanceId="+s.node.ID, "DeviceIndex=3")
	}},
	{"AttachmentLimitExceeded", "starting an instance whose type has become too small", 400, vpc.Config{}, func(s scene) string {
		s.attached(1)
		s.attached(2)
		s.stopped()
		s.do("ModifyInstanceAttribute", "InstanceId="+s.node.ID, "InstanceType.Value=c7g.medium")
		return query("StartInstances", "InstanceId.1="+s.node.ID)
	}},
	{"InvalidParameterValue", "a device index that is taken", 400, vpc.Config{}, func(s scene) string {
		s.attached(1)
		return query("AttachNetworkInterface", "NetworkInterfaceId="+s.eni(), "InstanceId="+s.node.ID, "DeviceIndex=1")
	}},
	{"InvalidParameterValue", "a device index that a forced detachment left", 400, vpc.Config{ForcedDetachBlocks: true}, func(s scene) string {
		_, attachment := s.attached(1)
		s.do("DetachNetworkInterface", "AttachmentId="+attachment, "Force=true")
		return query("AttachNetworkInterface", "NetworkInterfaceId="+s.eni(), "InstanceId="+s.node.ID, "DeviceIndex=1")
	}},
	{"InvalidParameterValue", "giving back what it does not have", 400, vpc.Config{}, func(s scene) string {
		return query("UnassignPrivateIpAddresses", "NetworkInterfaceId="+s.eth0.ID, "PrivateIpAddress.1=10.110.10.254")
	}},
	{"InvalidParameterValue", "prefixes from a full subnet", 400, vpc.Config{}, func(s scene) string {
		s.fault("subnet-full", s.subnet.ID)
		return query("AssignPrivateIpAddresses", "NetworkInterfaceId="+s.eth0.ID, "Ipv4PrefixCount=1")
	}},
	{"InvalidParameterValue", "attaching with a full subnet", 400, vpc.Config{}, func(s scene) string {
		s.fault("ec2-error", "Attach*=InvalidParameterValue: There aren't sufficient free Ipv4 addresses or prefixes")
		return query("AttachNetworkInterface", "NetworkInterfaceId="+s.eni(), "InstanceId="+s.node.ID, "DeviceIndex=1")
	}},
	{"PrivateIpAddressLimitExceeded", "an eleventh address on an m5.large", 400, vpc.Config{}, func(s scene) string {
		return query("AssignPrivateIpAddresses", "NetworkInterfaceId="+s.eth0.ID, "SecondaryPrivateIpAddressCount=8")
	}},
	{"InsufficientFreeAddressesInSubnet", "a full subnet", 400, vpc.Config{}, func(s scene) string {
		s.fault("subnet-full", s.subnet.ID)
		return query("AssignPrivateIpAddresses", "NetworkInterfaceId="+s.eth0.ID, "SecondaryPrivateIpAddressCount=1")
	}},
	{"InsufficientCidrBlocks", "a fragmented subnet", 400, vpc.Config{}, func(s scene) string {
		for block := 1; block < 15; block++ { // an address in each /28 that has none of the reserved ones
			s.eni(fmt.Sprintf("PrivateIpAddress=10.110.10.%d", 16*block+block))
		}
		return query("AssignPrivateIpAddresses", "NetworkInterfaceId="+s.eth0.ID, "Ipv4PrefixCount=1")
	}},
	{"NetworkInterfaceLimitExceeded", "the Region's quota", 400, vpc.Config{Quotas: vpc.Quotas{NetworkInterfaces: 2}}, func(s scene) string {
		s.eni()
		return query("CreateNetworkInterface", "SubnetId="+s.subnet.ID)
	}},
	{"NetworkAddressUsageLimitExceeded", "assigning beyond the VPC's quota", 400, vpc.Config{Quotas: vpc.Quotas{AddressUsage: 4}}, func(s scene) string {
		return query("AssignPrivateIpAddresses", "NetworkInterfaceId="+s.eth0.ID, "SecondaryPrivateIpAddressCount=2")
	}},
	{"NetworkAddressUsageLimitExceeded", "a prefix that weighs sixteen", 400, vpc.Config{PrefixUnits: 16, Quotas: vpc.Quotas{AddressUsage: 18}}, func(s scene) string {
		return query("AssignPrivateIpAddresses", "NetworkInterfaceId="+s.eth0.ID, "Ipv4PrefixCount=1")
	}},
	{"NetworkAddressUsagePeeredLimitExceeded", "peering, which the lab has not: a fault", 400, vpc.Config{}, func(s scene) string {
		s.fault("ec2-error", "AssignPrivateIpAddresses=NetworkAddressUsagePeeredLimitExceeded")
		return query("AssignPrivateIpAddresses", "NetworkInterfaceId="+s.eth0.ID, "SecondaryPrivateIpAddressCount=1")
	}},
	{"SecurityGroupsPerInterfaceLimitExceeded", "a second group", 400, vpc.Config{Quotas: vpc.Quotas{GroupsPerENI: 1}}, func(s scene) string {
		parameters := []string{"NetworkInterfaceId=" + s.eth0.ID}
		for n := range 2 {
			made := s.do("CreateSecurityGroup", fmt.Sprint("GroupName=g", n), "GroupDescription=d", "VpcId="+s.subnet.VPC)
			parameters = append(parameters, fmt.Sprintf("SecurityGroupId.%d=%s", n+1, between(made, "groupId")))
		}
		return query("ModifyNetworkInterfaceAttribute", parameters...)
	}},
	{"InvalidGroup.NotFound", "a group that was deleted", 400, vpc.Config{}, func(s scene) string {
		id := between(s.do("CreateSecurityGroup", "GroupName=g", "GroupDescription=d", "VpcId="+s.subnet.VPC), "groupId")
		s.do("DeleteSecurityGroup", "GroupId="+id)
		return query("CreateNetworkInterface", "SubnetId="+s.subnet.ID, "SecurityGroupId.1="+id)
	}},
	{"DependencyViolation", "deleting a group that is in use", 400, vpc.Config{}, func(s scene) string {
		id := between(s.do("CreateSecurityGroup", "GroupName=g", "GroupDescription=d", "VpcId="+s.subnet.VPC), "groupId")
		s.eni("SecurityGroupId.1=" + id)
		return query("DeleteSecurityGroup", "GroupId="+id)
	}},
	{"InvalidGroup.Duplicate", "a group's name", 400, vpc.Config{}, func(s scene) string {
		return query("CreateSecurityGroup", "GroupName=default", "GroupDescription=d", "VpcId="+s.subnet.VPC)
	}},
	{"CannotDelete", "the default group", 400, vpc.Config{}, func(s scene) string {
		return query("DeleteSecurityGroup", "GroupName=default")
	}},
	{"InvalidSubnetID.NotFound", "an unknown subnet", 400, vpc.Config{}, func(scene) string {
		return query("CreateNetworkInterface", "SubnetId=subnet-1")
	}},
	{"IncorrectInstanceState", "attaching to a terminated instance", 400, vpc.Config{}, func(s scene) string {
		id := s.eni()
		s.do("TerminateInstances", "InstanceId.1="+s.node.ID)
		return query("AttachNetworkInterface", "NetworkInterfaceId="+id, "InstanceId="+s.node.ID, "DeviceIndex=1")
	}},
	{"IncorrectInstanceState", "attaching while it starts", 400, vpc.Config{}, func(s scene) string {
		s.stopped()
		s.fault("latency", "StartInstances=1m")
		s.without(vpc.StartInstances{IDs: []string{s.node.ID}})
		return query("AttachNetworkInterface", "NetworkInterfaceId="+s.eni(), "InstanceId="+s.node.ID, "DeviceIndex=1")
	}},
	{"IncorrectInstanceState", "another type while it runs", 400, vpc.Config{}, func(s scene) string {
		return query("ModifyInstanceAttribute", "InstanceId="+s.node.ID, "InstanceType.Value=m5.xlarge")
	}},
	{"InvalidInstanceAttributeValue", "a type that there is not", 400, vpc.Config{}, func(s scene) string {
		s.stopped()
		return query("ModifyInstanceAttribute", "InstanceId="+s.node.ID, "InstanceType.Value=m5.tiny")
	}},
	{"InvalidInstanceID.NotFound", "one of two instances", 400, vpc.Config{}, func(s scene) string {
		return query("DescribeInstances", "InstanceId.1="+s.node.ID, "InstanceId.2=i-1")
	}},
	{"InvalidInstanceID.NotFound", "an instance that was terminated long ago", 400, vpc.Config{TerminatedKept: 1}, func(s scene) string {
		s.do("TerminateInstances", "InstanceId.1="+s.node.ID)
		return query("DescribeInstances", "InstanceId.1="+s.node.ID)
	}},
	{"IncorrectState", "detaching while it attaches", 400, vpc.Config{}, func(s scene) string {
		id := s.eni()
		s.fault("latency", "AttachNetworkInterface=1m")
		s.without(vpc.AttachNetworkInterface{ID: id, InstanceID: s.node.ID, Device: 1})
		attachment := between(s.do("DescribeNetworkInterfaces", "NetworkInterfaceId.1="+id), "attachmentId")
		return query("DetachNetworkInterface", "AttachmentId="+attachment)
	}},
	{"OperationNotPermitted", "detaching the primary interface", 400, vpc.Config{}, func(s scene) string {
		return query("DetachNetworkInterface", "AttachmentId="+s.eth0.Attachment.ID)
	}},
	{"IdempotentParameterMismatch", "one token for two interfaces", 400, vpc.Config{}, func(s scene) string {
		s.eni("ClientToken=t")
		return query("CreateNetworkInterface", "SubnetId="+s.subnet.ID, "ClientToken=t", "Description=another")
	}},
	{"DryRunOperation", "a dry run that would be allowed", 412, vpc.Config{}, func(s scene) string {
		return query("StopInstances", "InstanceId.1="+s.node.ID, "DryRun=true")
	}},
	{"UnauthorizedOperation", "a dry run that would not", 403, vpc.Config{}, func(s scene) string {
		s.fault("deny", "StopInstances")
		return query("StopInstances", "InstanceId.1="+s.node.ID, "DryRun=true")
	}},
	{"Resource.AlreadyAssigned", "an address of another interface", 400, vpc.Config{}, func(s scene) string {
		return query("AssignPrivateIpAddresses", "NetworkInterfaceId="+s.eni(), "PrivateIpAddress.1="+s.eth0.Secondary[0].String())
	}},
	{"InvalidIPAddress.InUse", "the same for a new interface", 400, vpc.Config{}, func(s scene) string {
		return query("CreateNetworkInterface", "SubnetId="+s.subnet.ID, "PrivateIpAddress="+s.eth0.Secondary[0].String())
	}},
	{"ConcurrentTagAccess", "two writers of tags: a fault", 400, vpc.Config{}, func(s scene) string {
		s.fault("ec2-error", "CreateTags=ConcurrentTagAccess")
		return query("CreateTags", "ResourceId.1="+s.eth0.ID, "Tag.1.Key=k")
	}},
	{"TagLimitExceeded", "a third tag", 400, vpc.Config{Quotas: vpc.Quotas{TagsPerResource: 2}}, func(s scene) string {
		return query("CreateTags", "ResourceId.1="+s.eth0.ID, "Tag.1.Key=a", "Tag.2.Key=b")
	}},
	{"FilterLimitExceeded", "201 values", 400, vpc.Config{}, func(scene) string {
		parameters := []string{"Filter.1.Name=vpc-id"}
		for n := range 201 {
			parameters = append(parameters, fmt.Sprintf("Filter.1.Value.%d=%d", n+1, n))
		}
		return query("DescribeNetworkInterfaces", parameters...)
	}},
	{"MissingParameter", "no subnet", 400, vpc.Config{}, func(scene) string { return query("CreateNetworkInterface") }},
	{"InvalidParameterCombination", "addresses and prefixes of IPv6", 400, vpc.Config{}, func(s scene) string {
		return query("CreateNetworkInterface", "SubnetId="+s.subnet.ID, "Ipv6AddressCount=1", "Ipv6PrefixCount=1")
	}},
	{"UnsupportedOperation", "a prefix without Nitro", 400, vpc.Config{}, func(s scene) string {
		s.stopped()
		s.do("ModifyInstanceAttribute", "InstanceId="+s.node.ID, "InstanceType.Value=t2.medium")
		return query("AssignPrivateIpAddresses", "NetworkInterfaceId="+s.eth0.ID, "Ipv4PrefixCount=1")
	}},
	{"InvalidAction", "an action that the lab has not", 400, vpc.Config{}, func(scene) string { return query("RunInstances") }},
	{"AuthFailure", "credentials that do not hold: a fault", 401, vpc.Config{}, func(s scene) string {
		s.fault("ec2-error", "*=AuthFailure")
		return query("DescribeVpcs")
	}},
	{"InternalError", "a bad hour", 500, vpc.Config{}, func(s scene) string {
		s.fault("ec2-error", "*=InternalError")
		return query("DescribeVpcs")
	}},
	{"Unavailable", "a list of a large fleet without pages", 503, vpc.Config{UnpagedMost: 1}, func(s scene) string {
		s.eni()
		return query("DescribeNetworkInterfaces")
	}},
}

// Each code has a situation or a fault that makes it, with EC2's HTTP status and in EC2's shape.
func TestEveryCode(t *testing.T) {
	model := loadModel(t)
	for _, test := range everyCode {
		t.Run(test.code+", "+test.situation, func(t *testing.T) {
			s := scene{quietLab(t, test.config, model), t}
			status, body := s.post(test.prepare(s), nil)
			var answer struct {
				Code    string `xml:"Errors>Error>Code"`
				Message string `xml:"Errors>Error>Message"`
			}
			if err := xml.Unmarshal([]byte(body), &answer); err != nil {
				t.Fatalf("%v in %s", err, body)
			}
			if answer.Code != test.code || status != test.status || answer.Message == "" {
				t.Errorf("%d %s (%s), want %d %s", status, answer.Code, answer.Message, test.status, test.code)
			}
		})
	}
}

// quietLab is a lab with one m5.large that has two secondary addresses, tags and a judge with a model read before.
func quietLab(t *testing.T, config vpc.Config, m *model) *lab {
	t.Helper()
	w := vpc.New(config, rand.New(rand.NewPCG(3, 4)))
	l := &lab{World: w, t: t}
	v, err := w.AddVPC(vpc.VPC{CIDRs: []netip.Prefix{netip.MustParsePrefix("10.110.0.0/16")}, IPv6: netip.MustParsePrefix("2001:db8:100::/56")})
	if err != nil {
		t.Fatal(err)
	}
	l.subnet, err = w.AddSubnet(vpc.Subnet{VPC: v.ID, Zone: "lab-1a", CIDR: netip.MustParsePrefix("10.110.10.0/24"),
		IPv6: netip.MustParsePrefix("2001:db8:100:a::/64")})
	if err != nil {
		t.Fatal(err)
	}
	l.node, l.eth0, err = w.AddInstance(time.Now().Add(-time.Hour), vpc.Launch{Type: "m5.large", Subnet: l.subnet.ID, Secondary: 2,
		ENITags: map[string]string{"cluster": "x"}})
	if err != nil {
		t.Fatal(err)
	}
	l.judge = &judge{t: t, model: m, next: wire.Handler(w, wire.RealClock{}, nil), seen: map[string]int{}}
	server := httptest.NewServer(l.judge)
	t.Cleanup(func() {
		server.CloseClientConnections()
		http.DefaultClient.CloseIdleConnections()
		server.Close()
	})
	l.url = server.URL
	return l
}

package ec2_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/ec2"
	"github.com/enichain/enichain/ipam/reconcile"
	"github.com/enichain/enichain/test/lab/vpc"
)

// dual is a lab whose only subnet has both families, with a node of the type in it.
func dual(t *testing.T, instanceType string) (l *lab, node ipam.InstanceID, eth0 ipam.ENIID, subnet ipam.SubnetID) {
	t.Helper()
	l = newLab(t, ec2.Options{})
	v, err := l.AddVPC(vpc.VPC{CIDRs: []netip.Prefix{netip.MustParsePrefix("10.120.0.0/16")}, IPv6: netip.MustParsePrefix("2600:1f13:0:100::/56")})
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.AddSubnet(vpc.Subnet{VPC: v.ID, Zone: "lab-1a", CIDR: netip.MustParsePrefix("10.120.16.0/20"), IPv6: netip.MustParsePrefix("2600:1f13:0:101::/64")})
	if err != nil {
		t.Fatal(err)
	}
	i, primary, err := l.AddInstance(time.Now(), vpc.Launch{ID: "i-00000000000000009", Type: instanceType, Subnet: s.ID, Tags: map[string]string{"team": "red"}})
	if err != nil {
		t.Fatal(err)
	}
	return l, ipam.InstanceID(i.ID), ipam.ENIID(primary.ID), ipam.SubnetID(s.ID)
}

// row lists one interface.
func (l *lab) row(t *testing.T, node ipam.InstanceID, eni ipam.ENIID) reconcile.ENI {
	t.Helper()
	listed, err := l.List(t.Context(), reconcile.List{Instances: []ipam.InstanceID{node}, Cluster: "c"})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range listed.ENIs {
		if e.ID == eni {
			return e
		}
	}
	t.Fatalf("%s is not listed: %+v", eni, listed.ENIs)
	return reconcile.ENI{}
}

// TestPrefixes: blocks of both families are given and taken back as wholes, and the answers say which.
func TestPrefixes(t *testing.T) {
	l, node, eth0, _ := dual(t, "t3.medium")
	four := l.do(t, reconcile.Call{Action: reconcile.Assign, ENI: eth0, Prefixes: 2}, reconcile.Done)
	single := l.do(t, reconcile.Call{Action: reconcile.Assign, ENI: eth0, Count: 1}, reconcile.Done)
	six := l.do(t, reconcile.Call{Action: reconcile.Assign6, ENI: eth0, Prefixes6: 1}, reconcile.Done)
	one := l.do(t, reconcile.Call{Action: reconcile.Assign6, ENI: eth0, Addrs6: 1}, reconcile.Done)
	if len(four.Prefixes) != 2 || four.Prefixes[0].Bits() != 28 || len(four.Addresses) != 0 || len(single.Addresses) != 1 ||
		len(six.Prefixes) != 1 || six.Prefixes[0].Bits() != 80 || len(one.Addresses) != 1 || !one.Addresses[0].Is6() {
		t.Fatalf("answers:\n%+v\n%+v\n%+v\n%+v", four, single, six, one)
	}
	want := slices.Concat(four.Prefixes, six.Prefixes)
	if got := l.row(t, node, eth0); !slices.Equal(got.Prefixes, want) || !slices.Equal(got.Addresses, single.Addresses) || got.Primary6 != one.Addresses[0] {
		t.Errorf("listed %+v, want prefixes %v, addresses %v", got, want, single.Addresses)
	}
	l.do(t, reconcile.Call{Action: reconcile.Assign, ENI: eth0, Prefixes: 9}, reconcile.Limit)
	l.do(t, reconcile.Call{Action: reconcile.Unassign, ENI: eth0, Give: four.Prefixes[:1]}, reconcile.Done)
	l.do(t, reconcile.Call{Action: reconcile.Unassign, ENI: eth0, Give: four.Prefixes[:1]}, reconcile.Stale)
	l.do(t, reconcile.Call{Action: reconcile.Unassign6, ENI: eth0, Give: six.Prefixes}, reconcile.Done)
	l.do(t, reconcile.Call{Action: reconcile.Unassign6, ENI: eth0, Addresses: one.Addresses}, reconcile.Done)
	if got := l.row(t, node, eth0); !slices.Equal(got.Prefixes, four.Prefixes[1:]) || got.Primary6.IsValid() {
		t.Errorf("after giving back: %+v, want prefixes %v", got, four.Prefixes[1:])
	}
}

// TestCreateWithPrefixes: an interface is made with its blocks in the one call, in the slot of its card.
func TestCreateWithPrefixes(t *testing.T) {
	l, node, _, subnet := dual(t, "p4d.24xlarge")
	call := reconcile.Call{Action: reconcile.Create, Subnet: subnet, Prefixes: 3, Prefixes6: 1, Token: "t-9", About: "of tests",
		Tags: map[string]string{reconcile.TagCluster: "c", reconcile.TagNode: string(node), reconcile.TagSlot: "1/2", "team": "red"}}
	made := l.do(t, call, reconcile.Done)
	if len(made.ENI.Prefixes) != 4 || len(made.Prefixes) != 4 || len(made.ENI.Addresses) != 0 {
		t.Fatalf("made %+v", made.ENI)
	}
	l.do(t, reconcile.Call{Action: reconcile.Attach, Instance: node, ENI: made.ENI.ID, Device: 2, Card: 1}, reconcile.Done)
	if got := l.row(t, node, made.ENI.ID); got.Device != 2 || got.Card != 1 || got.About != "of tests" || len(got.Prefixes) != 4 || got.Kind != "interface" {
		t.Errorf("listed %+v", got)
	} else if len(got.Tags) != 3 || got.Tags[reconcile.TagSlot] != "1/2" { // those that mean nothing to us are not kept
		t.Errorf("tags %v", got.Tags)
	}
	listed, err := l.List(t.Context(), reconcile.List{Instances: []ipam.InstanceID{node}, Cluster: "c"})
	if err != nil {
		t.Fatal(err)
	}
	if got := listed.Limits["p4d.24xlarge"]; fmt.Sprint(got.Cards) != "[15 15 15 15]" || got.ENIs != 15 || !got.Prefixes {
		t.Errorf("limits %+v", got)
	}
	if len(listed.Instances) != 1 || listed.Instances[0].Tags["team"] != "red" {
		t.Errorf("instances %+v", listed.Instances)
	}
}

// TestImpossibleCalls: what EC2 takes in no combination is not sent.
func TestImpossibleCalls(t *testing.T) {
	l, _, eth0, subnet := dual(t, "t3.medium")
	for _, call := range []reconcile.Call{
		{Action: reconcile.Create, Subnet: subnet, Count: 1, Prefixes: 1},
		{Action: reconcile.Create, Subnet: subnet, Addrs6: 1, Prefixes6: 1},
		{Action: reconcile.Assign, ENI: eth0, Count: 1, Prefixes: 1},
		{Action: reconcile.Assign6, ENI: eth0, Addrs6: 1, Prefixes6: 1},
	} {
		a := l.do(t, call, reconcile.Other)
		if a.Code != "InvalidParameterCombination" || !strings.Contains(a.Text, "not both: 1 and 1") || l.count(string(call.Action)) != 0 {
			t.Errorf("%+v, %d requests", a, l.count(string(call.Action)))
		}
	}
}

// TestFragmented: a subnet without a free block is told from one without a free address, and both are the subnet's.
func TestFragmented(t *testing.T) {
	l, _, eth0, subnet := dual(t, "t3.medium")
	fault := func(kind vpc.FaultKind) {
		l.ClearFault(time.Now(), "", "")
		if err := l.SetFault(time.Now(), vpc.Fault{Kind: kind, Target: string(subnet)}); err != nil {
			t.Fatal(err)
		}
	}
	fault(vpc.FaultFragment)
	if a := l.do(t, reconcile.Call{Action: reconcile.Assign, ENI: eth0, Prefixes: 1}, reconcile.SubnetFull); a.Code != "InsufficientCidrBlocks" {
		t.Errorf("fragmented: %+v", a)
	}
	l.do(t, reconcile.Call{Action: reconcile.Assign, ENI: eth0, Count: 1}, reconcile.Done)
	fault(vpc.FaultSubnetFull)
	if a := l.do(t, reconcile.Call{Action: reconcile.Assign, ENI: eth0, Count: 1}, reconcile.SubnetFull); a.Code != "InsufficientFreeAddressesInSubnet" {
		t.Errorf("full: %+v", a)
	}
}

// TestGroups: security groups are listed on request, and an interface is given others.
func TestGroups(t *testing.T) {
	l, node, eth0, _ := dual(t, "t3.medium")
	v, _ := l.Instance(string(node))
	red, err := l.AddSecurityGroup(vpc.SecurityGroup{VPC: v.VPC, Name: "red", Tags: map[string]string{"team": "red"}})
	if err != nil {
		t.Fatal(err)
	}
	l.do(t, reconcile.Call{Action: reconcile.Bind, ENI: eth0, Groups: []string{red.ID}}, reconcile.Done)
	if got := l.row(t, node, eth0); !slices.Equal(got.Groups, []string{red.ID}) || !got.Bound {
		t.Errorf("groups %v, bound %v", got.Groups, got.Bound)
	}
	l.do(t, reconcile.Call{Action: reconcile.Bind, ENI: eth0, Groups: []string{"sg-0000000000000dead"}}, reconcile.BadConfig)
	ask := reconcile.List{Instances: []ipam.InstanceID{node}, Cluster: "c", Network: true}
	if listed, err := l.List(t.Context(), ask); err != nil || len(listed.Groups) != 0 || l.count("DescribeSecurityGroups") != 0 {
		t.Errorf("not asked for: %v, %v", listed.Groups, err)
	}
	ask.Groups = true
	listed, err := l.List(t.Context(), ask)
	if err != nil || len(listed.Groups) != 2 {
		t.Fatalf("%+v, %v; want the VPC's default group and red", listed.Groups, err)
	}
	i := slices.IndexFunc(listed.Groups, func(g reconcile.Group) bool { return g.ID == red.ID })
	if i < 0 || listed.Groups[i].Tags["team"] != "red" || listed.Groups[i].Name != "red" || listed.Groups[i].VPC != red.VPC {
		t.Errorf("groups %+v", listed.Groups)
	}
}

// TestRefusalsSayWhatToDo: a missing permission is named, and so is a wrong clock.
func TestRefusalsSayWhatToDo(t *testing.T) {
	l, _, eth0, subnet := dual(t, "t3.medium")
	assign, create := reconcile.Call{Action: reconcile.Assign, ENI: eth0, Count: 1}, reconcile.Call{Action: reconcile.Create, Subnet: subnet, Token: "x"}
	for _, test := range []struct {
		name, code, message string
		call                reconcile.Call
		class               reconcile.Class
		want                string
	}{
		{"denied", "UnauthorizedOperation", "You are not authorized to perform this operation. Encoded authorization failure message: AAAA", assign, reconcile.Denied,
			"the reconciler's role lacks ec2:AssignPrivateIpAddresses: You are not authorized to perform this operation"},
		{"denied, with its tags", "UnauthorizedOperation", "You are not authorized to perform this operation.", create, reconcile.Denied,
			"the reconciler's role lacks ec2:CreateNetworkInterface and ec2:CreateTags: You are not authorized to perform this operation"},
		{"denied, and EC2 says what", "UnauthorizedOperation", "User: arn:aws:iam::1:role/x is not authorized to perform: ec2:CreateTags on resource: y", create, reconcile.Denied,
			"the reconciler's role lacks ec2:CreateTags: User: arn:aws:iam::1:role/x is not authorized to perform: ec2:CreateTags on resource: y"},
		{"late", "RequestExpired", "Request has expired.", assign, reconcile.Clock, "EC2 refuses the request's time: set this machine's clock: Request has expired"},
		{"wrong secret or time", "AuthFailure", "AWS was not able to validate the provided access credentials", assign, reconcile.Clock,
			"EC2 refuses the credentials: they are wrong, or this machine's clock is: AWS was not able to validate the provided access credentials"},
		{"never for a role", "OperationNotPermitted", "The network interface at device index 0 cannot be detached.",
			reconcile.Call{Action: reconcile.Detach, Attachment: "eni-attach-1"}, reconcile.Denied, "The network interface at device index 0 cannot be detached"},
	} {
		t.Run(test.name, func(t *testing.T) {
			l.mu.Lock()
			l.before = func(_ string, _ map[string][]string, rw http.ResponseWriter) bool {
				refuse(rw, 403, test.code, test.message)
				return true
			}
			l.mu.Unlock()
			if a := l.do(t, test.call, test.class); a.Text != test.want || a.Code != test.code {
				t.Errorf("%s: %q, want %q", a.Code, a.Text, test.want)
			}
		})
	}
}

// TestRefusedList: a list that is refused says why, and its code can be asked for.
func TestRefusedList(t *testing.T) {
	l, node, _, _ := dual(t, "t3.medium")
	if err := l.SetFault(time.Now(), vpc.Fault{Kind: vpc.FaultDeny, Target: "DescribeInstances"}); err != nil {
		t.Fatal(err)
	}
	_, err := l.List(t.Context(), reconcile.List{Instances: []ipam.InstanceID{node}, Cluster: "c"})
	var coded interface{ ErrorCode() string }
	if err == nil || !strings.Contains(err.Error(), "the reconciler's role lacks ec2:DescribeInstances") || !errors.As(err, &coded) || coded.ErrorCode() != "UnauthorizedOperation" {
		t.Errorf("error %v", err)
	}
}

package ec2_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/ec2"
	"github.com/enichain/enichain/ipam/reconcile"
	"github.com/enichain/enichain/test/lab/vpc"
	"github.com/enichain/enichain/test/lab/wire"
)

// lab is a VPC behind an EC2 endpoint on loopback, and a client of it.
type lab struct {
	*vpc.World
	*ec2.Client
	subnet vpc.Subnet
	node   vpc.Instance
	eth0   vpc.NetworkInterface
	url    string

	mu       sync.Mutex
	requests map[string]int
	before   func(action string, form map[string][]string, rw http.ResponseWriter) (done bool)
}

func newLab(t *testing.T, o ec2.Options) *lab {
	t.Helper()
	l := &lab{World: vpc.New(vpc.Config{}, rand.New(rand.NewPCG(1, 2))), requests: map[string]int{}}
	v, err := l.AddVPC(vpc.VPC{CIDRs: []netip.Prefix{netip.MustParsePrefix("10.110.0.0/16"), netip.MustParsePrefix("100.64.0.0/16")}})
	if err != nil {
		t.Fatal(err)
	}
	l.subnet, err = l.AddSubnet(vpc.Subnet{VPC: v.ID, Zone: "lab-1a", CIDR: netip.MustParsePrefix("10.110.16.0/20"), Tags: map[string]string{"Name": "a"}})
	if err != nil {
		t.Fatal(err)
	}
	l.node, l.eth0, err = l.AddInstance(time.Now(), vpc.Launch{ID: "i-00000000000000001", Type: "t3.medium", Subnet: l.subnet.ID})
	if err != nil {
		t.Fatal(err)
	}
	handler := wire.Handler(l.World, wire.RealClock{}, nil)
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, hr *http.Request) {
		body := new(strings.Builder)
		form := readForm(t, hr, body)
		action := form["Action"][0]
		l.mu.Lock()
		l.requests[action]++
		before := l.before
		l.mu.Unlock()
		if before != nil && before(action, form, rw) {
			return
		}
		hr.Body = readCloser{strings.NewReader(body.String())}
		handler.ServeHTTP(rw, hr)
	}))
	t.Cleanup(server.Close)
	l.url = server.URL
	l.Client, err = ec2.New(settings(server.URL), o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func settings(url string) aws.Config {
	return aws.Config{
		Region: "lab-1", BaseEndpoint: aws.String(url),
		Credentials: credentials.NewStaticCredentialsProvider("AKIATEST", "secret", ""),
	}
}

type readCloser struct{ *strings.Reader }

func (readCloser) Close() error { return nil }

func readForm(t *testing.T, hr *http.Request, body *strings.Builder) map[string][]string {
	t.Helper()
	raw := make([]byte, hr.ContentLength)
	n := 0
	for n < len(raw) {
		m, err := hr.Body.Read(raw[n:])
		n += m
		if err != nil {
			break
		}
	}
	body.Write(raw[:n])
	clone := hr.Clone(hr.Context())
	clone.Body = readCloser{strings.NewReader(body.String())}
	if err := clone.ParseForm(); err != nil {
		t.Error(err)
	}
	return clone.Form
}

func (l *lab) count(action string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.requests[action]
}

func (l *lab) do(t *testing.T, call reconcile.Call, want reconcile.Class) reconcile.Answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	a := l.Do(ctx, call)
	if a.Class != want {
		t.Fatalf("%s: %s (%s: %s), want %s", call.Action, a.Class, a.Code, a.Text, want)
	}
	return a
}

func create(l *lab, count int) reconcile.Call {
	return reconcile.Call{
		Action: reconcile.Create, Subnet: ipam.SubnetID(l.subnet.ID), Count: count, Token: "t-1", About: "enichain test",
		Tags: map[string]string{reconcile.TagCluster: "c", reconcile.TagNode: l.node.ID, reconcile.TagSlot: "1"},
	}
}

// TestLife: an interface is made with its addresses and tags in one call, attached, bound, grown, shrunk, taken away;
// lists show each step.
func TestLife(t *testing.T) {
	l := newLab(t, ec2.Options{})
	node := ipam.InstanceID(l.node.ID)
	made := l.do(t, create(l, 2), reconcile.Done)
	again := l.do(t, create(l, 2), reconcile.Done)
	if made.ENI.ID != again.ENI.ID || len(made.ENI.Addresses) != 2 || !made.ENI.Primary.IsValid() {
		t.Fatalf("made %+v, with the same token %+v", made.ENI, again.ENI)
	}
	l.do(t, create(l, 3), reconcile.Mismatch)
	eni := made.ENI.ID
	attached := l.do(t, reconcile.Call{Action: reconcile.Attach, Instance: node, ENI: eni, Device: 1}, reconcile.Done)
	l.do(t, reconcile.Call{Action: reconcile.Bind, ENI: eni, Attachment: attached.Attachment}, reconcile.Done)
	grown := l.do(t, reconcile.Call{Action: reconcile.Assign, ENI: eni, Count: 2}, reconcile.Done)
	l.do(t, reconcile.Call{Action: reconcile.Assign, ENI: eni, Count: 2}, reconcile.Limit)
	l.do(t, reconcile.Call{Action: reconcile.Unassign, ENI: eni, Addresses: made.ENI.Addresses[:1]}, reconcile.Done)
	l.do(t, reconcile.Call{Action: reconcile.Unassign, ENI: eni, Addresses: made.ENI.Addresses[:1]}, reconcile.Stale)
	l.do(t, reconcile.Call{Action: reconcile.Delete, ENI: eni}, reconcile.Stale)

	listed, err := l.List(t.Context(), reconcile.List{Full: true, Network: true, Cluster: "c"})
	if err != nil {
		t.Fatal(err)
	}
	want := reconcile.ENI{
		ID: eni, Subnet: ipam.SubnetID(l.subnet.ID), MAC: made.ENI.MAC, Instance: node, Attachment: attached.Attachment, Device: 1,
		Bound: true, Primary: made.ENI.Primary, Addresses: append(made.ENI.Addresses[1:], grown.Addresses...), Groups: made.ENI.Groups,
		Tags: create(l, 0).Tags, Kind: "interface", About: "enichain test",
	}
	if len(listed.ENIs) != 2 {
		t.Fatalf("%d interfaces listed, want the primary one and ours: %+v", len(listed.ENIs), listed.ENIs)
	}
	for _, got := range listed.ENIs {
		if got.ID == eni {
			if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
				t.Errorf("listed (-want +got):\n%s", diff)
			}
		}
	}
	wantInstance := []reconcile.Instance{{ID: node, State: "running", Type: "t3.medium", Zone: "lab-1a", VPC: l.node.VPC, Subnet: ipam.SubnetID(l.subnet.ID)}}
	if diff := cmp.Diff(wantInstance, listed.Instances); diff != "" {
		t.Errorf("instances (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]ipam.Limits{"t3.medium": {ENIs: 3, IPv4: 6, IPv6: 6, Prefixes: true}}, listed.Limits); diff != "" {
		t.Errorf("limits (-want +got):\n%s", diff)
	}
	if got := fmt.Sprint(listed.VPCs[l.node.VPC]); got != "[10.110.0.0/16 100.64.0.0/16]" {
		t.Errorf("VPC's networks %s", got)
	}
	if len(listed.Subnets) != 1 || listed.Subnets[0].CIDR.String() != "10.110.16.0/20" || listed.Subnets[0].Free != 4091-1-4 {
		t.Errorf("subnets %+v", listed.Subnets)
	}

	l.do(t, reconcile.Call{Action: reconcile.Detach, Attachment: attached.Attachment}, reconcile.Done)
	l.do(t, reconcile.Call{Action: reconcile.Delete, ENI: eni}, reconcile.Done)
	l.do(t, reconcile.Call{Action: reconcile.Delete, ENI: eni}, reconcile.Gone)
}

// TestListOfSome: a list of some instances has what is attached to them and what was made for them, and asks for a
// type's limits only once.
func TestListOfSome(t *testing.T) {
	l := newLab(t, ec2.Options{})
	l.do(t, create(l, 1), reconcile.Done)
	other, _, err := l.AddInstance(time.Now(), vpc.Launch{ID: "i-00000000000000002", Type: "t3.medium", Subnet: l.subnet.ID})
	if err != nil {
		t.Fatal(err)
	}
	for i, test := range []struct {
		ids  []ipam.InstanceID
		want int
	}{
		{[]ipam.InstanceID{ipam.InstanceID(l.node.ID)}, 2},
		{[]ipam.InstanceID{ipam.InstanceID(other.ID)}, 1},
		{[]ipam.InstanceID{ipam.InstanceID(l.node.ID), ipam.InstanceID(other.ID), "i-0000000000000dead"}, 3},
		{nil, 0},
	} {
		listed, err := l.List(t.Context(), reconcile.List{Instances: test.ids, Cluster: "c"})
		if err != nil {
			t.Fatal(err)
		}
		if len(listed.ENIs) != test.want || len(listed.Instances) != min(len(test.ids), 2) {
			t.Errorf("list %d: %d interfaces and %d instances, want %d: %+v", i, len(listed.ENIs), len(listed.Instances), test.want, listed)
		}
	}
	if got := l.count("DescribeInstanceTypes"); got != 1 {
		t.Errorf("asked for types %d times", got)
	}
}

// TestPages: a list is complete, or it is an error (protocol r4).
func TestPages(t *testing.T) {
	l := newLab(t, ec2.Options{})
	for i := range 1100 {
		_, err := l.Call(time.Now(), "test", vpc.CreateNetworkInterface{SubnetID: l.subnet.ID, ClientToken: fmt.Sprint("t", i),
			TagSpecification: []vpc.TagSpecification{{ResourceType: "network-interface", Tags: []vpc.Tag{
				{Key: reconcile.TagCluster, Value: "c"}, {Key: reconcile.TagNode, Value: l.node.ID}}}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	listed, err := l.List(t.Context(), reconcile.List{Full: true, Cluster: "c"})
	if err != nil || len(listed.ENIs) != 1101 {
		t.Fatalf("%d interfaces, %v", len(listed.ENIs), err)
	}
	l.before = func(action string, form map[string][]string, rw http.ResponseWriter) bool {
		if len(form["NextToken"]) == 0 {
			return false
		}
		refuse(rw, 400, "UnauthorizedOperation", "not this page")
		return true
	}
	if _, err := l.List(t.Context(), reconcile.List{Full: true, Cluster: "c"}); err == nil {
		t.Error("a list without its second page is no error")
	}
}

func refuse(rw http.ResponseWriter, status int, code, message string) {
	rw.WriteHeader(status)
	fmt.Fprintf(rw, `<Response><Errors><Error><Code>%s</Code><Message>%s</Message></Error></Errors><RequestID>r</RequestID></Response>`, code, message)
}

// TestOneAttempt: whatever comes of a call that changes something, the SDK does not make it again.
func TestOneAttempt(t *testing.T) {
	l := newLab(t, ec2.Options{})
	assign := reconcile.Call{Action: reconcile.Assign, ENI: ipam.ENIID(l.eth0.ID), Count: 1}
	hangUp := func(_ string, _ map[string][]string, rw http.ResponseWriter) bool {
		conn, _, err := http.NewResponseController(rw).Hijack()
		if err == nil {
			_ = conn.Close()
		}
		return true
	}
	answer := func(status int, code, message string) func(string, map[string][]string, http.ResponseWriter) bool {
		return func(_ string, _ map[string][]string, rw http.ResponseWriter) bool {
			refuse(rw, status, code, message)
			return true
		}
	}
	for _, test := range []struct {
		name   string
		before func(string, map[string][]string, http.ResponseWriter) bool
		want   reconcile.Class
	}{
		{"reset", hangUp, reconcile.Unknown},
		{"garbage", func(_ string, _ map[string][]string, rw http.ResponseWriter) bool {
			fmt.Fprint(rw, "<html>")
			return true
		}, reconcile.Unknown},
		{"internal error", answer(500, "InternalError", "x"), reconcile.Unknown},
		{"unavailable", answer(503, "Unavailable", "x"), reconcile.Unknown},
		{"throttled as 503", answer(503, "RequestLimitExceeded", "x"), reconcile.Throttled},
		{"throttled as 400", answer(400, "Throttling", "x"), reconcile.Throttled},
		{"full subnet", answer(400, "InsufficientFreeAddressesInSubnet", "x"), reconcile.SubnetFull},
		{"full subnet in prefix mode", answer(400, "InvalidParameterValue", "There aren't sufficient free Ipv4 addresses or prefixes"), reconcile.SubnetFull},
		{"index taken", answer(400, "InvalidParameterValue", "Instance 'i-1' already has an interface attached at device index '1'."), reconcile.Stale},
		{"instance pending", answer(400, "IncorrectInstanceState", "x"), reconcile.Transition},
		{"not allowed", answer(403, "UnauthorizedOperation", "x"), reconcile.Denied},
		{"wrong time", answer(400, "RequestExpired", "x"), reconcile.Clock},
		{"unheard of", answer(400, "SomethingNew", "x"), reconcile.Other},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := l.count(string(reconcile.Assign))
			l.mu.Lock()
			l.before = test.before
			l.mu.Unlock()
			l.do(t, assign, test.want)
			if got := l.count(string(reconcile.Assign)) - before; got != 1 {
				t.Errorf("%d requests on the wire, want 1", got)
			}
		})
	}
}

// TestDeadline: a call that is not answered ends with its deadline, and nobody knows what became of it.
func TestDeadline(t *testing.T) {
	l := newLab(t, ec2.Options{})
	hang := make(chan struct{})
	l.before = func(string, map[string][]string, http.ResponseWriter) bool { <-hang; return true }
	defer close(hang)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	a := l.Do(ctx, reconcile.Call{Action: reconcile.Delete, ENI: ipam.ENIID(l.eth0.ID)})
	if a.Class != reconcile.Unknown || l.count(string(reconcile.Delete)) != 1 {
		t.Errorf("%+v after %d requests", a, l.count(string(reconcile.Delete)))
	}
}

// TestAway: an endpoint that cannot be reached has not been asked; missing credentials neither.
func TestAway(t *testing.T) {
	l := newLab(t, ec2.Options{})
	call := reconcile.Call{Action: reconcile.Delete, ENI: ipam.ENIID(l.eth0.ID)}
	closed := httptest.NewServer(nil)
	closed.Close()
	away, err := ec2.New(settings(closed.URL), ec2.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if a := away.Do(t.Context(), call); a.Class != reconcile.Away {
		t.Errorf("nobody listens: %+v", a)
	}
	cfg := settings(l.url)
	cfg.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{}, errors.New("no role")
	})
	anonymous, err := ec2.New(cfg, ec2.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if a := anonymous.Do(t.Context(), call); a.Class != reconcile.Denied || !strings.Contains(a.Text, "no role") || l.count(string(reconcile.Delete)) != 0 {
		t.Errorf("no credentials: %+v, %d requests", a, l.count(string(reconcile.Delete)))
	}
}

func TestOptions(t *testing.T) {
	o := ec2.Options{Share: 3, Rates: map[reconcile.Action]ec2.Rate{"AttachENI": {Burst: 1, PerSecond: 1}, reconcile.Attach: {}}}
	err := o.Validate()
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"ec2.share: is 3", "ec2.rates.AttachENI: is no action", "ec2.rates.AttachNetworkInterface: burst is 0"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
}

package wire_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/enichain/enichain/test/lab/vpc"
)

// Nonsense in a request gets EC2's error and changes nothing.
func TestNonsense(t *testing.T) {
	l := newLab(t, vpc.Config{})
	const version = "&Version=2016-11-15"
	create := "Action=CreateNetworkInterface" + version + "&SubnetId=" + l.subnet.ID
	assign := "Action=AssignPrivateIpAddresses" + version + "&NetworkInterfaceId=" + l.eth0.ID
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	for _, test := range []struct {
		name, query string
		edit        func(*http.Request)
		status      int
		code        string
	}{
		{"nothing", "", nil, 400, "MissingAction"},
		{"no version", "Action=DescribeVpcs", nil, 400, "MissingParameter"},
		{"old version", "Action=DescribeVpcs&Version=2014-10-01", nil, 400, "NoSuchVersion"},
		{"unknown action", "Action=RunInstances" + version, nil, 400, "InvalidAction"},
		{"unknown parameter", create + "&Colour=red", nil, 400, "UnknownParameter"},
		{"unknown member", create + "&TagSpecification.1.Colour=red", nil, 400, "UnknownParameter"},
		{"list with a word for index", create + "&SecurityGroupId.first=sg-1", nil, 400, "UnknownParameter"},
		{"list from zero", create + "&SecurityGroupId.0=sg-1", nil, 400, "UnknownParameter"},
		{"list as a value", create + "&SecurityGroupId=sg-1", nil, 400, "InvalidParameterValue"},
		{"value as a list", create + "&Description.1=x", nil, 400, "InvalidParameterValue"},
		{"awsQuery list", create + "&SecurityGroupId.member.1=sg-1", nil, 400, "UnknownParameter"},
		{"empty segment", create + "&SecurityGroupId..1=sg-1", nil, 400, "UnknownParameter"},
		{"twice the same", create + "&Description=a&Description=b", nil, 400, "MalformedQueryString"},
		{"word for a number", create + "&SecondaryPrivateIpAddressCount=two", nil, 400, "InvalidParameterValue"},
		{"number too large", create + "&SecondaryPrivateIpAddressCount=99999999999", nil, 400, "InvalidParameterValue"},
		{"word for a boolean", create + "&DryRun=perhaps", nil, 400, "InvalidParameterValue"},
		{"not an address", create + "&PrivateIpAddress=10.110.10.300", nil, 400, "InvalidParameterValue"},
		{"IPv6 for IPv4", create + "&PrivateIpAddress=2001:db8::1", nil, 400, "InvalidParameterValue"},
		{"not a prefix", assign + "&Ipv4Prefix.1=10.110.10.16", nil, 400, "InvalidParameterValue"},
		{"zero addresses", assign + "&SecondaryPrivateIpAddressCount=0", nil, 400, "InvalidParameterValue"},
		{"dry run where there is none", assign + "&SecondaryPrivateIpAddressCount=1&DryRun=true", nil, 400, "UnknownParameter"},
		{"required and empty", "Action=CreateNetworkInterface" + version + "&SubnetId=", nil, 400, "MissingParameter"},
		{"required and missing", "Action=AttachNetworkInterface" + version + "&NetworkInterfaceId=eni-1&InstanceId=i-1", nil, 400, "MissingParameter"},
		{"not modelled", create + "&EnablePrimaryIpv6=true", nil, 400, "UnsupportedOperation"},
		{"dry run", create + "&DryRun=true", nil, 412, "DryRunOperation"},
		{"no signature", create, header("Authorization", ""), 401, "MissingAuthenticationToken"},
		{"not a signature", create, header("Authorization", "Bearer x"), 400, "IncompleteSignature"},
		{"other region", create, header("Authorization", strings.Replace(signature, "lab-1", "eu-west-1", 1)), 401, "AuthFailure"},
		{"JSON", `{"Action":"DescribeVpcs"}`, header("Content-Type", "application/json"), 400, "MalformedQueryString"},
		{"bad escape", create + "&Description=%zz", nil, 400, "MalformedQueryString"},
		{"other method", create, func(r *http.Request) { r.Method = http.MethodPut }, 400, "InvalidRequest"},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := l.Dump(time.Now())
			l.judge.t = &forgiving{t}
			status, body := l.post(test.query, test.edit)
			if status != test.status || !strings.Contains(body, "<Code>"+test.code+"</Code>") {
				t.Errorf("answered %d %s, want %d %s", status, body, test.status, test.code)
			}
			if after := l.Dump(time.Now()); after != before {
				t.Errorf("the world changed:\n%s\nbefore:\n%s", after, before)
			}
		})
	}
}

// forgiving lets the judge's complaints about what the client sent pass: here that is meant.
type forgiving struct{ testing.TB }

func (f *forgiving) Errorf(format string, args ...any) {
	if !strings.HasPrefix(format, "a client sent") {
		f.TB.Errorf(format, args...)
	}
}

// The journal and the counters name callers by their access key id.
func TestCaller(t *testing.T) {
	l := newLab(t, vpc.Config{})
	l.post("Action=DescribeVpcs&Version=2016-11-15", nil)
	l.post("Action=DescribeVpcs&Version=2016-11-15&VpcId.1=vpc-1", nil)
	counts := l.Counts()
	want := vpc.Count{Action: "DescribeVpcs", Caller: "AKIATESTER", Accepted: 1, Refused: 1, Last: counts[0].Last}
	if len(counts) != 1 || counts[0] != want || want.Last.IsZero() {
		t.Errorf("counts are %+v", counts)
	}
}

// Many clients with one token, at once, make one interface.
func TestManyClients(t *testing.T) {
	l := newLab(t, vpc.Config{Latency: vpc.Typical(0.1)})
	var group sync.WaitGroup
	for range 16 {
		group.Go(func() {
			_, err := l.sdk().CreateNetworkInterface(t.Context(), &ec2.CreateNetworkInterfaceInput{SubnetId: &l.subnet.ID, ClientToken: aws.String("t")})
			if err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if got := len(l.NetworkInterfaces(l.now().Add(time.Second))); got != 2 {
		t.Errorf("there are %d interfaces, want the primary and one", got)
	}
}

// An answer is held back until its time, and the kernel side is settled before it.
func TestLatency(t *testing.T) {
	const slow = 150 * time.Millisecond
	l := newLab(t, vpc.Config{Latency: vpc.Latencies{"DescribeVpcs": {Answer: slow}}})
	start := time.Now()
	l.post("Action=DescribeVpcs&Version=2016-11-15", nil)
	if took := time.Since(start); took < slow {
		t.Errorf("answered after %v, want %v", took, slow)
	}
	if l.settled != 2 {
		t.Errorf("settled %d times, want 2", l.settled)
	}
}

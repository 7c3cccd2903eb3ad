package vpc_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/enichain/enichain/test/lab/vpc"
)

func (l *lab) fault(kind, argument string, lasts time.Duration) error {
	f, err := vpc.ParseFault(kind, argument)
	if err != nil {
		return err
	}
	if lasts > 0 {
		f.Until = l.now.Add(lasts)
	}
	return l.SetFault(l.now, f)
}

// Each fault does what it says, lists itself, ends by itself, and what was broken works again.
func TestFaults(t *testing.T) {
	assign := func(l *lab) vpc.Request { return vpc.AssignPrivateIpAddresses{ID: l.eth0.ID, Count: 1} }
	block := func(l *lab) vpc.Request { return vpc.AssignPrivateIpAddresses{ID: l.eth0.ID, PrefixCount: 1} }
	for _, test := range []struct {
		kind, argument string
		call           func(*lab) vpc.Request
		want           string
	}{
		{"throttle", "Assign*=0", assign, "RequestLimitExceeded"},
		{"ec2-error", "Assign*=InternalError", assign, "InternalError"},
		{"ec2-error", "AssignPrivateIpAddresses=Unavailable", assign, "Unavailable"},
		{"deny", "*", assign, "UnauthorizedOperation"},
		{"subnet-full", "subnet-a", assign, "InsufficientFreeAddressesInSubnet"},
		{"subnet-full", "subnet-a", block, "InvalidParameterValue"},
		{"subnet-full", "tiny", assign, ""},
		{"fragment", "subnet-a", block, "InsufficientCidrBlocks"},
		{"fragment", "subnet-a", assign, ""},
		{"deny", "Create*", assign, ""},
	} {
		t.Run(test.kind+" "+test.argument, func(t *testing.T) {
			l := newLab(t, vpc.Config{})
			if err := l.fault(test.kind, test.argument, 12*time.Second); err != nil {
				t.Fatal(err)
			}
			if got := l.refused(test.call(l)); got != test.want {
				t.Errorf("answered %q, want %q", got, test.want)
			}
			active := l.Faults(l.now)
			if len(active) != 1 || active[0].String() != test.kind+" "+test.argument || active[0].Until.Sub(l.now) != 12*time.Second {
				t.Errorf("active: %v", active)
			}
			l.now = l.now.Add(12 * time.Second)
			if got := l.refused(test.call(l)); got != "" || len(l.Faults(l.now)) != 0 {
				t.Errorf("after its time: %q, active %v", got, l.Faults(l.now))
			}
		})
	}
}

// A throttled rate lets so many calls through.
func TestFaultThrottleRate(t *testing.T) {
	l := newLab(t, vpc.Config{})
	if err := l.fault("throttle", "Describe*=2", 0); err != nil {
		t.Fatal(err)
	}
	granted := 0
	for range 50 {
		if l.refused(vpc.DescribeVpcs{}) == "" {
			granted++
		}
		l.now = l.now.Add(100 * time.Millisecond)
	}
	if granted < 10 || granted > 12 {
		t.Errorf("%d calls in 5 s were granted, want 2 a second and 2 saved up", granted)
	}
}

func TestFaultLatency(t *testing.T) {
	l := newLab(t, vpc.Config{})
	if err := l.fault("latency", "AttachNetworkInterface=8s", 0); err != nil {
		t.Fatal(err)
	}
	n := l.eni(vpc.CreateNetworkInterface{})
	start := l.now
	r, err := l.Call(l.now, "tester", vpc.AttachNetworkInterface{ID: n.ID, InstanceID: l.node.ID, Device: 1})
	if err != nil || r.Answered.Sub(start) != 8*time.Second || r.Effect.Sub(start) != 8*time.Second {
		t.Errorf("answered after %v, effect after %v, %v", r.Answered.Sub(start), r.Effect.Sub(start), err)
	}
}

// An interface pulled from outside is gone from the instance and there for the next.
func TestFaultDetach(t *testing.T) {
	l := newLab(t, vpc.Config{})
	n := l.eni(vpc.CreateNetworkInterface{})
	l.attach(n.ID, 1)
	l.seen(0)
	if err := l.fault("detach", n.ID[:9], 0); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"0s detached #1 1+0 on 1"}, l.seen(0)); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	if got := l.truth(n.ID).Status(); got != "available" || len(l.Faults(l.now)) != 0 {
		t.Errorf("it is %s; faults %v", got, l.Faults(l.now))
	}
}

func TestFaultRefusals(t *testing.T) {
	l := newLab(t, vpc.Config{})
	for _, test := range []struct{ kind, argument, want string }{
		{"earthquake", "now", "there is no fault"},
		{"throttle", "Attach*", "TARGET=VALUE"},
		{"throttle", "Attach*=often", "calls a second"},
		{"throttle", "Attach[=1", "pattern of actions"},
		{"latency", "Attach*=11m", "0s..10m"},
		{"visibility", "soon", "duration"},
		{"subnet-full", "subnet-x", `no subnet "subnet-x"`},
		{"subnet-full", "subnet-", "means 3 of the subnets"},
		{"imds-stale", "node-9", `no instance "node-9"`},
		{"imds-lag", "node-1", "TARGET=VALUE"},
		{"detach", "eni-0", "means 2 of the network interfaces"},
		{"detach", l.eth0.ID, "primary"},
		{"detach", "", "target"},
		{"ec2-error", "Assign*=<b>", "not an error code"},
	} {
		t.Run(test.kind+" "+test.argument, func(t *testing.T) {
			if err := l.fault(test.kind, test.argument, 0); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
	if got := l.Faults(l.now); len(got) != 0 {
		t.Errorf("refused faults are active: %v", got)
	}
}

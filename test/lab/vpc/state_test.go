package vpc_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/enichain/enichain/test/lab/vpc"
)

// slowly is how long changes of an instance's state take in these tests.
func slowly() vpc.Latencies {
	slow := vpc.Latency{Answer: time.Second, Effect: 10 * time.Second}
	return vpc.Latencies{"StopInstances": slow, "StartInstances": slow, "RebootInstances": slow, "TerminateInstances": slow,
		"AttachNetworkInterface": {Effect: 2 * time.Second}}
}

// state is what DescribeInstances shows of the node.
func (l *lab) state() vpc.InstanceState {
	l.t.Helper()
	return ok[vpc.DescribeInstancesOutput](l, vpc.DescribeInstances{IDs: []string{l.node.ID}}).Instances[0].Instance.State
}

// granted makes a call that must be granted, without waiting for it.
func (l *lab) granted(r vpc.Request) {
	l.t.Helper()
	if _, err := l.Call(l.now, "tester", r); err != nil {
		l.t.Fatalf("%s: %v", r.Action(), err)
	}
}

// An instance stops and starts in its time; what it has stays, its machine goes and comes.
func TestStopAndStart(t *testing.T) {
	l := newLab(t, vpc.Config{Latency: slowly()})
	ids := []string{l.node.ID}
	n := l.eni(vpc.CreateNetworkInterface{SecondaryCount: 3})
	l.granted(vpc.AttachNetworkInterface{ID: n.ID, InstanceID: l.node.ID, Device: 1})
	l.seen(5 * time.Second)
	at := func(s int) { l.now = time.Date(2026, 11, 20, 9, 0, s, 0, time.UTC) }

	at(5)
	l.granted(vpc.StopInstances{IDs: ids})
	if got := l.state(); got != vpc.Stopping {
		t.Errorf("stopping: %s", got)
	}
	if got := l.refused(vpc.StartInstances{IDs: ids}); got != "IncorrectInstanceState" {
		t.Errorf("started while it stops: %q", got)
	}
	if _, on := l.Metadata(l.now, l.node.ID); !on {
		t.Error("it has no metadata before it is stopped")
	}
	at(15)
	if got := l.state(); got != vpc.Stopped {
		t.Errorf("stopped: %s", got)
	}
	if diff := cmp.Diff([]string{"15s stopped 1"}, l.seen(15*time.Second)); diff != "" {
		t.Errorf("machine (-want +got):\n%s", diff)
	}
	if _, on := l.Metadata(l.now, l.node.ID); on {
		t.Error("a stopped instance has metadata")
	}
	if got := l.truth(n.ID); got.Instance() != l.node.ID || len(got.Secondary) != 3 {
		t.Errorf("the interface of a stopped instance: %+v", got)
	}
	more := l.eni(vpc.CreateNetworkInterface{}) // one can attach to a stopped instance; the link comes with the start
	l.granted(vpc.AttachNetworkInterface{ID: more.ID, InstanceID: l.node.ID, Device: 2})
	ok[vpc.Done](l, vpc.ModifyInstanceAttribute{ID: l.node.ID, InstanceType: &vpc.StringValue{Value: "m5.large"}})
	at(20)
	l.granted(vpc.StartInstances{IDs: ids})
	if got := l.state(); got != vpc.Pending {
		t.Errorf("starting: %s", got)
	}
	if got := l.refused(vpc.ModifyInstanceAttribute{ID: l.node.ID, InstanceType: &vpc.StringValue{Value: "t3.small"}}); got != "IncorrectInstanceState" {
		t.Errorf("another type while it starts: %q", got)
	}
	at(30)
	want := []string{"30s started 1", "30s attached #0 1+0 on 1", "30s attached #1 4+0 on 1", "30s attached #2 1+0 on 1"}
	if diff := cmp.Diff(want, l.seen(30*time.Second)); diff != "" {
		t.Errorf("machine (-want +got):\n%s", diff)
	}
	if i, _ := l.Instance(l.node.ID); i.State != vpc.Running || i.Type != "m5.large" || !i.Launched.Equal(time.Date(2026, 11, 20, 9, 0, 20, 0, time.UTC)) {
		t.Errorf("started: %+v", i)
	}
}

// A terminated instance passes through its states, overtakes a stop, and is forgotten after its time, whole calls with it.
func TestTerminateInTime(t *testing.T) {
	l := newLab(t, vpc.Config{Latency: slowly()})
	ids := []string{l.node.ID}
	l.seen(0)
	l.granted(vpc.StopInstances{IDs: ids})
	l.now = l.now.Add(5 * time.Second)
	l.granted(vpc.TerminateInstances{IDs: ids})
	if got := l.state(); got != vpc.ShuttingDown {
		t.Errorf("shutting down: %s", got)
	}
	if got := l.refused(vpc.StopInstances{IDs: ids}); got != "IncorrectInstanceState" {
		t.Errorf("stopped while it shuts down: %q", got)
	}
	l.now = l.now.Add(10 * time.Second)
	if diff := cmp.Diff([]string{"15s detached #0 1+0 on 1", "15s terminated 1"}, l.seen(time.Minute)); diff != "" {
		t.Errorf("machine (-want +got):\n%s", diff)
	}
	if got := l.state(); got != vpc.Terminated {
		t.Errorf("terminated: %s", got)
	}
	again := ok[vpc.TerminateInstancesOutput](l, vpc.TerminateInstances{IDs: ids}).Changes
	if diff := cmp.Diff([]vpc.StateChange{{ID: l.node.ID, Previous: vpc.Terminated, Current: vpc.Terminated}}, again); diff != "" {
		t.Errorf("terminated again (-want +got):\n%s", diff)
	}
	l.now = l.now.Add(time.Hour + 2*time.Second)
	if got := l.refused(vpc.DescribeInstances{IDs: []string{l.big.ID, l.node.ID}}); got != "InvalidInstanceID.NotFound" {
		t.Errorf("forgotten: %q", got)
	}
	if got := len(ok[vpc.DescribeInstancesOutput](l, vpc.DescribeInstances{}).Instances); got != 1 {
		t.Errorf("%d instances are left, want 1", got)
	}
}

// A reboot takes the machine away and brings it back, the state stays.
func TestReboot(t *testing.T) {
	l := newLab(t, vpc.Config{Latency: slowly()})
	l.seen(0)
	l.granted(vpc.RebootInstances{IDs: []string{l.node.ID}})
	if diff := cmp.Diff([]string{"10s stopped 1", "10s started 1", "10s attached #0 1+0 on 1"}, l.seen(time.Minute)); diff != "" {
		t.Errorf("machine (-want +got):\n%s", diff)
	}
	if got := l.state(); got != vpc.Running {
		t.Errorf("rebooted: %s", got)
	}
}

// A new instance can be pending for a while; one can attach to it after that.
func TestPending(t *testing.T) {
	l := newLab(t, vpc.Config{Visibility: 3 * time.Second})
	l.now = l.now.Add(time.Minute)
	i, _, err := l.AddInstance(l.now, vpc.Launch{Type: "m5.large", Subnet: l.a.ID, Pending: 20 * time.Second})
	if err != nil || i.State != vpc.Pending {
		t.Fatalf("%s: %v", i.State, err)
	}
	if got := l.refused(vpc.DescribeInstances{IDs: []string{i.ID}}); got != "InvalidInstanceID.NotFound" {
		t.Errorf("asked for before it can be seen: %q", got)
	}
	attach := vpc.AttachNetworkInterface{ID: l.eni(vpc.CreateNetworkInterface{}).ID, InstanceID: i.ID, Device: 1}
	if got := l.refused(attach); got != "IncorrectInstanceState" {
		t.Errorf("attached while pending: %q", got)
	}
	l.now = l.now.Add(20 * time.Second)
	l.granted(attach)
}

package vpc_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/enichain/enichain/test/lab/vpc"
)

// seen is what Advance tells, as text: seconds since nine o'clock, what happened and how many addresses there are.
func (l *lab) seen(at time.Duration) []string {
	start := time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)
	var lines []string
	for _, c := range l.Advance(start.Add(at)) {
		if c.ENI.ID == "" {
			lines = append(lines, fmt.Sprintf("%v %s %s", c.At.Sub(start), c.Kind, c.Instance[len(c.Instance)-1:]))
			continue
		}
		lines = append(lines, fmt.Sprintf("%v %s #%d %d+%d on %s", c.At.Sub(start), c.Kind, c.ENI.Attachment.Device,
			len(c.ENI.Addresses()), len(c.ENI.Prefixes), c.Instance[len(c.Instance)-1:]))
	}
	return lines
}

// Effects come in their time: for the kernel side, in truth, and never before they were asked for.
func TestEffects(t *testing.T) {
	second := func(answer, effect float64) vpc.Latency {
		d := func(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
		return vpc.Latency{Answer: d(answer), Effect: d(effect)}
	}
	l := newLab(t, vpc.Config{Latency: vpc.Latencies{"Create*": second(1, 0.5), "Attach*": second(1, 4), "Detach*": second(1, 2),
		"Assign*": second(1, 1), "Unassign*": second(1, 1), "Delete*": second(1, 1)}})
	if diff := cmp.Diff([]string{"0s attached #0 1+0 on 1", "0s attached #0 1+0 on 2"}, l.seen(0)); diff != "" {
		t.Errorf("at the start (-want +got):\n%s", diff)
	}
	start := l.now
	at := func(s float64) time.Time { return start.Add(time.Duration(s * float64(time.Second))) }
	call := func(s float64, r vpc.Request) vpc.Response {
		t.Helper()
		response, err := l.Call(at(s), "tester", r)
		if err != nil {
			t.Fatal(err)
		}
		return response
	}
	made := call(0, vpc.CreateNetworkInterface{SubnetID: l.a.ID, SecondaryCount: 2})
	n := made.Output.(vpc.CreateNetworkInterfaceOutput).NetworkInterface
	if !made.Answered.Equal(at(1)) || !made.Effect.Equal(at(0.5)) {
		t.Errorf("created at %v, answered at %v", made.Effect.Sub(start), made.Answered.Sub(start))
	}
	if _, early := l.NetworkInterface(at(0.4), n.ID); early {
		t.Error("it is there before its time")
	}
	attachment := call(1, vpc.AttachNetworkInterface{ID: n.ID, InstanceID: l.node.ID, Device: 1}).Output.(vpc.AttachNetworkInterfaceOutput).AttachmentID
	if got, _ := l.NetworkInterface(at(2), n.ID); got.Attachment == nil || got.Attachment.Status() != vpc.Attaching || got.Status() != "in-use" {
		t.Errorf("while attaching: %+v", got.Attachment)
	}
	if got := l.refused(vpc.DetachNetworkInterface{AttachmentID: attachment}); got != "IncorrectState" {
		t.Errorf("detaching while attaching: %q", got)
	}
	if next, ok := l.Next(); !ok || !next.Equal(at(5)) {
		t.Errorf("next change at %v", next.Sub(start))
	}
	if got := l.seen(4900 * time.Millisecond); got != nil {
		t.Errorf("before it is attached: %v", got)
	}
	more := call(6, vpc.AssignPrivateIpAddresses{ID: n.ID, Count: 2}).Output.(vpc.AssignPrivateIpAddressesOutput)
	call(6.2, vpc.UnassignPrivateIpAddresses{ID: n.ID, Addresses: more.Addresses[:1]})
	call(8, vpc.DetachNetworkInterface{AttachmentID: attachment})
	if got, _ := l.NetworkInterface(at(9), n.ID); got.Attachment.Status() != vpc.Detaching {
		t.Errorf("while detaching: %s", got.Attachment.Status())
	}
	want := []string{"5s attached #1 3+0 on 1", "7s addresses #1 5+0 on 1", "7.2s addresses #1 4+0 on 1", "10s detached #1 4+0 on 1"}
	if diff := cmp.Diff(want, l.seen(20*time.Second)); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	call(20, vpc.DeleteNetworkInterface{ID: n.ID})
	if _, there := l.NetworkInterface(at(20.9), n.ID); !there {
		t.Error("it is gone before its time")
	}
	if _, there := l.NetworkInterface(at(21), n.ID); there {
		t.Error("it is not gone")
	}
}

// An address that was given up is nobody's before the call took effect, and anybody's after it.
func TestReleasedAddress(t *testing.T) {
	l := newLab(t, vpc.Config{Latency: vpc.Latencies{"Unassign*": {Effect: time.Second}}})
	n := l.eni(vpc.CreateNetworkInterface{SecondaryCount: 1})
	a := n.Secondary
	if _, err := l.Call(l.now, "tester", vpc.UnassignPrivateIpAddresses{ID: n.ID, Addresses: a}); err != nil {
		t.Fatal(err)
	}
	take := vpc.AssignPrivateIpAddresses{ID: l.eth0.ID, Addresses: a}
	if got := l.refused(take); got != "Resource.AlreadyAssigned" {
		t.Errorf("at once: %q", got)
	}
	l.now = l.now.Add(time.Second)
	ok[vpc.AssignPrivateIpAddressesOutput](l, take)
}

// Describes show the past when visibility lags; calls by id can be refused for a while.
func TestVisibility(t *testing.T) {
	l := newLab(t, vpc.Config{Visibility: 5 * time.Second, NotFound: 2 * time.Second})
	l.now = l.now.Add(time.Minute)
	count := func() int {
		return len(ok[vpc.DescribeNetworkInterfacesOutput](l, vpc.DescribeNetworkInterfaces{}).NetworkInterfaces)
	}
	n := l.eni(vpc.CreateNetworkInterface{})
	if got := count(); got != 2 {
		t.Errorf("at once: %d interfaces, want the 2 of before", got)
	}
	if got := l.refused(vpc.DescribeNetworkInterfaces{IDs: []string{n.ID}}); got != "InvalidNetworkInterfaceID.NotFound" {
		t.Errorf("by id at once: %q", got)
	}
	attach := vpc.AttachNetworkInterface{ID: n.ID, InstanceID: l.node.ID, Device: 1}
	if got := l.refused(attach); got != "InvalidNetworkInterfaceID.NotFound" {
		t.Errorf("attach at once: %q", got)
	}
	l.now = l.now.Add(3 * time.Second)
	attachment := ok[vpc.AttachNetworkInterfaceOutput](l, attach).AttachmentID
	l.now = l.now.Add(3 * time.Second) // the list sees the interface, not yet its attachment
	if got := ok[vpc.DescribeNetworkInterfacesOutput](l, vpc.DescribeNetworkInterfaces{IDs: []string{n.ID}}).NetworkInterfaces[0]; got.Status() != "available" {
		t.Errorf("after 6 s it is shown %s", got.Status())
	}
	if got := len(ok[vpc.DescribeInstancesOutput](l, vpc.DescribeInstances{IDs: []string{l.node.ID}}).Instances[0].NetworkInterfaces); got != 1 {
		t.Errorf("after 6 s the instance is shown with %d interfaces", got)
	}
	l.now = l.now.Add(5 * time.Second)
	ok[vpc.Done](l, vpc.DetachNetworkInterface{AttachmentID: attachment})
	ok[vpc.Done](l, vpc.DeleteNetworkInterface{ID: n.ID})
	if got := count(); got != 3 {
		t.Errorf("just deleted: %d interfaces are shown, want 3", got)
	}
	l.now = l.now.Add(5 * time.Second)
	if got := count(); got != 2 {
		t.Errorf("long deleted: %d interfaces are shown, want 2", got)
	}
}

// What was deleted is forgotten after the horizon, with everything that belonged to it.
func TestForgotten(t *testing.T) {
	l := newLab(t, vpc.Config{})
	n := l.eni(vpc.CreateNetworkInterface{})
	attachment := l.attach(n.ID, 1)
	ok[vpc.Done](l, vpc.DetachNetworkInterface{AttachmentID: attachment})
	ok[vpc.Done](l, vpc.DeleteNetworkInterface{ID: n.ID})
	l.now = l.now.Add(vpc.Horizon + time.Second)
	if got := l.refused(vpc.DetachNetworkInterface{AttachmentID: attachment}); got != "InvalidAttachmentID.NotFound" {
		t.Errorf("detaching what is forgotten: %q", got)
	}
	if m, there := l.Metadata(l.now, l.node.ID); !there || len(m.Interfaces) != 1 {
		t.Errorf("metadata: %v with %d interfaces", there, len(m.Interfaces))
	}
}

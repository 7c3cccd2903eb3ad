package vpc_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/enichain/enichain/test/lab/vpc"
)

// The published buckets: how many calls go at once, and how many more in ten seconds. A world without anything in it
// refuses most of them by its rules, but only after the bucket.
func TestPublishedBuckets(t *testing.T) {
	page := vpc.Page{MaxResults: 5}
	for _, test := range []struct {
		request     vpc.Request
		burst, more int
	}{
		{vpc.CreateNetworkInterface{}, 100, 50},
		{vpc.DeleteNetworkInterface{}, 100, 50},
		{vpc.ModifyNetworkInterfaceAttribute{}, 100, 50},
		{vpc.AssignPrivateIpAddresses{}, 100, 50},
		{vpc.UnassignPrivateIpAddresses{}, 100, 50},
		{vpc.AssignIpv6Addresses{}, 100, 50},
		{vpc.UnassignIpv6Addresses{}, 50, 50},
		{vpc.AttachNetworkInterface{}, 50, 50},
		{vpc.DetachNetworkInterface{}, 50, 50},
		{vpc.CreateTags{}, 100, 100},
		{vpc.DeleteTags{}, 100, 100},
		{vpc.DescribeSubnets{}, 100, 200},
		{vpc.DescribeNetworkInterfaces{Page: page}, 100, 200},
		{vpc.DescribeNetworkInterfaces{IDs: []string{"eni-1"}}, 100, 200},
		{vpc.DescribeNetworkInterfaces{}, 50, 100},
		{vpc.DescribeInstances{}, 50, 100},
		{vpc.DescribeInstances{Page: page}, 100, 200},
		{vpc.DescribeSecurityGroups{}, 50, 100},
	} {
		t.Run(test.request.Action(), func(t *testing.T) {
			w := vpc.New(vpc.Config{Buckets: vpc.Published(1)}, rand.New(rand.NewPCG(0, 0)))
			now := time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)
			granted := func(calls int) int {
				n := 0
				for range calls {
					if _, err := w.Call(now, "c", test.request); err == nil || err.Code != vpc.CodeThrottled {
						n++
					} else if err.HTTPStatus != 503 {
						t.Fatalf("throttled with HTTP %d", err.HTTPStatus)
					}
				}
				return n
			}
			if got := granted(300); got != test.burst {
				t.Errorf("%d calls at once were granted, want %d", got, test.burst)
			}
			more := 0
			for range 100 {
				now = now.Add(100 * time.Millisecond)
				more += granted(5)
			}
			if more != test.more {
				t.Errorf("%d calls in the next 10 s were granted, want %d", more, test.more)
			}
		})
	}
}

// Buckets are per action, for all callers together, scalable and switchable; counters are per caller.
func TestBucketsAreShared(t *testing.T) {
	l := newLab(t, vpc.Config{Buckets: vpc.Published(0.1)})
	for n := range 12 {
		caller := "even"
		if n%2 == 1 {
			caller = "odd"
		}
		_, _ = l.Call(l.now, caller, vpc.DeleteNetworkInterface{ID: "eni-1"})
	}
	_, _ = l.Call(l.now, "even", vpc.DescribeVpcs{})
	first := l.now
	want := []vpc.Count{
		{Action: "DeleteNetworkInterface", Caller: "even", Refused: 5, Throttled: 1, Last: first},
		{Action: "DeleteNetworkInterface", Caller: "odd", Refused: 5, Throttled: 1, Last: first},
		{Action: "DescribeVpcs", Caller: "even", Accepted: 1, Last: first},
	}
	if diff := cmp.Diff(want, l.Counts()); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
	l.now = l.now.Add(time.Hour)
	_, _ = l.Call(l.now, "odd", vpc.DescribeVpcs{})
	for _, test := range []struct {
		name  string
		since time.Time
		want  []vpc.Count
	}{
		{"the last hour, not its first instant", first.Add(1), []vpc.Count{{Action: "DescribeVpcs", Caller: "odd", Accepted: 1, Last: l.now}}},
		{"from the first call on", first, append(want, vpc.Count{Action: "DescribeVpcs", Caller: "odd", Accepted: 1, Last: l.now})},
		{"from now on", l.now.Add(1), []vpc.Count{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := l.CountsSince(test.since)
			if diff := cmp.Diff(test.want, got); diff != "" || err != nil {
				t.Errorf("%v; counts (-want +got):\n%s", err, diff)
			}
		})
	}
}

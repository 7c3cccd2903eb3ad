package vpc_test

import (
	"testing"
	"time"

	"github.com/enichain/enichain/test/lab/vpc"
)

// A ClientToken makes one interface, whatever is lost in between.
func TestClientToken(t *testing.T) {
	l := newLab(t, vpc.Config{Latency: vpc.Latencies{"CreateNetworkInterface": {Answer: time.Second, Effect: time.Second}}})
	r := vpc.CreateNetworkInterface{SubnetID: l.a.ID, SecondaryCount: 2, ClientToken: "t"}
	first, err := l.Call(l.now, "one", r)
	if err != nil {
		t.Fatal(err)
	}
	again, err := l.Call(l.now.Add(time.Millisecond), "two", r) // while the first is in flight
	if err != nil {
		t.Fatal(err)
	}
	made := first.Output.(vpc.CreateNetworkInterfaceOutput).NetworkInterface.ID
	if got := again.Output.(vpc.CreateNetworkInterfaceOutput).NetworkInterface.ID; got != made {
		t.Errorf("the token made %s and %s", made, got)
	}
	other := r
	other.SecondaryCount = 3
	if got := l.refused(other); got != "IdempotentParameterMismatch" {
		t.Errorf("other parameters: %q", got)
	}
	r.ClientToken = "u"
	if l.eni(r).ID == made {
		t.Error("another token made no other interface")
	}
	if got := len(l.NetworkInterfaces(l.now)); got != 4 {
		t.Errorf("there are %d interfaces, want 4", got)
	}
}

// A refused Create leaves its token unused.
func TestClientTokenOfARefusal(t *testing.T) {
	l := newLab(t, vpc.Config{})
	r := vpc.CreateNetworkInterface{SubnetID: l.tiny.ID, SecondaryCount: 11, ClientToken: "t"}
	if got := l.refused(r); got != "InsufficientFreeAddressesInSubnet" {
		t.Fatalf("refused with %q", got)
	}
	r.SecondaryCount = 2
	l.eni(r)
}

// What a token answers whose interface is gone is not documented: the lab does either.
func TestClientTokenOfADeletedInterface(t *testing.T) {
	for _, test := range []struct {
		name  string
		how   vpc.DeletedToken
		fresh bool
	}{
		{"answers as before", vpc.AnswersAsBefore, false},
		{"makes another", vpc.MakesAnother, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := newLab(t, vpc.Config{DeletedToken: test.how})
			r := vpc.CreateNetworkInterface{SubnetID: l.a.ID, ClientToken: "t"}
			old := l.eni(r)
			ok[vpc.Done](l, vpc.DeleteNetworkInterface{ID: old.ID})
			n := l.eni(r)
			if (n.ID != old.ID) != test.fresh {
				t.Errorf("the token of %s answers %s", old.ID, n.ID)
			}
			if _, lives := l.NetworkInterface(l.now, n.ID); lives != test.fresh {
				t.Errorf("%s lives: %v", n.ID, lives)
			}
		})
	}
}

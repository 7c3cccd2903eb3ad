package nft

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
)

func TestOwner(t *testing.T) {
	long := strings.Repeat("a", 200)
	tests := []struct {
		name, network, container string
		want                     string // up to the hash, if it has one
		hashed                   bool
	}{
		{"as it is", "enichain", "c1", "enichain/c1/eth0", false},
		{"a runtime's id", "enichain", strings.Repeat("f", 64), "enichain/" + strings.Repeat("f", 64) + "/eth0", false},
		{"container too long", "enichain", long, "enichain/", true},
		{"network too long", long, "c1", "", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := Owner(tt.network, tt.container, "eth0")
			if before, _, hashed := strings.Cut(got, "~"); before != tt.want || hashed != tt.hashed {
				t.Errorf("Owner = %q, want %q and hashed %v", got, tt.want, tt.hashed)
			}
			if len(got) > MaxOwner {
				t.Errorf("Owner has %d bytes", len(got))
			}
			if !Owned(got, tt.network) || Owned(got, "other") || Owned(got, "enichai") {
				t.Errorf("Owned(%q) does not tell networks apart", got)
			}
		})
	}
	if Owner("n", long, "eth0") == Owner("n", long, "eth1") {
		t.Error("two interfaces of one container have one owner")
	}
}

func TestTransactBeginsAnewAfterAChange(t *testing.T) {
	c := inNamespace(t)
	b := &Batch{Table: "enichain-test"}
	b.AddTable("")
	b.AddSet(Set{Name: "addresses", Key: []Type{IPv4Addr}})
	commit(t, c, b)
	calls := 0
	err := c.Transact("enichain-test", func(b *Batch) error {
		_, err := c.Element("enichain-test", "addresses", Addr(netip.MustParseAddr("10.0.0.1")))
		if calls++; calls == 1 { // somebody is faster
			run(t, "nft", "add", "element", "inet", "enichain-test", "addresses", "{ 10.0.0.1 }")
		}
		if err == nil {
			b.Delete("addresses", Element{Key: Addr(netip.MustParseAddr("10.0.0.1"))})
		} else if !errors.Is(err, ErrNotExist) {
			return err
		}
		b.Create("addresses", Element{Key: Addr(netip.MustParseAddr("10.0.0.1")), Comment: "ours"})
		return nil
	})
	if err != nil || calls != 2 {
		t.Fatalf("Transact = %v after %d calls, want 2", err, calls)
	}
	if e, err := c.Element("enichain-test", "addresses", Addr(netip.MustParseAddr("10.0.0.1"))); err != nil || e.Comment != "ours" {
		t.Errorf("Element = %+v, %v", e, err)
	}
}

func TestSteadyLooksAgain(t *testing.T) {
	c := inNamespace(t)
	calls := 0
	drift, err := c.Steady(func() (string, error) {
		if calls++; calls == 1 {
			run(t, "nft", "add", "table", "inet", "somebody")
			return "half of it is missing", nil
		}
		return "", nil
	})
	if drift != "" || err != nil || calls != 2 {
		t.Errorf("Steady = %q, %v after %d looks", drift, err, calls)
	}
	if drift, _ = c.Steady(func() (string, error) { return "gone", nil }); drift != "gone" {
		t.Errorf("Steady hides what stays: %q", drift)
	}
}

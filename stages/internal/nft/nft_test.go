package nft

import (
	"errors"
	"net/netip"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/enichain/enichain/test/need"
)

// inNamespace runs the test in a network namespace of its own and opens a socket there.
func inNamespace(t *testing.T) *Conn {
	t.Helper()
	need.NetAdmin(t)
	need.Tool(t, "nft", "nftables")
	runtime.LockOSThread() // never unlocked: the thread, and the namespace with it, ends with the test
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatalf("cannot make a network namespace: %v", err)
	}
	c, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// run runs a program in the test's namespace (a child inherits the thread's).
func run(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func commit(t *testing.T, c *Conn, b *Batch) {
	t.Helper()
	if err := c.Commit(b); err != nil {
		t.Fatal(err)
	}
}

// steering is what the stages need of the language, in one table.
func steering() Table {
	const marks = 0x7f
	return Table{
		Name: "enichain-test", Comment: "made by a test",
		Sets: []Set{
			{Name: "eniaddr", Key: []Type{IPv4Addr}, Data: []Type{Verdict}},
			{Name: "eniaddr6", Key: []Type{IPv6Addr}, Data: []Type{Verdict}},
			{Name: "pods", Key: []Type{DevGroup}, Data: []Type{Verdict}, Size: 1024},
			{Name: "inside", Key: []Type{IPv4Addr}, Interval: true},
			{Name: "inside6", Key: []Type{IPv6Addr}, Interval: true},
			{Name: "addresses", Key: []Type{IPv4Addr}, Comment: "behind other plugins"},
			{Name: "ports", Key: []Type{InetProto, InetService}, Data: []Type{IPv4Addr, InetService}},
			{Name: "ports6", Key: []Type{InetProto, InetService}, Data: []Type{IPv6Addr, InetService}},
			{Name: "addrports", Key: []Type{IPv4Addr, InetProto, InetService}, Data: []Type{IPv4Addr, InetService}},
			{Name: "addrports6", Key: []Type{IPv6Addr, InetProto, InetService}, Data: []Type{IPv6Addr, InetService}},
			{Name: "hairpin", Key: []Type{IPv4Addr, IPv4Addr}},
			{Name: "hairpin6", Key: []Type{IPv6Addr, IPv6Addr}},
		},
		Chains: []Chain{
			{Name: "eni-1", Rules: []Rule{{Expr: MarkSet(marks, 1)}}},
			{Name: "steer", Comment: "form 1", Hook: Hook{"filter", Prerouting, PriorityDstNAT + 10}, Rules: []Rule{
				{Expr: All(IIfName("eth1"), Jump("eni-1")), Comment: "came in by it"},
				{Expr: All(CtReply(), CtStatusDNAT(), CtOriginalDaddrVmap(IPv4, "eniaddr"))},
				{Expr: All(CtReply(), CtStatusDNAT(), CtOriginalDaddrVmap(IPv6, "eniaddr6"))},
				{Expr: All(CtReply(), CtStatusDNAT(), Goto("eni-1"))},
				{Expr: All(CtState(2|4), Accept())},
				{Expr: IIfGroupVmap("pods")},
			}},
			{Name: "unsteer", Hook: Hook{"filter", Prerouting, PriorityDstNAT + 11}, Rules: []Rule{
				{Expr: All(IIfGroup(7128, 7255), CtOriginal(), DaddrNotIn(IPv4, "inside"), MarkSet(marks, 0))},
				{Expr: All(IIfGroup(7128, 7255), CtOriginal(), DaddrNotIn(IPv6, "inside6"), MarkSet(marks, 0))},
			}},
			{Name: "leave", Hook: Hook{"nat", Postrouting, PrioritySrcNAT}, Rules: []Rule{
				{Expr: All(OIfName("eth0"), SNAT(netip.MustParseAddr("10.0.0.10"), FullyRandom))},
				{Expr: All(OIf(1), SaddrIn(IPv4, "addresses"), SNAT(netip.MustParseAddr("10.0.0.10"), KeepPort))},
				{Expr: All(OIf(1), DaddrIn(IPv6, "inside6"), SNAT(netip.MustParseAddr("fd00::10"), Random))},
				{Expr: All(CtStatusDNAT(), SaddrDaddrIn(IPv4, "hairpin"), Masquerade(KeepPort))},
				{Expr: All(CtStatusDNAT(), SaddrDaddrIn(IPv6, "hairpin6"), Masquerade(FullyRandom))},
			}},
			{Name: "pre", Hook: Hook{"nat", Prerouting, PriorityDstNAT}, Rules: []Rule{
				{Expr: All(FibLocal(), DNATByAddrPort(IPv4, "addrports"))},
				{Expr: All(FibLocal(), DNATByPort(IPv4, "ports"))},
				{Expr: All(FibLocal(), DNATByAddrPort(IPv6, "addrports6"))},
				{Expr: All(FibLocal(), DNATByPort(IPv6, "ports6"))},
				{Expr: Drop()},
			}},
		},
	}
}

func TestInstallReadsLikeNft(t *testing.T) {
	c := inNamespace(t)
	table := steering()
	for range 2 { // once more changes nothing
		b := &Batch{Table: table.Name}
		b.Install(table)
		commit(t, c, b)
	}
	b := &Batch{Table: table.Name}
	b.Create("pods", Element{Key: Number(7001), Jump: "eni-1"})
	b.Create("eniaddr", Element{Key: Addr(netip.MustParseAddr("10.0.0.20")), Jump: "eni-1"})
	b.Create("inside", Ranges(prefixes("10.0.0.0/16", "10.0.1.0/24", "10.1.0.0/16", "192.168.0.0/24", "255.255.255.0/24"))...)
	b.Create("inside6", Ranges(prefixes("fd00::/56"))...)
	b.Create("addresses", Element{Key: Addr(netip.MustParseAddr("10.0.0.11")), Comment: "net/c1/eth0"})
	b.Create("ports", Element{
		Key: Concat(Proto(6), Port(8080)), Data: Concat(Addr(netip.MustParseAddr("10.0.0.21")), Port(80)), Comment: "net/c1/eth0",
	})
	b.Create("ports6", Element{
		Key: Concat(Proto(17), Port(53)), Data: Concat(Addr(netip.MustParseAddr("fd00::21")), Port(5353)), Comment: "net/c1/eth0",
	})
	b.Create("addrports6", Element{
		Key:  Concat(Addr(netip.MustParseAddr("fd00::10")), Proto(17), Port(53)),
		Data: Concat(Addr(netip.MustParseAddr("fd00::21")), Port(5353)),
	})
	b.Create("hairpin", Element{Key: Concat(Addr(netip.MustParseAddr("127.0.0.1")), Addr(netip.MustParseAddr("10.0.0.21")))})
	commit(t, c, b)
	got := run(t, "nft", "-s", "list", "table", "inet", table.Name)
	if diff := cmp.Diff(steeringText, got); diff != "" {
		t.Errorf("nft list table (-want +got):\n%s", diff)
	}
	if drift, err := c.Drift(table); drift != "" || err != nil {
		t.Errorf("Drift right after Install = %q, %v", drift, err)
	}
}

func prefixes(texts ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, s := range texts {
		all = append(all, netip.MustParsePrefix(s))
	}
	return all
}

func TestRefusals(t *testing.T) {
	c := inNamespace(t)
	key := Addr(netip.MustParseAddr("10.0.0.11"))
	b := &Batch{Table: "enichain-test"}
	b.AddTable("")
	b.AddSet(Set{Name: "addresses", Key: []Type{IPv4Addr}})
	b.Create("addresses", Element{Key: key, Comment: "a/b/c"})
	commit(t, c, b)
	gen, err := c.Generation()
	if err != nil || gen == 0 {
		t.Fatalf("Generation = %d, %v", gen, err)
	}
	again := &Batch{Table: "enichain-test"}
	again.Create("addresses", Element{Key: key, Comment: "x/y/z"})
	if err := c.Commit(again); !errors.Is(err, ErrExist) || !strings.Contains(err.Error(), "create element of set addresses") {
		t.Errorf("Create of an element that is there = %v, want ErrExist", err)
	}
	if e, err := c.Element("enichain-test", "addresses", key); err != nil || e.Comment != "a/b/c" {
		t.Errorf("Element = %+v, %v", e, err)
	}
	missing := &Batch{Table: "enichain-test"}
	missing.Delete("addresses", Element{Key: Addr(netip.MustParseAddr("10.0.0.12"))})
	if err := c.Commit(missing); !errors.Is(err, ErrNotExist) {
		t.Errorf("Delete of an element that is not there = %v, want ErrNotExist", err)
	}
	swap := &Batch{Table: "enichain-test"}
	swap.At(gen)
	swap.Delete("addresses", Element{Key: key})
	swap.Create("addresses", Element{Key: key, Comment: "x/y/z"})
	commit(t, c, swap)
	late := &Batch{Table: "enichain-test"}
	late.At(gen)
	late.Delete("addresses", Element{Key: key})
	if err := c.Commit(late); !errors.Is(err, ErrGeneration) {
		t.Errorf("batch bound to an old generation = %v, want ErrGeneration", err)
	}
	if e, err := c.Element("enichain-test", "addresses", key); err != nil || e.Comment != "x/y/z" {
		t.Errorf("Element after the swap = %+v, %v", e, err)
	}
	for name, err := range map[string]error{
		"element": third(c.Element("enichain-test", "addresses", Addr(netip.MustParseAddr("10.0.0.13")))),
		"set":     third(c.Set("enichain-test", "nowhere")),
		"chain":   third(c.Chain("enichain-test", "nowhere")),
		"table":   third(c.Elements("nowhere", "addresses")),
	} {
		if !errors.Is(err, ErrNotExist) {
			t.Errorf("reading a missing %s = %v, want ErrNotExist", name, err)
		}
	}
	if there, err := c.HasTable("nowhere"); there || err != nil {
		t.Errorf("HasTable(nowhere) = %v, %v", there, err)
	}
}

func third[T any](_ T, err error) error { return err }

func TestDriftNamesWhatIsWrong(t *testing.T) {
	tests := []struct {
		name string
		nft  []string
		want string
	}{
		{"rule added", []string{"add", "rule", "inet", "enichain-test", "eni-1", "accept"},
			"chain eni-1 in table enichain-test has 2 rules, not 1"},
		{"chain flushed", []string{"flush", "chain", "inet", "enichain-test", "unsteer"},
			"chain unsteer in table enichain-test has 0 rules, not 2"},
		{"table gone", []string{"delete", "table", "inet", "enichain-test"},
			"set eniaddr is missing from table enichain-test"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := inNamespace(t)
			table := steering()
			b := &Batch{Table: table.Name}
			b.Install(table)
			commit(t, c, b)
			run(t, append([]string{"nft"}, tt.nft...)...)
			got, err := c.Drift(table)
			if err != nil || got != tt.want {
				t.Errorf("Drift = %q, %v, want %q", got, err, tt.want)
			}
		})
	}
	t.Run("rule replaced", func(t *testing.T) {
		c := inNamespace(t)
		table := steering()
		b := &Batch{Table: table.Name}
		b.Install(table)
		commit(t, c, b)
		table.Chains[0].Rules[0].Expr = MarkSet(0x7f, 2)
		got, err := c.Drift(table)
		if want := "rule 1 of chain eni-1 in table enichain-test says something else"; err != nil || got != want {
			t.Errorf("Drift = %q, %v, want %q", got, err, want)
		}
	})
}

func TestManyElementsInOneTransaction(t *testing.T) {
	c := inNamespace(t)
	b := &Batch{Table: "enichain-test"}
	b.AddTable("")
	b.AddSet(Set{Name: "addresses", Key: []Type{IPv4Addr}})
	const many = 3000
	var all []Element
	for i := range many {
		all = append(all, Element{Key: Addr(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})), Comment: strings.Repeat("x", 128)})
	}
	b.Create("addresses", all...)
	commit(t, c, b)
	got, err := c.Elements("enichain-test", "addresses")
	if err != nil || len(got) != many {
		t.Errorf("Elements = %d of %d, %v", len(got), many, err)
	}
}

func TestRangesMerge(t *testing.T) {
	tests := []struct {
		name string
		in   []string
		want []string // "a-b": from a to before b; "a-": to the end
	}{
		{"none", nil, nil},
		{"one", []string{"10.0.0.0/16"}, []string{"10.0.0.0-10.1.0.0"}},
		{"one inside another", []string{"10.0.1.0/24", "10.0.0.0/16"}, []string{"10.0.0.0-10.1.0.0"}},
		{"neighbours", []string{"10.1.0.0/16", "10.0.0.0/16"}, []string{"10.0.0.0-10.2.0.0"}},
		{"apart", []string{"10.2.0.0/16", "10.0.0.0/16"}, []string{"10.0.0.0-10.1.0.0", "10.2.0.0-10.3.0.0"}},
		{"all", []string{"0.0.0.0/0", "10.0.0.0/8"}, []string{"0.0.0.0-"}},
		{"to the end", []string{"240.0.0.0/4", "10.0.0.0/8"}, []string{"10.0.0.0-11.0.0.0", "240.0.0.0-"}},
		{"v6", []string{"fd00:0:0:1::/64", "fd00::/64"}, []string{"fd00::-fd00:0:0:2::"}},
		{"same twice, host bits", []string{"10.0.0.1/16", "10.0.0.0/16"}, []string{"10.0.0.0-10.1.0.0"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, e := range Ranges(prefixes(tt.in...)) {
				a, _ := netip.AddrFromSlice(e.Key)
				if e.End {
					got[len(got)-1] += a.String()
				} else {
					got = append(got, a.String()+"-")
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("Ranges (-want +got):\n%s", diff)
			}
		})
	}
}

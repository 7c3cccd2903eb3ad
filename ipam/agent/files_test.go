package agent

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/enichain/enichain/ipam"
)

// patience is how long a test waits for what has to come: on a busy machine that runs all tests at once, too.
const patience = time.Minute

func TestWatchFolder(t *testing.T) {
	dir := t.TempDir()
	heard := make(chan string, 64)
	check(t, watchFolder(t.Context(), dir, func(name string) { heard <- name }))
	wait := func(want string) {
		t.Helper()
		timeout := time.After(patience)
		for {
			select {
			case name := <-heard:
				if name == want {
					return
				}
			case <-timeout:
				t.Fatalf("nothing heard of %q", want)
			}
		}
	}
	check(t, os.WriteFile(filepath.Join(dir, "pool.db.bell"), []byte("x"), 0o600))
	wait("pool.db.bell")
	check(t, os.WriteFile(filepath.Join(dir, "temp"), nil, 0o600))
	check(t, os.Rename(filepath.Join(dir, "temp"), filepath.Join(dir, "supply.json")))
	wait("supply.json")
	check(t, os.Remove(filepath.Join(dir, "pool.db.bell")))
	wait("pool.db.bell")
	check(t, os.RemoveAll(dir))
	wait("")
}

func TestAlive(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run", "agent.lock")
	first, err := TakeAlive(path)
	check(t, err)
	if _, err := TakeAlive(path); err == nil || !strings.Contains(err.Error(), "another agent (pid ") {
		t.Errorf("a second agent: %v", err)
	}
	past := time.Now().Add(-time.Hour)
	check(t, os.Chtimes(path, past, past))
	check(t, first.Touch())
	info, err := os.Stat(path)
	check(t, err)
	if age := time.Since(info.ModTime()); age > time.Minute {
		t.Errorf("touched %s ago", age)
	}
	check(t, os.RemoveAll(filepath.Dir(path)))
	check(t, first.Touch())
	if _, err := TakeAlive(path); err == nil {
		t.Error("a second agent after the file was removed")
	}
	check(t, first.Close())
	second, err := TakeAlive(path)
	check(t, err)
	check(t, second.Close())
}

// fileBus is a bus over a file with one ENI in it, and what it has sent.
func fileBus(t *testing.T, text string) (*FileBus, func(string)) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "supply.json")
	write := func(text string) { check(t, os.WriteFile(path, []byte(text), 0o600)) }
	if text != "" {
		write(text)
	}
	return NewFileBus(path, nil), write
}

func supplyFile(t *testing.T, s ipam.Supply) string {
	t.Helper()
	text, err := json.Marshal(s)
	check(t, err)
	return string(text)
}

func TestFileBus(t *testing.T) {
	start := time.Now()
	s := ipam.Supply{ENIs: []ipam.SuppliedENI{eni(0, 2)}, Release: []ipam.Release{{ENI: "eni-00", Count: 1}}}
	b, write := fileBus(t, supplyFile(t, s))
	ask := func(after time.Duration) (ipam.Supply, bool) {
		t.Helper()
		got, send, err := b.next(testInstance, start.Add(after))
		check(t, err)
		return got, send
	}
	if _, send := ask(0); send {
		t.Fatal("sent before there was a snapshot")
	}
	snapshot := ipam.Snapshot{Inc: "inc-1", Seq: 5, Seen: ipam.Seen{Epoch: 3, Rev: 7}}
	check(t, b.PublishSnapshot(t.Context(), snapshot))
	got, send := ask(0)
	want := s
	want.Instance, want.Epoch, want.Rev, want.Basis, want.First = testInstance, 3, 8, ipam.Basis{Inc: "inc-1", Seq: 5}, true
	if diff := cmp.Diff(want, got, compareAddr, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); !send || diff != "" {
		t.Fatalf("sent %v (-want +got):\n%s", send, diff)
	}
	snapshot.Seen, snapshot.Seq = ipam.Seen{Epoch: 3, Rev: 8}, 6
	check(t, b.PublishSnapshot(t.Context(), snapshot))
	if _, send := ask(time.Hour); send {
		t.Error("sent again although nothing changed and nothing waits")
	}
	snapshot.ENIs = []ipam.ENISummary{{ENI: "eni-00", Held: 1}}
	check(t, b.PublishSnapshot(t.Context(), snapshot))
	got, send = ask(time.Hour)
	if !send || len(got.Release) != 0 || got.First || got.Basis.Seq != 6 {
		t.Errorf("while something is held: sent %v, %+v", send, got)
	}
	if _, send := ask(time.Hour + time.Second); send {
		t.Error("sent twice within a second")
	}
	write(supplyFile(t, ipam.Supply{ENIs: []ipam.SuppliedENI{eni(0, 3)}}))
	if got, send := ask(time.Hour + time.Second); !send || len(got.ENIs[0].Addresses) != 3 {
		t.Errorf("after the file changed: sent %v, %+v", send, got)
	}
}

// TestFileBusWaits: the file is sent again for the sake of either family, and of prefixes.
func TestFileBusWaits(t *testing.T) {
	for name, e := range map[string]ipam.ENISummary{
		"held IPv4":     {Held: 1},
		"held IPv6":     {IPv6: ipam.Counts{Held: 256}},
		"fenced":        {Fenced: []netip.Addr{netip.MustParseAddr("10.0.0.9")}},
		"fenced prefix": {Prefixes: []ipam.PrefixSummary{{Prefix: netip.MustParsePrefix("2001:db8::/80"), Fenced: true}}},
	} {
		b, _ := fileBus(t, supplyFile(t, ipam.Supply{ENIs: []ipam.SuppliedENI{eni(0, 2)}}))
		at := time.Now()
		for i := range 2 {
			check(t, b.PublishSnapshot(t.Context(), ipam.Snapshot{Inc: "inc-1", Seq: uint64(5 + i), Seen: b.seen, ENIs: []ipam.ENISummary{e}}))
			if _, send, err := b.next(testInstance, at.Add(time.Duration(i)*time.Minute)); !send || err != nil {
				t.Errorf("%s: time %d: sent %v, %v", name, i+1, send, err)
			}
		}
	}
}

func TestFileBusRefuses(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"nonsense", "{", "cannot read supply file"},
		{"an unknown member", `{"adresses":[]}`, "adresses"},
		{"an address that is none", `{"enis":[{"primary":"10.0.0.300"}]}`, "10.0.0.300"},
		{"two", "{} {}", "follows its end"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b, _ := fileBus(t, tc.text)
			check(t, b.PublishSnapshot(t.Context(), ipam.Snapshot{Inc: "inc-1"}))
			if _, send, err := b.next(testInstance, time.Now()); send || err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("sent %v, error %v", send, err)
			}
		})
	}
	b, _ := fileBus(t, "")
	check(t, b.PublishSnapshot(t.Context(), ipam.Snapshot{Inc: "inc-1"}))
	if _, send, err := b.next(testInstance, time.Now()); send || err != nil {
		t.Errorf("a file that is not there is no order: sent %v, error %v", send, err)
	}
}

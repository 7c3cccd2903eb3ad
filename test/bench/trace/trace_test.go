package trace_test

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/enichain/enichain/test/bench/trace"
	"github.com/enichain/enichain/test/need"
)

// The tracer names what asks for all, and only that, in a program and in those that it starts.
func TestDumps(t *testing.T) {
	sh, ip := need.Tool(t, "sh", "dash"), need.Tool(t, "ip", "iproute2")
	for _, test := range []struct {
		name, script string
		want         string
		processes    int
	}{
		{"nothing", "true", "", 1},
		{"one link", ip + " link show dev lo; true", "", 2},
		{"all links", ip + " link; true", "RTM_GETLINK", 2},
		{"all rules of both families", ip + " rule; " + ip + " -6 rule; true", "RTM_GETRULE RTM_GETRULE", 3},
		{"by a grandchild", "sh -c '" + ip + " link; true'; true", "RTM_GETLINK", 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			in, err := os.CreateTemp(t.TempDir(), "")
			if err != nil {
				t.Fatal(err)
			}
			defer in.Close()
			in.WriteString(test.script)
			in.Seek(0, 0)
			var out bytes.Buffer
			counts, err := trace.Run(t.Context(), sh, os.Environ(), in, &out)
			if err != nil {
				t.Fatalf("%v: %s", err, out.String())
			}
			if got := strings.Join(counts.Dumps, " "); got != test.want {
				t.Errorf("dumps %q, want %q", got, test.want)
			}
			if counts.Processes != test.processes {
				t.Errorf("%d processes, want %d", counts.Processes, test.processes)
			}
			if counts.Calls["execve"]+1 < test.processes {
				t.Errorf("%d calls of execve by %d processes", counts.Calls["execve"], counts.Processes)
			}
		})
	}
}

func TestOfARuleset(t *testing.T) {
	need.NetAdmin(t)
	nft := need.Tool(t, "nft", "nftables")
	in, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	in.WriteString("unshare -n sh -c '" + nft + " add table t; " + nft + " list ruleset'")
	in.Seek(0, 0)
	var out bytes.Buffer
	counts, err := trace.Run(t.Context(), need.Tool(t, "sh", "dash"), os.Environ(), in, &out)
	if err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	if got := strings.Join(counts.Dumps, " "); !strings.Contains(got, "NFT_MSG_GETTABLE") {
		t.Errorf("dumps %q: want those of a listed ruleset", got)
	}
}

func TestFailure(t *testing.T) {
	in, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	in.WriteString("echo words; exit 3")
	in.Seek(0, 0)
	var out bytes.Buffer
	if _, err := trace.Run(t.Context(), need.Tool(t, "sh", "dash"), nil, in, &out); err == nil || out.String() != "words\n" {
		t.Errorf("got %v and %q, want an error and what it wrote", err, out.String())
	}
}

// Package pools_test tries pools in labs of the built binaries: prefixes, both families, pools of teams, and what a pod
// is told when its pool cannot serve it.
package pools_test

import (
	"flag"
	"net/netip"
	"os"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/enichain/enichain/test/e2e/live"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == echoMark {
		os.Exit(echo(os.Args[2]))
	}
	if len(os.Args) > 2 && os.Args[1] == wholeMark {
		os.Exit(whole(os.Args[2]))
	}
	flag.Parse()
	flag.Set("test.parallel", "3") // most of the time is spent waiting for windows to pass
	os.Exit(m.Run())
}

// hurry is a policy under which minutes take seconds.
const hurry = `      warm: { free: 4 }
      cooldown: 1s
      release: { window: 3s, minAge: 3s }
`

// TestPrefixes: a pool in prefix mode grows and shrinks by whole /28, in EC2 and on the node alike.
func TestPrefixes(t *testing.T) {
	t.Parallel()
	l := live.Up(t, "prefixes", live.OneNode("t3.medium", "    - name: default\n      mode: prefix\n"+hurry))
	agree := func(n int) func(live.Pool) bool {
		return func(p live.Pool) bool {
			all := l.Interfaces("node-1")
			return len(p.Prefixes()) == n && len(all) == 1 && same(p.Prefixes(), all[0].Prefixes) && len(all[0].Secondary) == 0
		}
	}
	first := l.Pool("node-1", "default", "one prefix, in EC2 as well", agree(1))
	pods := l.Start("p", "--count", "13", "--node", "node-1")
	l.Pool("node-1", "default", "a second prefix for those to come", agree(2))
	pods = append(pods, l.Start("q", "--count", "7", "--node", "node-1")...)
	full := l.Pool("node-1", "default", "20 leases", func(p live.Pool) bool { return p.Counts.Leased == 20 && agree(2)(p) })
	for _, p := range pods {
		if !within(p.Addresses[0], full.Prefixes()) {
			t.Errorf("%s has %s, which is in none of %v", p.Name, p.Addresses[0], full.Prefixes())
		}
		l.Reach("vpc-host", "http://"+p.Addresses[0], "hello from "+p.Name)
	}
	l.End("p-1", "p-2", "p-3", "p-4", "q-1", "q-2", "q-3", "q-4", "q-5", "q-6", "q-7") // more are free than a prefix beside the target
	left := l.Pool("node-1", "default", "one prefix again", agree(1))
	if diff := cmp.Diff(first.Prefixes(), left.Prefixes()); diff != "" {
		t.Errorf("pods fill the first prefix first, so that the second is given back (-first +left):\n%s", diff)
	}
	l.Reach("vpc-host", "http://"+pods[5].Addresses[0], "hello from "+pods[5].Name)
}

// TestFragmentedSubnet: where a subnet has no free /28 a pool in mode auto takes single addresses, and prefixes again
// once it has; then the single ones go back first.
func TestFragmentedSubnet(t *testing.T) {
	t.Parallel()
	l := live.Up(t, "fragmented", live.OneNode("t3.medium", "    - name: default\n      mode: auto\n"+hurry))
	l.Pool("node-1", "default", "one prefix", func(p live.Pool) bool { return p.Counts.Free == 16 })
	l.Must("fault", "set", "fragment", "subnet-a")
	pods := l.Start("p", "--count", "20", "--node", "node-1")
	singles := func() (n int) {
		for _, i := range l.Interfaces("node-1") {
			n += len(i.Secondary)
		}
		return n
	}
	l.Pool("node-1", "default", "single addresses beside the prefix", func(p live.Pool) bool {
		return p.Counts.Leased == 20 && p.Counts.Free >= 4 && len(p.Prefixes()) == 1 && singles() >= 8
	})
	l.Must("fault", "clear", "fragment")
	l.Must("fault", "set", "kill", "node-1=enichaind") // a new reconciler asks; a running one would after ten minutes
	l.Must("fault", "clear", "kill")
	pods = append(pods, l.Start("q", "--count", "8", "--node", "node-1")...)
	l.Pool("node-1", "default", "a second prefix", func(p live.Pool) bool { return len(p.Prefixes()) == 2 && p.Counts.Free >= 4 })
	for _, p := range pods {
		l.Reach("vpc-host", "http://"+p.Addresses[0], "hello from "+p.Name)
	}
	most := singles()
	l.End("--all")
	l.Pool("node-1", "default", "fewer single addresses", func(live.Pool) bool { return singles() < most })
}

func same(a, b []string) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b)
}

func within(address string, prefixes []string) bool {
	a := netip.MustParseAddr(address)
	return slices.ContainsFunc(prefixes, func(p string) bool { return netip.MustParsePrefix(p).Contains(a) })
}

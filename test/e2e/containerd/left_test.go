package containerd

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/enichain/enichain/test/kernel"
)

// kernel is what stands in the node's network namespace.
func (l *lab) kernel() kernel.State {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	state, err := kernel.Read(ctx, l.netns)
	if err != nil {
		l.t.Fatal(err)
	}
	return state
}

// ours leaves out the chains that upstream's portmap makes once per node and never removes, and the table that iptables
// makes for them. What they hold for a pod is found by traces.
func ours(changes []kernel.Change) []kernel.Change {
	return slices.DeleteFunc(changes, func(c kernel.Change) bool {
		return strings.Contains(c.Line, "cni_hostport") || strings.Contains(c.Line, "CNI-HOSTPORT-") ||
			c.Section == kernel.IPTables && strings.HasSuffix(c.Line, " table nat")
	})
}

// left is what pods have left in the node when all of them are gone: whatever belongs to pods alone.
func (l *lab) left(pods []*pod) string {
	l.t.Helper()
	left := l.sh(`
		ip -o link | grep -v ': eth\|: lo:' | cut -c1-70
		ip route show table 1000
		for d in /run/netns /var/lib/cni/results; do [ ! -d $d ] || ls $d; done
		ps -o args= -A | grep '[c]ontainerd-shim' | cut -c1-90
		true`)
	for _, lease := range l.leases() {
		left += fmt.Sprintf("\nlease of %s for %s", lease.Address, lease.Container)
	}
	return strings.TrimSpace(left + "\n" + l.traces(pods...))
}

// traces are the lines of the node's network in which a pod that is gone is named, by container or by address.
func (l *lab) traces(pods ...*pod) string {
	l.t.Helper()
	var traces []string
	for line := range strings.Lines(l.kernel().Text()) {
		for _, p := range pods {
			if p.id != "" && strings.Contains(line, p.id) || p.address != "" && hasWord(line, p.address) {
				traces = append(traces, fmt.Sprintf("of %s: %s", p.name, strings.TrimSpace(line)))
			}
		}
	}
	return strings.Join(traces, "\n")
}

// hasWord finds an address that is not the beginning or end of another.
func hasWord(line, address string) bool {
	digit := func(c byte) bool { return c >= '0' && c <= '9' || c == '.' }
	for at := 0; ; {
		i := strings.Index(line[at:], address)
		if i < 0 {
			return false
		}
		begin, end := at+i, at+i+len(address)
		if (begin == 0 || !digit(line[begin-1])) && (end == len(line) || !digit(line[end])) {
			return true
		}
		at = end
	}
}

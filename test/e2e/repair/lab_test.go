package repair_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/enichain/enichain/test/e2e/live"
)

// lab is a running lab of this test's own, with one node and a host beside it.
type lab struct {
	*live.Lab
	t *testing.T
}

func newLab(t *testing.T, name string) *lab {
	t.Helper()
	return &lab{live.Up(t, "rep-"+name, live.OneNode("t3.medium", live.Still)), t}
}

// sh runs a shell line inside the node.
func (l *lab) sh(line string) string { l.t.Helper(); return l.On("node-1", line) }

// said is what the server says that is asked once, or the error.
func (l *lab) said(from, to string) string {
	l.t.Helper()
	var answer struct{ Said, Error string }
	if r := l.Run("--format", "json", "reach", from, to); json.Unmarshal([]byte(r.Out), &answer) != nil {
		l.t.Fatal(r)
	}
	if answer.Error != "" {
		return "nothing: " + answer.Error
	}
	return answer.Said
}

// drops counts the packets that the VPC dropped for their source.
func (l *lab) drops() int {
	l.t.Helper()
	var all []json.RawMessage
	if r := l.Run("--format", "json", "drops"); json.Unmarshal([]byte(r.Out), &all) != nil { // exit code 1: there are some
		l.t.Fatal(r)
	}
	return len(all)
}

// kernel is all that the stages have in the node, in an order of its own: what is made anew stands elsewhere.
func (l *lab) kernel() string {
	l.t.Helper()
	text := l.sh(`nft list ruleset | tr ',' '\n' | sed 's/elements = {//; s/ }$//'; ip rule; ip -6 rule; ip route show table all proto 233`)
	var lines []string
	for line := range strings.SplitSeq(text, "\n") {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// settled is the kernel's state once it stays the same for a second.
func (l *lab) settled() string {
	l.t.Helper()
	last, since := l.kernel(), time.Now()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); {
		time.Sleep(100 * time.Millisecond)
		if now := l.kernel(); now != last {
			last, since = now, time.Now()
		} else if time.Since(since) > time.Second {
			return last
		}
	}
	l.t.Fatal("the node does not settle within 30 s")
	return ""
}

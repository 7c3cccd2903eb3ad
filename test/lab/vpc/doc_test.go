package vpc_test

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/enichain/enichain/test/lab/vpc"
)

// docs/lab.md says what the code does: buckets, latencies, types and faults.
func TestDocumentation(t *testing.T) {
	text, err := os.ReadFile("../../../docs/lab.md")
	if err != nil {
		t.Fatal(err)
	}
	seconds := func(d time.Duration) string {
		switch {
		case d == 0:
			return "0"
		case d%time.Millisecond == 0:
			return fmt.Sprintf("%g s", d.Seconds())
		}
		return d.String()
	}
	row := regexp.MustCompile(`(?m)^\| ([A-Z][A-Za-z0-9, ]+) \| (\d+, \d+)[^|]* \| ([^|]+) \| ([^|]+) \|`)
	actions := 0
	for _, m := range row.FindAllStringSubmatch(string(text), -1) {
		for _, action := range strings.Split(m[1], ", ") {
			actions++
			b, _ := vpc.Published(1).Of(action, false)
			if got := fmt.Sprintf("%g, %g", b.Size, b.Refill); got != m[2] {
				t.Errorf("%s: the page has the bucket %s, the code %s", action, m[2], got)
			}
			l := vpc.Typical(1).Of(action)
			if got := seconds(l.Answer); got != m[3] {
				t.Errorf("%s: the page has it answered after %s, the code after %s", action, m[3], got)
			}
			if got := seconds(l.Effect); got != m[4] && m[4] != "–" {
				t.Errorf("%s: the page has its effect after %s, the code after %s", action, m[4], got)
			}
		}
	}
	if actions != 28 {
		t.Errorf("the page has %d actions, the lab 28", actions)
	}
	for _, k := range vpc.InstanceTypes() {
		if !strings.Contains(string(text), k.Name) {
			t.Errorf("the page lacks the type %s", k.Name)
		}
	}
	for _, kind := range vpc.FaultKinds() {
		example := regexp.MustCompile("(?m)^\\| `" + string(kind) + " ([^`]+)`").FindStringSubmatch(string(text))
		if example == nil {
			t.Errorf("the page lacks the fault %s", kind)
		} else if _, err := vpc.ParseFault(string(kind), example[1]); err != nil {
			t.Errorf("the page's example of %s is refused: %v", kind, err)
		}
	}
}

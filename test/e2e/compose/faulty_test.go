package compose

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/enichain/enichain/test/need"
)

// defects are what the faulty stage can do wrong, and why a trial says that the list does not work.
var defects = []struct {
	name string
	why  string // regular expression; "" for none
}{
	{"", ""},
	{"adds dns", ""},
	{"interface index", `ips\[0\] \(.*\) is an address of interface "eni`},
	{"interface index out of range", `ips\[0\]\.interface is 9, and there are`},
	{"dropped dns", `stage \d+ faulty: it drops or changes dns of the stages before it`},
	{"dropped routes", `stage \d+ faulty: it drops the route to .* of the stages before it`},
	{"dropped result", `stage \d+ faulty: it drops the address`},
	{"another version", `stage \d+ faulty: its result says cniVersion "0.3.1", and was asked for "1.1.0"`},
	{"chatter", `stage \d+ faulty: its result is no CNI result: invalid character`},
	{"leftover rule", `left behind after DEL of the last pod: \+ rule 777: from 10\.`},
	{"leftover table", `left behind after DEL of the last pod: \+ nft inet faulty chain c: .*try-first`},
	{"leftover link", `left behind after DEL of the last pod: \+ link f\w+ veth`},
	{"leftover file", `left behind after DEL of the last pod: \+ file /var/lib/cni/networks/faulty-try-first`},
	{"leaked lease", `left behind after DEL of the last pod: \+ lease faulty/try-first/lost0`},
	{"lost route", `^no answer: .*first`},
	{"lost link", `^no answer: .*→ first \(tcp `},
	{"check fails", `CHECK right after ADD fails: .*something is not as it should be`},
	{"status fails", `STATUS fails: .*not ready`},
	{"greedy gc", `GC with both pods in the valid list changes what pods have: - route`},
	{"del needs prevResult", `DEL again of pod .* fails: .*there is no prevResult`},
	{"del needs netns", `DEL again of pod .* fails: .*no such file or directory`},
	{"del only once", `DEL again of pod .* fails: .*file exists`},
}

// TestBrokenStagesAreCaught puts a third party's stage with one defect into compositions that its contract allows, and
// wants a trial to say what is wrong; without a defect the same compositions work.
func TestBrokenStagesAreCaught(t *testing.T) {
	need.NetAdmin(t)
	path := bins(t)
	var jobs []job
	for _, d := range defects {
		stages := named(t, "eni-ipam", "routed-veth", "snat", "portmap-compat nftables")
		if d.name == "dropped dns" {
			stages = append(stages, Variant{Name: "dns", Type: "faulty", Single: `"defect": "adds dns"`})
		}
		jobs = append(jobs, job{Text: List("faulty", "1.1.0", false, append(stages, Variant{Name: d.name, Type: "faulty", Single: `"defect": "` + d.name + `"`})...),
			Version: "1.1.0", Path: path})
	}
	contracts := composer(t).Contracts
	trials(t, 0, jobs, func(i int, o outcome) {
		d := defects[i]
		if o.Report != nil {
			t.Logf("%-30q %s: %s", d.name, o.Took.Round(time.Millisecond), strings.Join(o.Broken, "\n    "))
		}
		if v := Lint(t.Context(), jobs[i].Text, contracts); !v.Legal {
			t.Errorf("%q: lint refuses it: %v", d.name, v.Problems)
		}
		switch {
		case o.Err != "":
			t.Errorf("%q: %s", d.name, o.Err)
		case d.name != "chatter" && slices.ContainsFunc(o.Broken, func(why string) bool { return strings.HasPrefix(why, "ADD of ") }):
			t.Errorf("%q: it was to fail otherwise than in ADD: %s", d.name, o.Broken)
		case d.why == "" && len(o.Broken) > 0:
			t.Errorf("%q is no defect, and the trial says: %s", d.name, strings.Join(o.Broken, "\n"))
		case d.why != "" && !slices.ContainsFunc(o.Broken, regexp.MustCompile(d.why).MatchString):
			t.Errorf("%q: the trial says %q, want a reason like %q", d.name, o.Broken, d.why)
		}
	})
}

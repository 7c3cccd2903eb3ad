package pods

import (
	"fmt"
	"os"
	"slices"
	"sort"
	"strings"

	"github.com/enichain/enichain/test/bench/figure"
	"github.com/enichain/enichain/test/bench/trace"
)

const method = `Each chain has a node of its own: a network namespace with four network interfaces and, for ours, a pool file with
800 addresses on the disk. One long-lived process runs the plugins by libcni, from threads that are in that namespace. Runs are
interleaved: in each round every chain has a pod that comes (ADD), is checked (CHECK) and goes (DEL); who begins rotates. The
pod's namespace is made before and deleted after, and the next begins when its links are gone. CPU is what the kernel accounts
to the children waited for, so daemons are not in it: ours need none for this, and the stand-in for amazon-vpc-cni-k8s's answers
from a list. Ratios are of medians, with the 95 % interval of a bootstrap over rounds.`

// measures are what is told of each chain, in the words of a table.
var measures = []struct {
	name, what, unit string
	drift            float64 // between runs
}{
	{"add-cpu", "ADD, CPU", figure.Milliseconds, 0.08}, {"add-wall", "ADD, wall time", figure.Milliseconds, 0.25},
	{"del-cpu", "DEL, CPU", figure.Milliseconds, 0.08}, {"del-wall", "DEL, wall time", figure.Milliseconds, 0.30},
	{"check-cpu", "CHECK, CPU", figure.Milliseconds, 0.08}, {"check-wall", "CHECK, wall time", figure.Milliseconds, 0.25},
	{"add10-rate", "ADD, 10 at once", figure.PerSecond, 0.25}, {"del10-rate", "DEL, 10 at once", figure.PerSecond, 0.25},
	{"add50-rate", "ADD, 50 at once", figure.PerSecond, 0.25}, {"del50-rate", "DEL, 50 at once", figure.PerSecond, 0.25},
	{"add50-p50", "ADD, 50 at once, median", figure.Milliseconds, 0.30}, {"add50-p99", "ADD, 50 at once, 99 %", figure.Milliseconds, 0.50},
	{"del50-p99", "DEL, 50 at once, 99 %", figure.Milliseconds, 0.50},
	{"add10-cpu", "ADD, 10 at once, CPU", figure.Milliseconds, 0.08}, {"del10-cpu", "DEL, 10 at once, CPU", figure.Milliseconds, 0.08},
	{"churn-rate", "coming and going, 4 at once", figure.PerSecond, 0.25}, {"churn-cpu", "coming and going, CPU", figure.Milliseconds, 0.08},
	{"churn-add-p50", "ADD while others come and go, median", figure.Milliseconds, 0.30},
	{"churn-del-p50", "DEL while others come and go, median", figure.Milliseconds, 0.30},
}

func (b *bench) id(parts ...string) string { return b.name + "/" + strings.Join(parts, "/") }

// section makes figures of all that was recorded.
func (b *bench) section() figure.Section {
	s := figure.Section{Name: b.name, Title: b.title, Method: method, Missing: b.missing}
	for _, c := range b.subjects {
		for _, m := range measures {
			b.tell(&s, c.id, m.name, c.name+": "+m.what, m.unit)
			for _, other := range []string{awsPortmap, awsAlone, floorFused} {
				b.ratio(&s, c.id, m.name, other, fmt.Sprintf("%s: %s, of %s", c.name, m.what, b.called(other)), m.drift)
			}
		}
		b.grown(&s, c)
		b.counts(&s, c)
	}
	switch b.name {
	case "pods":
		b.programFigures(&s)
		s.Tables = append(b.serialTables(), b.programTable())
		b.kernel(&s)
		b.serialTargets(&s)
	case "bursts":
		s.Tables = b.burstTables()
		b.burstTargets(&s)
	case "profile":
		s.Method = profileMethod
		b.profileTable(&s)
	case "growth":
		s.Tables, s.Pictures = b.growthTables(), b.pictures()
		b.growthTargets(&s)
	}
	return s
}

// tell adds the figure of a measure, if there is one.
func (b *bench) tell(s *figure.Section, subject, measure, what, unit string) {
	if samples := b.record[subject+"/"+measure]; len(samples) > 0 {
		s.Add(figure.Of(b.id(subject, measure), what, unit, samples))
	}
}

// ratio adds the ratio of a subject to another one, if both were measured.
func (b *bench) ratio(s *figure.Section, subject, measure, other, what string, drift float64) {
	of, to := b.record[subject+"/"+measure], b.record[other+"/"+measure]
	if subject == other || len(of) == 0 || len(to) == 0 {
		return
	}
	f := figure.RatioOf(b.id(subject, measure, other), what, of, to)
	f.Drift = drift
	s.Add(f)
}

func (b *bench) called(subject string) string {
	for _, c := range b.subjects {
		if c.id == subject {
			return c.name
		}
	}
	return subject
}

// grown adds what a chain costs at each size, and how much more than at the smallest.
func (b *bench) grown(s *figure.Section, c subject) {
	for _, kind := range []struct {
		form, what string
		counts     []int
	}{{"-at-%d-pods", "with %d pods present", b.podCounts()}, {"-%d-ports", "with %d host ports", b.portCounts()}} {
		for _, m := range measures[:6] {
			first := m.name + fmt.Sprintf(kind.form, kind.counts[0])
			for i, n := range kind.counts {
				at := m.name + fmt.Sprintf(kind.form, n)
				what := fmt.Sprintf("%s: %s, "+kind.what, c.name, m.what, n)
				b.tell(s, c.id, at, what, m.unit)
				if i > 0 && len(b.record[c.id+"/"+at]) > 0 {
					f := figure.RatioOf(b.id(c.id, at, "growth"), what+fmt.Sprintf(", of with %d", kind.counts[0]), b.record[c.id+"/"+at], b.record[c.id+"/"+first])
					f.Drift = m.drift
					s.Add(f)
				}
			}
		}
	}
	idle := figure.Quantile(b.record[c.id+"/add-wall"], 0.5)
	if churn := b.record[c.id+"/churn-add-p50"]; len(churn) > 0 && idle > 0 {
		var all []float64
		for _, v := range churn {
			all = append(all, v/idle)
		}
		f := figure.Of(b.id(c.id, "churn-add-p50", "idle"), c.name+": ADD while others come and go, of an ADD alone", figure.Ratio, all)
		f.Drift = 0.30
		s.Add(f)
	}
}

// counts adds what was counted once.
func (b *bench) counts(s *figure.Section, c subject) {
	for _, verb := range []string{"add", "del"} {
		for _, m := range []struct{ name, what string }{{"processes", "processes"}, {"calls", "system calls"},
			{"messages", "netlink messages"}, {"dumps", "requests for a dump"}} {
			if v := b.record[c.id+"/"+verb+"-"+m.name]; len(v) > 0 {
				f := figure.Exactly(b.id(c.id, verb+"-"+m.name), c.name+": "+strings.ToUpper(verb)+", "+m.what, figure.Count, v[0])
				f.Drift = 0.10 // the Go runtime's own calls differ a little
				if m.name == "dumps" {
					f.What += named(b.seen[c.id+"/"+verb].Dumps)
				}
				if m.name == "dumps" || m.name == "messages" || m.name == "processes" {
					f.Drift = 0
				}
				s.Add(f)
			}
		}
	}
}

// named says which dumps were asked for, in brackets.
func named(dumps []string) string {
	if len(dumps) == 0 {
		return ""
	}
	var kinds []string
	for _, d := range dumps {
		if !slices.Contains(kinds, d) {
			kinds = append(kinds, d)
		}
	}
	return " (" + strings.Join(kinds, ", ") + ")"
}

// programFigures adds the sizes of programs, and what their bare processes cost.
func (b *bench) programFigures(s *figure.Section) {
	var sum, least float64
	for _, name := range b.programs() {
		info, err := os.Stat(b.find(name))
		if err != nil {
			continue
		}
		size := float64(info.Size())
		s.Add(figure.Exactly(b.id(name, "size"), name+": size", figure.Bytes, size))
		b.tell(s, name, "version-cpu", name+": VERSION, CPU", figure.Milliseconds)
		b.tell(s, name, "version-wall", name+": VERSION, wall time", figure.Milliseconds)
		b.ratio(s, name, "version-cpu", hello, name+": VERSION, CPU, of a Go program that says hello", 0.08)
		switch name {
		case "eni-ipam", "routed-veth", "snat", "portmap-compat":
			sum += size
		case "aws-cni", "portmap":
			least += size
		}
	}
	s.Add(figure.Exactly(b.id("four", "size"), "our four programs: size", figure.Bytes, sum))
	if b.find("aws-cni") != "" {
		f := figure.Exactly(b.id("four", "size", awsPortmap), "our four programs: size, of aws-cni and portmap", figure.Ratio, sum/least)
		f.Drift = 0.01
		s.Add(f)
	}
}

// kernel adds the table of system calls by name, the most frequent of our chain first. They are of the Go runtime, too.
func (b *bench) kernel(s *figure.Section) {
	t := figure.Table{Name: "pods-kernel", Title: "System calls by name", Columns: []string{"system call"}}
	names := b.callNames("ours-1port/add", "ours-1port/del")
	rows := make([]figure.Row, min(len(names), 24))
	for _, c := range b.sized() {
		for _, verb := range []string{"add", "del"} {
			t.Columns = append(t.Columns, strings.ToUpper(verb)+", "+c.name)
			for i := range rows {
				rows[i].Name = names[i]
				at := b.id(c.id, verb+"-call-"+names[i])
				rows[i].Cells = append(rows[i].Cells, at)
				s.Add(figure.Exactly(at, c.name+": "+strings.ToUpper(verb)+", "+names[i], "calls", float64(b.seen[c.id+"/"+verb].Calls[names[i]])))
			}
		}
	}
	t.Rows = rows
	s.Tables = append(s.Tables, t)
}

// callNames are the system calls that were seen, the most frequent first.
func (b *bench) callNames(keys ...string) (names []string) {
	sum := trace.Counts{}
	for _, key := range keys {
		sum.Add(b.seen[key])
	}
	for name := range sum.Calls {
		names = append(names, name)
	}
	sort.Slice(names, func(i, j int) bool {
		return sum.Calls[names[i]] > sum.Calls[names[j]] || sum.Calls[names[i]] == sum.Calls[names[j]] && names[i] < names[j]
	})
	return names
}

package compose

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/enichain/enichain/chain"
	"github.com/enichain/enichain/test/need"
)

// How the matrix is asked for by environment; docs/compositions.md says so to people.
const (
	seedVariable   = "COMPOSE_SEED"   // a number: another sample
	lengthVariable = "COMPOSE_LENGTH" // a number: not a sample, but every composition of up to so many stages
)

// trial is a composition in one version and with one or both families.
type trial struct {
	variants []Variant
	version  string
	dual     bool
	verdict  Verdict
}

func (m trial) String() string {
	return fmt.Sprintf("[%s] %s %s", Names(m.variants), m.version, families(m.dual))
}

func (m trial) job(path []string) job {
	return job{Text: List("matrix", m.version, m.dual, m.variants...), Version: m.version, Path: path}
}

// runnable is the composer without the variants that this machine cannot run, and why not.
func runnable(c *Composer) (*Composer, []string) {
	var left []Variant
	var reasons []string
	for _, v := range c.Variants {
		if why := unrunnable(v); why != "" {
			reasons = append(reasons, v.Name+": "+why)
			continue
		}
		left = append(left, v)
	}
	return New(left, c.Contracts), reasons
}

func unrunnable(v Variant) string {
	switch {
	case v.Type == "ipvlan" && !makes("link probe0 name probe2 type ipvlan"):
		return "this kernel has no ipvlan"
	case v.Type == "macvlan" && !makes("link probe0 name probe2 type macvlan"):
		return "this kernel has no macvlan"
	case v.Type == "fastpath" && !need.IsMachinesRoot():
		return "this is not the machine's own root, and programs are for nobody else"
	case v.Type == "bridge" && strings.Contains(v.Single, `"vlan"`) && !makes("name probe2 type bridge vlan_filtering 1"):
		return "this kernel's bridge knows no VLANs"
	}
	return ""
}

// makes says whether the kernel makes such a link; the network namespace is this test's own.
func makes(link string) bool {
	script := "ip link add probe0 type veth peer name probe1 && ip link add " + link + "; r=$?; ip link del probe2; ip link del probe0; exit $r"
	return exec.Command("sh", "-c", script).Run() == nil
}

// TestMatrix tries compositions that the contracts allow, and wants them to work: a sample in which every pair of
// neighbours occurs, or all up to a length.
func TestMatrix(t *testing.T) {
	need.NetAdmin(t)
	need.Tool(t, "iptables", "iptables")
	c, reasons := runnable(New(Variants(), composer(t).Contracts))
	for _, why := range reasons {
		t.Log("not tried here: ", why)
	}
	began := time.Now()
	matrix, what, within := drawn(t, c)
	var jobs []job
	for _, m := range matrix {
		jobs = append(jobs, m.job(bins(t)))
	}
	if len(jobs) == 0 {
		t.Fatalf("%s: there is nothing to try", what)
	}
	t.Logf("%s; drawn in %s", what, time.Since(began).Round(time.Second))
	began = time.Now()
	verbs := 0
	left := trials(t, within, jobs, func(i int, o outcome) {
		if o.Err != "" {
			t.Errorf("%s: %s", matrix[i], o.Err)
			return
		}
		verbs += len(o.Steps)
		for _, why := range unexplained(o.Broken, matrix[i].verdict.Problems) {
			t.Errorf("%s: %s", matrix[i], why)
		}
	})
	t.Attr("size", fmt.Sprintf("%s; %d trials, %d runs of a stage's verb, on %s, in %s", what, len(jobs)-left, verbs,
		strings.Join(versions(), ", "), time.Since(began).Round(time.Second)))
	if left > 0 {
		tried := map[Pair]bool{}
		for _, m := range matrix[:len(matrix)-left] {
			for _, p := range pairs(m.variants) {
				tried[p] = true
			}
		}
		t.Logf("%d trials are left out, and %d pairs of neighbours are tried: the machine is too busy for all of them in %s", left, len(tried), within)
	}
}

// enough is how long the sample may take: on two cores of a machine that does nothing else it needs about half of it.
const enough = 5 * time.Minute

// drawn is what is to be tried, its size in words, and how long it may take (0: as long as it takes).
func drawn(t *testing.T, c *Composer) ([]trial, string, time.Duration) {
	t.Helper()
	if length, err := strconv.Atoi(os.Getenv(lengthVariable)); err == nil {
		var all []trial
		compositions := 0
		c.Each(t.Context(), length, func(variants []Variant, v Verdict) bool {
			if v.Legal {
				compositions++
				for _, version := range versions() {
					all = append(all, trial{variants, version, false, v}, trial{variants, version, true, v})
				}
			}
			return true
		})
		return all, fmt.Sprintf("all %d compositions of up to %d stages", compositions, length), 0
	}
	all := sample(t, c)
	for p := range sampled.missed {
		t.Errorf("seed %d: no composition has %s side by side", seed(t), p)
	}
	return all, fmt.Sprintf("%d compositions in which each of %d pairs of neighbours occurs, by seed %d (%s=%d draws them again)",
		len(all), sampled.pairs, seed(t), seedVariable, seed(t)), enough
}

// sampled is drawn once for all tests: that takes seconds.
var sampled struct {
	once   sync.Once
	all    [][]Variant
	pairs  int
	missed map[Pair]bool
	short  [][]Variant // all that are legal, of up to three stages
}

// sample are compositions in which every pair of neighbours occurs, with versions and families in turn.
func sample(t *testing.T, c *Composer) (all []trial) {
	t.Helper()
	seed := seed(t)
	sampled.once.Do(func() {
		want := c.Pairs(t.Context(), 3)
		sampled.pairs = len(want)
		sampled.all, sampled.missed = c.Sample(t.Context(), rand.New(rand.NewPCG(seed, 0)), want, 0, 7)
		c.Each(t.Context(), 3, func(variants []Variant, v Verdict) bool {
			if v.Legal {
				sampled.short = append(sampled.short, variants)
			}
			return true
		})
	})
	for i, variants := range sampled.all {
		all = append(all, inTurn(i+int(seed%6), variants, c.Judge(t.Context(), variants)))
	}
	return all
}

// inTurn is the n-th composition in a version and with families that come in turn.
func inTurn(n int, variants []Variant, v Verdict) trial {
	return trial{variants, versions()[n%3], n/3%2 == 1, v}
}

// unexplained is what breaks and no warning of lint has foretold.
func unexplained(broken []string, problems []chain.Problem) []string {
	warned := func(codes ...string) bool {
		return slices.ContainsFunc(problems, func(p chain.Problem) bool { return slices.Contains(codes, p.Code) })
	}
	return slices.DeleteFunc(slices.Clone(broken), func(why string) bool {
		switch {
		case strings.HasPrefix(why, "CHECK "):
			return warned("C201")
		case strings.HasPrefix(why, "DEL again "):
			return warned("C202")
		case strings.HasPrefix(why, "left behind"):
			// Where the second pod's ADD fails, its DEL comes without prevResult, and upstream's firewall leaves its rules.
			return warned("C202", "C203") || warned("C118") && strings.Contains(why, " CNI-FORWARD ")
		case strings.Contains(why, "second"): // pod, which had the first one's address or MAC
			return warned("C118")
		case strings.HasPrefix(why, "no answer: first → first by node"):
			return warned("C117")
		case strings.HasSuffix(why, "drops the address 127.0.0.1 of the stages before it"),
			strings.HasSuffix(why, "drops the address ::1 of the stages before it"):
			return warned("C112") // what a loopback stage said of lo is nobody's to wire
		}
		return false
	})
}

// seed is what samples are drawn by: the same in every run, so that a change alone makes a test fail, unless the
// environment names another.
func seed(t *testing.T) uint64 {
	given := os.Getenv(seedVariable)
	if given == "" {
		return 1
	}
	n, err := strconv.ParseUint(given, 10, 64)
	if err != nil {
		t.Fatalf("%s=%q: want a number from 0", seedVariable, given)
	}
	return n
}

// TestForbidden shows that a sample of what the contracts forbid is refused: by lint, as it was drawn, and where it is
// wrong at a stage of ours, by that stage before any effect.
func TestForbidden(t *testing.T) {
	need.NetAdmin(t)
	c, _ := runnable(New(Variants(), composer(t).Contracts))
	seed := seed(t)
	sample := c.Forbidden(t.Context(), rand.New(rand.NewPCG(seed, 0)), 150, 3)
	byUs, cannot := 0, 0
	for _, variants := range sample {
		verdict := c.Judge(t.Context(), variants)
		last := variants[len(variants)-1]
		if !slices.Contains(ours(), last.Type) {
			continue
		}
		if only := lintOnly(variants, verdict.Problems); only != "" {
			cannot++
			continue
		}
		if byUs++; byUs > 30 {
			continue
		}
		t.Run(strings.ReplaceAll(Names(variants), " ", "_"), func(t *testing.T) {
			if newHand(t, bins(t), List("forbidden", "1.1.0", false, variants...)).refuses() == nil {
				t.Errorf("%s does it; lint says %v", last.Name, verdict.Problems)
			}
		})
	}
	if byUs == 0 {
		t.Errorf("seed %d: no stage of ours was to refuse anything", seed)
	}
	t.Logf("%d forbidden compositions by seed %d: lint refuses all; %d are wrong at a stage of ours (%d were run: "+
		"it refuses them too); of %d more no stage can know", len(sample), seed, byUs, min(byUs, 30), cannot)
}

// lintOnly is why a stage cannot know at run time what lint knows; "" if it can.
func lintOnly(variants []Variant, problems []chain.Problem) string {
	for _, p := range problems {
		switch {
		case p.Code == "C102" && (strings.HasPrefix(p.Text, "adds masquerade") || strings.HasPrefix(p.Text, "adds host-ports")):
			return "what another stage adds to the kernel is not in the result"
		case p.Severity != chain.Error:
		case p.Code == "C101" && strings.HasPrefix(p.Text, "needs routed,"):
			return "whether the host routes to an address is not in the result"
		case len(variants) > 1 && p.Code == "C101" && strings.HasPrefix(p.Text, "needs ips and routed,"):
			return "snat finds no address of a pod in the result, or lo's, and has nothing to do"
		}
	}
	return ""
}

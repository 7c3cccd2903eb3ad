package compose

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containernetworking/cni/pkg/invoke"

	"github.com/enichain/enichain/chain"
	"github.com/enichain/enichain/chain/contract"
	"github.com/enichain/enichain/test/need"
	"github.com/enichain/enichain/test/node"
)

// fusedVariable asks for all compositions in place of as many as there is time for.
const fusedVariable = "COMPOSE_FUSED"

// fusedEnough is how long that may take where nobody asked for all.
const fusedEnough = 40 * time.Second

func lineDiff(a, b []string) string {
	return chain.LineDiff([]byte(strings.Join(a, "\n")), []byte(strings.Join(b, "\n")))
}

// bothWays lives with a list as it is and as the fused one, each on a new node, and says where they differ. What a first
// life leaves on a node for good, such as a setting of the kernel, is no difference, nor is a STATUS that took longer than its
// second on a busy machine: then both are repeated.
func bothWays(ctx context.Context, n *node.Node, j job) (steps int, diff []string, err error) {
	for range 3 {
		apart, err := live(ctx, n, j.Text, j.Path, nil)
		if err != nil {
			return 0, nil, fmt.Errorf("apart: %w", err)
		}
		fused, err := live(ctx, n, j.Fused, j.Path, nil)
		if err != nil {
			return 0, nil, fmt.Errorf("fused: %w", err)
		}
		steps, diff = len(fused), different(apart, fused, j.Chance)
		late := func(l look) bool { return strings.Contains(l.Text, "answer: code 50: KERNEL no answer from ") }
		if apart[0].Text == fused[0].Text && !slices.ContainsFunc(apart, late) && !slices.ContainsFunc(fused, late) {
			break
		}
	}
	return steps, diff, nil
}

// fuse makes one entry of each row of at least so many stages of ours.
func fuse(t *testing.T, text []byte, least int) (out []byte, fused bool) {
	t.Helper()
	var list map[string]any
	if err := json.Unmarshal(text, &list); err != nil {
		t.Fatal(err)
	}
	var row, all []any
	on := map[string]bool{}
	flush := func() {
		if len(row) < least {
			all = append(all, row...)
		} else {
			all, fused = append(all, map[string]any{"type": contract.Fused, "capabilities": on, contract.FusedKey: row}), true
		}
		row, on = nil, map[string]bool{}
	}
	for _, p := range list["plugins"].([]any) {
		entry := p.(map[string]any)
		if !slices.Contains(ours(), entry["type"].(string)) {
			flush()
			all = append(all, entry)
			continue
		}
		row = append(row, entry)
		caps, _ := entry["capabilities"].(map[string]any)
		for name := range caps {
			on[name] = true
		}
	}
	flush()
	list["plugins"] = all
	out, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	return out, fused
}

// chance says whether a plugin of somebody else's makes the wire, or a MAC.
func chance(variants []Variant) bool {
	return slices.ContainsFunc(variants, func(v Variant) bool {
		return slices.Contains([]string{"ptp", "bridge", "macvlan", "ipvlan", "bandwidth"}, v.Type)
	})
}

// TestFusedMatrix lives with compositions both ways: apart, and with neighbours of ours fused by "enichainctl chain fuse".
// Answers, results, the kernel, leases, files and the flight record are the same, line by line, at each of thirteen moments.
// They are those of the matrix in which something can be fused, and then others of up to three stages, by chance.
func TestFusedMatrix(t *testing.T) {
	need.NetAdmin(t)
	need.Tool(t, "iptables", "iptables")
	c, _ := runnable(New(Variants(), composer(t).Contracts))
	all := sample(t, c)
	rand.New(rand.NewPCG(seed(t), 1)).Shuffle(len(sampled.short), func(i, j int) { sampled.short[i], sampled.short[j] = sampled.short[j], sampled.short[i] })
	for i, variants := range sampled.short {
		all = append(all, inTurn(i, variants, Verdict{}))
	}
	var jobs []job
	var rows []string // of ours, in one process
	for _, m := range all {
		j := m.job(bins(t))
		list, problems := chain.Parse("apart.conflist", j.Text)
		if list == nil {
			t.Fatal(problems)
		}
		f, err := chain.Fuse(t.Context(), list, c.Contracts)
		if err != nil {
			t.Fatal(err)
		}
		if len(f.Groups) > 0 {
			j.Fused, j.Chance = f.Text, chance(m.variants)
			jobs, rows = append(jobs, j), append(rows, fmt.Sprint(m, f.Groups))
		}
	}
	within := fusedEnough
	if os.Getenv(fusedVariable) != "" {
		within = 0
	}
	moments, differences := 0, 0
	began := time.Now()
	left := trials(t, within, jobs, func(i int, o outcome) {
		if o.Err != "" {
			t.Errorf("%s: %s", rows[i], o.Err)
		}
		for _, d := range o.Different {
			if differences++; differences < 20 {
				t.Errorf("%s: apart (-) and fused (+) differ %s", rows[i], d)
			}
		}
		moments += o.Moments
	})
	if len(jobs)-left < 4 {
		t.Errorf("only %d compositions were lived with", len(jobs)-left)
	}
	t.Attr("size", fmt.Sprintf("%d of %d compositions, %d moments, in %s", len(jobs)-left, len(jobs), moments, time.Since(began).Round(time.Second)))
	t.Logf("%d of %d compositions, %d moments, in %s", len(jobs)-left, len(jobs), moments, time.Since(began).Round(time.Second))
}

// TestFusedRefusals: what must be refused is so by the same stage, with the same words and the same state, when stages of
// ours, also a single one, run in the fused process.
func TestFusedRefusals(t *testing.T) {
	need.NetAdmin(t)
	var jobs []job
	var names []string
	for _, r := range mustBeRefused(t) {
		version := r.version
		if version == "" {
			version = "1.1.0"
		}
		j := job{Text: List("refused", version, false, stages(r.stages)...), Version: version, Path: bins(t), Chance: chance(r.stages)}
		fused, any := fuse(t, j.Text, 1)
		if !any {
			continue
		}
		j.Fused = fused
		jobs, names = append(jobs, j), append(names, r.name)
	}
	trials(t, 0, jobs, func(i int, o outcome) {
		if o.Err != "" {
			t.Errorf("%s: %s", names[i], o.Err)
		}
		for _, d := range o.Different {
			t.Errorf("%s: apart (-) and fused (+) differ %s", names[i], d)
		}
	})
	if len(jobs) < 15 {
		t.Errorf("only %d refusals", len(jobs))
	}
}

// TestFusedUnderLivingPods fuses a list, and takes one apart, while pods that it made live: nothing is different for them.
func TestFusedUnderLivingPods(t *testing.T) {
	need.NetAdmin(t)
	path := bins(t)
	n := begin(t)
	apart := List("swapped", "1.1.0", false, named(t, "eni-ipam", "routed-veth", "snat", "portmap-compat nftables")...)
	fused, _ := fuse(t, apart, 2)
	if _, err := live(t.Context(), n, apart, path, nil); err != nil { // for what stays on a node
		t.Fatal(err)
	}
	want, err := live(t.Context(), n, apart, path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, lists := range map[string][2][]byte{"fused": {apart, fused}, "taken apart": {fused, apart}} {
		got, err := liveAndSwap(t.Context(), n, lists[0], lists[1], path, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range different(want, got, false) {
			t.Errorf("%s under living pods (-before +after), %s", name, d)
		}
	}
}

// stopper runs plugins until one, as a runtime that is killed there: before it starts, or when it has finished.
type stopper struct {
	invoke.Exec
	before, after string
}

var errStopped = errors.New("the runtime was killed here")

func (s stopper) ExecPlugin(ctx context.Context, path string, stdin []byte, env []string) ([]byte, error) {
	adds := slices.Contains(env, "CNI_COMMAND=ADD")
	if adds && filepath.Base(path) == s.before {
		return nil, errStopped
	}
	out, err := s.Exec.ExecPlugin(ctx, path, stdin, env)
	if adds && filepath.Base(path) == s.after && err == nil {
		return nil, errStopped
	}
	return out, err
}

// TestFusedKilledAtEveryJoint kills the fused process between its stages, and when the last is done, and wants the state
// that a runtime killed between the processes leaves, then and after DEL.
func TestFusedKilledAtEveryJoint(t *testing.T) {
	need.NetAdmin(t)
	path := bins(t)
	deadly := t.TempDir()
	cmd := exec.Command("go", "build", "-o", filepath.Join(deadly, contract.Fused), "./testdata/killed")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	n := begin(t)
	text := List("killed", "1.1.0", false, named(t, "eni-ipam", "routed-veth", "snat", "portmap-compat nftables")...)
	together, _ := fuse(t, text, 2)
	died := func(looks []look) []look { // how it ended is told in other words
		for i := range looks {
			looks[i].Text = dropAnswers(looks[i].Text)
		}
		return looks
	}
	for _, joint := range append(ours(), "end") {
		t.Run(joint, func(t *testing.T) {
			s := stopper{Exec: quietly(), before: joint}
			if joint == "end" {
				s = stopper{Exec: s.Exec, after: "portmap-compat"}
			}
			t.Setenv("KILL_BEFORE", joint)
			for try := range 2 {
				apart, err := live(t.Context(), n, text, path, s)
				if err != nil {
					t.Fatal(err)
				}
				fused, err := live(t.Context(), n, together, append([]string{deadly}, path...), nil)
				if err != nil {
					t.Fatal(err)
				}
				if try == 0 && apart[0].Text != fused[0].Text {
					continue // what stays on a node for good
				}
				if !strings.Contains(fused[2].Text, "answer: ") || strings.Contains(fused[2].Text, "result: ") {
					t.Errorf("ADD was not killed: %s", fused[2].Text)
				}
				for _, d := range different(died(apart), died(fused), false) {
					t.Errorf("apart (-) and fused (+) differ %s", d)
				}
				break
			}
		})
	}
}

// dropAnswers leaves out how verbs ended.
func dropAnswers(text string) string {
	lines := slices.DeleteFunc(strings.Split(text, "\n"), func(l string) bool { return strings.HasPrefix(l, "answer: ") })
	return strings.Join(lines, "\n")
}

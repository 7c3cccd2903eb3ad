package stages_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	types100 "github.com/containernetworking/cni/pkg/types/100"

	"github.com/enichain/enichain/stages"
)

// row are three stages of which each notes what it was given; fail says which of them fails, and how.
type row struct {
	seen []string
	fail map[string]error
}

func (w *row) note(name string, r *stages.Request) error {
	var ports json.RawMessage
	_, portsErr := r.RuntimeConfig("portMappings", &ports)
	var conf struct {
		MTU int `json:"mtu"`
	}
	prev, _ := json.Marshal(r.Prev)
	w.seen = append(w.seen, fmt.Sprintf("%s %s %s type=%s mtu=%d ports=%s prev=%s valid=%v ns=%s %s %v %v", name, r.Command, r.Attachment, r.Type, conf.MTU, ports,
		prev, r.Valid, r.Netns, r.Version, portsErr, r.Decode(&conf)))
	return w.fail[name]
}

func (w *row) stages() (all []stages.Named) {
	for i, name := range []string{"one", "two", "three"} {
		s := &spy{verb: func(r *stages.Request) error { return w.note(name, r) }}
		s.add = func(r *stages.Request) (*stages.Result, error) {
			if err := w.note(name, r); err != nil {
				return nil, err
			}
			if name == "three" {
				return r.Prev, nil
			}
			out := &stages.Result{Interfaces: []*types100.Interface{{Name: name, Mtu: 1500}}}
			if r.Prev != nil {
				out.Interfaces = append(out.Interfaces, r.Prev.Interfaces...)
			}
			out.IPs = []*types100.IPConfig{{Interface: types100.Int(i), Address: net.IPNet{IP: net.IPv4(10, 0, 0, byte(i)), Mask: net.CIDRMask(24, 32)}}}
			return out, nil
		}
		all = append(all, stages.Named{Type: name, Stage: s})
	}
	return all
}

// said is what libcni reads and a person sees of one verb of a whole list.
type said struct {
	result, err string
	flight      []string
	seen        []string
}

const supplied = `{"portMappings":[{"hostPort":80}],"bandwidth":{"ingressRate":1}}`

// entries are the three stages' configurations.
func entries() []string {
	return []string{`{"type":"one","mtu":1400}`, `{"type":"two","capabilities":{"portMappings":true}}`,
		`{"type":"three","capabilities":{"portMappings":true,"bandwidth":true}}`}
}

// config is what libcni makes of an entry.
func config(t *testing.T, entry, version, prev string, valid bool) string {
	t.Helper()
	all := map[string]json.RawMessage{}
	if err := json.Unmarshal([]byte(entry), &all); err != nil {
		t.Fatal(err)
	}
	var on map[string]bool
	runtime, given := map[string]json.RawMessage{}, map[string]json.RawMessage{}
	_ = json.Unmarshal(all["capabilities"], &on)
	if err := json.Unmarshal([]byte(supplied), &runtime); err != nil {
		t.Fatal(err)
	}
	for name := range on {
		given[name] = runtime[name]
	}
	if len(given) > 0 {
		all["runtimeConfig"], _ = json.Marshal(given)
	}
	all["name"], all["cniVersion"] = json.RawMessage(`"net"`), json.RawMessage(fmt.Sprintf("%q", version))
	if prev != "" {
		all["prevResult"] = json.RawMessage(prev)
	}
	if valid {
		all["cni.dev/valid-attachments"] = json.RawMessage(`[{"containerID":"c1","ifname":"eth0"}]`)
	}
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// each runs one process a stage, as libcni does.
func each(t *testing.T, w *row, command, version, cached string) said {
	t.Helper()
	all, confs := w.stages(), entries()
	if command == "DEL" {
		slices.Reverse(all)
		slices.Reverse(confs)
	}
	var s said
	prev := cached
	for i, stage := range all {
		o := run(t, stage.Stage, environment(command), config(t, confs[i], version, prev, command == "GC"))
		s.flight = append(s.flight, strings.Replace(o.flight, `"spy"`, `"`+stage.Type+`"`, 1))
		if o.exit != 0 {
			s.err += o.stdout
			if command != "GC" {
				break
			}
			continue
		}
		if command == "ADD" {
			prev = o.stdout
			s.result = o.stdout
		}
	}
	s.seen = w.seen
	return s
}

// together runs them in one.
func together(t *testing.T, w *row, command, version, cached string) said {
	t.Helper()
	entry := `{"type":"enichain","capabilities":{"portMappings":true,"bandwidth":true},"stages":[` + strings.Join(entries(), ",") + `]}`
	o := run(t, stages.Fuse(w.stages()...), environment(command), config(t, entry, version, cached, command == "GC"))
	s := said{flight: strings.SplitAfter(o.flight, "\n"), seen: w.seen}
	if o.exit != 0 {
		s.err = o.stdout
	} else {
		s.result = o.stdout
	}
	return s
}

// lines are the flight record without times.
func lines(t *testing.T, flight []string) (out []string) {
	t.Helper()
	for _, l := range flight {
		if l == "" {
			continue
		}
		var f stages.Flight
		if err := json.Unmarshal([]byte(l), &f); err != nil {
			t.Fatalf("%q: %v", l, err)
		}
		f.T, f.Took = "", 0
		out = append(out, fmt.Sprintf("%+v", f))
	}
	return out
}

// without takes the stage's name out of an error object: only a fused chain has to say it.
func without(text string) string {
	for _, name := range []string{"one", "two", "three"} {
		text = strings.Replace(text, `,"details":"stage `+name+`"`, "", 1)
	}
	return text
}

// TestFusedIsEqual holds a fused chain against one process a stage: what each stage is given, what comes out, what is
// recorded, for each verb, with each stage failing.
func TestFusedIsEqual(t *testing.T) {
	const cached = `{"cniVersion":"%s","ips":[{"address":"10.0.0.9/24"%s}]}`
	failures := map[string]map[string]error{
		"none":           nil,
		"first":          {"one": stages.Errorf(stages.PoolEmpty, "none left")},
		"middle":         {"two": errors.New("the kernel says no")},
		"last":           {"three": stages.Errorf(stages.Config, "mtu: %s", strings.Repeat("long ", 100)).WithCode(7)},
		"first and last": {"one": stages.Errorf(stages.Kernel, "a"), "three": stages.Errorf(stages.Kernel, "b")},
	}
	for _, version := range []string{"0.3.1", "0.4.0", "1.0.0", "1.1.0"} {
		for _, command := range []string{"ADD", "CHECK", "DEL", "GC", "STATUS"} {
			for name, fail := range failures {
				t.Run(version+" "+command+" "+name, func(t *testing.T) {
					prev, four := "", ""
					if strings.HasPrefix(version, "0.") {
						four = `,"version":"4"`
					}
					if command == "CHECK" || command == "DEL" {
						prev = fmt.Sprintf(cached, version, four)
					}
					want, got := each(t, &row{fail: fail}, command, version, prev), together(t, &row{fail: fail}, command, version, prev)
					if diff := cmp.Diff(want.seen, got.seen); diff != "" {
						t.Errorf("what stages are given (-apart +fused)\n%s", diff)
					}
					if diff := cmp.Diff(lines(t, want.flight), lines(t, got.flight)); diff != "" {
						t.Errorf("flight record (-apart +fused)\n%s", diff)
					}
					if want.err == "" && want.result != got.result {
						t.Errorf("result %s, want %s", got.result, want.result)
					}
					if command == "GC" && name == "first and last" {
						if !strings.Contains(got.err, `"msg":"KERNEL a; three: KERNEL b","details":"stage one"`) {
							t.Errorf("two errors of GC: %s", got.err)
						}
						return
					}
					if diff := cmp.Diff(want.err, without(got.err)); diff != "" {
						t.Errorf("error (-apart +fused)\n%s", diff)
					}
				})
			}
		}
	}
}

// TestFusedRefuses: an entry that makes no sense is refused before any stage runs; it has a line of its own in the record.
func TestFusedRefuses(t *testing.T) {
	for _, tc := range []struct{ name, entry, command, want string }{
		{"no stages", `{"type":"enichain"}`, "ADD", `CONFIG stages: want the entries of at least one stage`},
		{"no list", `{"type":"enichain","stages":{}}`, "ADD", "CONFIG stages: want a list"},
		{"none on DEL", `{"type":"enichain","stages":[]}`, "DEL", "CONFIG stages: want the entries"},
		{"no object", `{"type":"enichain","stages":["one"]}`, "ADD", `CONFIG stages[0]: want an object with \"type\"`},
		{"no type", `{"type":"enichain","stages":[{"type":"one"},{}]}`, "ADD", "CONFIG stages[1].type: want a stage's name"},
		{"somebody else's", `{"type":"enichain","stages":[{"type":"one"},{"type":"ptp"}]}`, "ADD",
			`CONFIG stages[1].type: there is no \"ptp\" in this process, only one, two, three`},
		{"itself", `{"type":"enichain","stages":[{"type":"enichain","stages":[]}]}`, "ADD", `there is no \"enichain\"`},
		{"an unknown key", `{"type":"enichain","stages":[{"type":"one"}],"mtu":9}`, "ADD", "CONFIG mtu: unknown key"},
		{"capabilities of another form", `{"type":"enichain","stages":[{"type":"one","capabilities":["x"]}]}`, "ADD", "stages[0].capabilities: want an object"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := &row{}
			o := run(t, stages.Fuse(w.stages()...), environment(tc.command), config(t, tc.entry, "1.0.0", "", false))
			if o.exit != 1 || !strings.Contains(o.stdout, tc.want) || !strings.Contains(o.stdout, `"code":7`) || len(w.seen) > 0 {
				t.Errorf("exit %d, %s; asked %v; want %s", o.exit, o.stdout, w.seen, tc.want)
			}
			if !strings.Contains(o.flight, `"stage":"spy"`) || !strings.Contains(o.flight, `"token":"CONFIG"`) {
				t.Errorf("flight record %s", o.flight)
			}
		})
	}
	t.Run("a DEL bears an unknown key", func(t *testing.T) {
		w := &row{}
		o := run(t, stages.Fuse(w.stages()...), environment("DEL"), config(t, `{"type":"enichain","stages":[{"type":"one"}],"mtu":9}`, "1.0.0", "", false))
		if o.exit != 0 || len(w.seen) != 1 {
			t.Errorf("exit %d, %s; asked %v", o.exit, o.stdout, w.seen)
		}
	})
}

// TestFusedEnvironment: what is refused before any stage runs is told under the name of the one that would have been first.
func TestFusedEnvironment(t *testing.T) {
	for command, want := range map[string]string{"ADD": "one", "DEL": "three", "CHECK": "one"} {
		w := &row{}
		entry := `{"type":"enichain","stages":[` + strings.Join(entries(), ",") + `]}`
		o := run(t, stages.Fuse(w.stages()...), with(environment(command), "CNI_IFNAME", "a/b"), config(t, entry, "1.0.0", "", false))
		if o.exit != 1 || !strings.Contains(o.stdout, "ENV CNI_IFNAME") || !strings.Contains(o.flight, `"stage":"`+want+`"`) || len(w.seen) > 0 {
			t.Errorf("%s: exit %d, %s, %s; asked %v", command, o.exit, o.stdout, o.flight, w.seen)
		}
	}
}

// TestFusedPanic: a stage that panics is that stage's error, and the rest of DEL is not run, as between processes.
func TestFusedPanic(t *testing.T) {
	s := &spy{verb: func(*stages.Request) error { panic("oh") }}
	w := &row{}
	o := run(t, stages.Fuse(append(w.stages(), stages.Named{Type: "bad", Stage: s})...), environment("DEL"),
		config(t, `{"type":"enichain","stages":[{"type":"one"},{"type":"bad"}]}`, "1.0.0", "", false))
	if o.exit != 1 || !strings.Contains(o.stdout, `"msg":"BUG bad broke down: oh; its standard error has the stack","details":"stage bad"`) ||
		len(w.seen) != 0 || !strings.Contains(o.stderr, "fused_test.go") {
		t.Errorf("exit %d, %s, %s; asked %v", o.exit, o.stdout, o.stderr, w.seen)
	}
}

// TestFusedResultNobodyTakes: the runtime is gone, so all that ADD made goes, too.
func TestFusedResultNobodyTakes(t *testing.T) {
	w := &row{}
	flight := filepath.Join(t.TempDir(), "flight.jsonl")
	entry := `{"type":"enichain","stages":[` + strings.Join(entries(), ",") + `]}`
	exit := stages.Run(t.Context(), process(environment("ADD"), config(t, entry, "1.0.0", "", false), broken{}, os.Stderr, flight), "enichain", stages.Fuse(w.stages()...))
	var asked []string
	for _, s := range w.seen {
		asked = append(asked, strings.Join(strings.Fields(s)[:2], " "))
	}
	if diff := cmp.Diff([]string{"one ADD", "two ADD", "three ADD", "three DEL", "two DEL", "one DEL"}, asked); diff != "" || exit != 1 {
		t.Errorf("exit %d, asked (-want +got)\n%s", exit, diff)
	}
	record, _ := os.ReadFile(flight)
	if n := strings.Count(string(record), "\n"); n != 3 {
		t.Errorf("%d lines in the record, want 3:\n%s", n, record)
	}
}

// TestFusedDelegate: a delegate that is one of the stages runs here, with the same answers and lines as a process.
func TestFusedDelegate(t *testing.T) {
	for _, fails := range []bool{false, true} {
		w := &row{fail: map[string]error{}}
		if fails {
			w.fail["one"] = stages.Errorf(stages.PoolEmpty, "none left")
		}
		caller := &spy{add: func(r *stages.Request) (*stages.Result, error) {
			return stages.Delegate(t.Context(), r, "one", r.Config, "ADD")
		}}
		all := append(w.stages(), stages.Named{Type: "caller", Stage: caller})
		o := run(t, stages.Fuse(all...), with(environment("ADD"), "CNI_PATH", "/nowhere"),
			config(t, `{"type":"enichain","stages":[{"type":"caller","ipam":{"type":"one"}},{"type":"two"}]}`, "1.0.0", "", false))
		var asked []string
		for _, s := range w.seen {
			asked = append(asked, strings.Join(strings.Fields(s)[:4], " "))
		}
		want := []string{"one ADD net/c1/eth0 type=caller", "two ADD net/c1/eth0 type=two"}
		flown := "one caller two"
		if fails {
			want = []string{"one ADD net/c1/eth0 type=caller", "one DEL net/c1/eth0 type=caller"}
			flown = "one one caller"
			if !strings.Contains(o.stdout, `"code":11,"msg":"DELEGATE one: POOL_EMPTY none left","details":"stage caller"`) {
				t.Errorf("error %s", o.stdout)
			}
		}
		if diff := cmp.Diff(want, asked); diff != "" {
			t.Errorf("fails %t: asked (-want +got)\n%s", fails, diff)
		}
		var names []string
		for _, l := range strings.Split(strings.TrimSpace(o.flight), "\n") {
			var f stages.Flight
			_ = json.Unmarshal([]byte(l), &f)
			names = append(names, f.Stage)
		}
		if got := strings.Join(names, " "); got != flown {
			t.Errorf("fails %t: lines of %s, want %s", fails, got, flown)
		}
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, os.ErrClosed }

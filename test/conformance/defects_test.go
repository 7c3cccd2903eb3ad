package conformance

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/enichain/enichain/test/need"
)

// spoiled are plugins with one defect each, and the assertions that have to fail for it: those and no others. Each is
// one of ours in testdata/wrapper.
var spoiled = []struct{ defect, plugin, ids string }{
	{"none", "portmap-compat", ""},
	{"none", "portmap-compat@iptables", ""},
	{"none", "eni-ipam", ""},
	{"none", "routed-veth", ""},
	{"exit-0-on-failure", "portmap-compat", "C1"},
	{"error-twice", "portmap-compat", "C2"},
	{"error-without-version", "portmap-compat", "C3"},
	{"result-twice", "portmap-compat", "C4"},
	{"chatty-del", "portmap-compat", "C4"},
	{"error-on-stderr-only", "portmap-compat", "C5"},
	{"crashes-on-odd-config", "portmap-compat", "C6"},
	{"version-refuses-foreign", "portmap-compat", "C7"},
	{"version-listed-twice", "portmap-compat", "C8"},
	{"version-needs-path", "portmap-compat", "C9"},
	{"version-not-echoed", "portmap-compat", "C27"},
	{"silent-by-hand", "portmap-compat", "C28"},
	{"reads-stdin-on-version", "portmap-compat", "C31"},
	{"accepts-any-version", "portmap-compat", "C10"},
	{"wrong-code-for-variables", "portmap-compat", "C11"},
	{"unknown-command-ignored", "portmap-compat", "C12"},
	{"accepts-odd-id", "portmap-compat", "C13"},
	{"wrong-code-for-json", "portmap-compat", "C14"},
	{"reserved-code", "portmap-compat", "C15"},
	{"refuses-args", "portmap-compat", "C20"},
	{"refuses-pod-args", "portmap-compat", "C21"},
	{"odd-args-unnamed", "portmap-compat", "C22"},
	{"effect-before-refusing", "portmap-compat", "C24"},
	{"refuses-trace", "portmap-compat", "C25"},
	{"unnamed-variable", "portmap-compat", "C29"},
	{"accepts-invalid-values", "portmap-compat", "C32"},
	{"truncates-ifname", "eni-ipam", "N2"},
	{"add-fails", "portmap-compat", "A1"},
	{"wrong-version", "portmap-compat", "C16"},
	{"ip-version", "eni-ipam", "C17"},
	{"small-letters-only", "portmap-compat", "C23"},
	{"environment-first", "eni-ipam", "C26"},
	{"index-out-of-range", "routed-veth", "F4"},
	{"ip-twice", "eni-ipam", "F5"},
	{"drops-previous", "eni-ipam", "F7"},
	{"one-at-a-time", "portmap-compat", "C19"},
	{"leaves-a-link", "portmap-compat", "D1"},
	{"second-del-fails", "portmap-compat", "D2"},
	{"bare-del-fails", "eni-ipam", "I5"},
	{"bare-del-fails", "routed-veth", "N8"},
	{"bare-del-fails", "portmap-compat", "M4"},
	{"bare-del-forgets", "portmap-compat", "M10"},
	{"forgets-the-ifname", "portmap-compat", "M7"},
	{"del-needs-arguments", "portmap-compat", "M9"},
	{"killed-add-leaks", "portmap-compat", "K1"},
	{"gc-forgets-a-killed-add", "portmap-compat", "K2"},
	{"check-fails", "portmap-compat", "H1"},
	{"check-changes", "portmap-compat", "H2"},
	{"check-blind", "eni-ipam", "I6"},
	{"check-blind", "portmap-compat", "M5"},
	{"check-counts-routes", "routed-veth", "N9"},
	{"check-counts-mac", "routed-veth", "N19"},
	{"status-fails", "portmap-compat", "S1"},
	{"status-slow", "portmap-compat", "S2"},
	{"always-ready", "eni-ipam", "I7"},
	{"gc-fails", "portmap-compat", "G1"},
	{"gc-takes-all", "portmap-compat", "G2"},
	{"gc-any-network", "portmap-compat", "G3"},
	{"gc-lazy", "portmap-compat", "M6"},
	{"gc-newer-name-only", "portmap-compat", "I9"},
	{"gc-without-list", "portmap-compat", "I10"},
	{"gc-null-means-nothing", "portmap-compat", "G4"},
	{"interface-of-delegate", "eni-ipam", "I1"},
	{"reads-callers-keys", "eni-ipam", "I2"},
	{"no-address", "eni-ipam", "I3"},
	{"whole-length-under-ptp", "eni-ipam", "I4"},
	{"second-add-leaks", "eni-ipam", "I11"},
	{"ignores-wanted", "eni-ipam", "I12"},
	{"no-gateway", "eni-ipam", "I13"},
	{"delegate-del-needs-result", "eni-ipam", "I14"},
	{"takes-the-name", "routed-veth", "N1"},
	{"other-sandbox", "routed-veth", "N3"},
	{"makes-a-second", "routed-veth", "N5"},
	{"forgets-a-link-for-gc", "routed-veth", "N23"},
	{"gc-lazy", "eni-ipam", "I8"},
	{"always-ready", "routed-veth", "S3 N15"},
	{"always-ready", "portmap-compat@iptables", "M8"},
	{"check-blind", "routed-veth", "N18 N22 N24 N7"},
	{"sets-it-down", "routed-veth", "N21"},
	{"drops-earlier-interface", "routed-veth", "N4"},
	{"no-delegate-del-after-failure", "routed-veth", "N6"},
	{"invents-a-route", "routed-veth", "N11"},
	{"hides-delegates-words", "routed-veth", "N17"},
	{"no-mtu", "routed-veth", "N12"},
	{"hides-host-end", "routed-veth", "N13"},
	{"other-address", "routed-veth", "N20"},
	{"address-of-host-end", "routed-veth", "F3 F6 N20"},
	{"del-keeps-from-ipam", "routed-veth", "N7"},
	{"gc-keeps-from-ipam", "routed-veth", "N14"},
	{"status-alone", "routed-veth", "N15"},
	{"keeps-the-trace", "routed-veth", "N16"},
	{"forgives-the-delegate", "routed-veth", "N18"},
	{"drops-dns", "portmap-compat", "M1"},
	{"drops-route-mtu", "portmap-compat", "M1"},
	{"refuses-unversioned-result", "portmap-compat", "M2"},
	{"crashes-without-previous", "portmap-compat", "M3"},
}

// TestDefectsAreSeen gives the suite plugins that are wrong in one thing.
func TestDefectsAreSeen(t *testing.T) {
	begin(t)
	wrapper := filepath.Join(t.TempDir(), "wrapper")
	build := exec.Command("go", "build", "-o", wrapper, "./testdata/wrapper")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("cannot build the wrapper: %v\n%s", err, out)
	}
	complete := os.Getenv("ENICHAIN_COMPLETE") != "" // that no other assertion fails takes a quarter of an hour
	usual := map[string][]string{}                   // what each plugin fails as it is
	for _, tt := range spoiled {
		if tt.defect == "none" && !complete {
			continue // TestOursConform tries it
		}
		t.Run(tt.defect+"/"+tt.plugin, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), tt.defect)
			plugin, _, _ := strings.Cut(tt.plugin, "@")
			inner, err := filepath.Abs("../../bin/" + plugin)
			if err == nil {
				err = os.Mkdir(dir, 0o755)
			}
			if err == nil {
				err = os.Symlink(inner, filepath.Join(dir, "inner"))
			}
			if err == nil {
				err = os.Symlink(wrapper, filepath.Join(dir, plugin))
			}
			if err != nil {
				t.Fatal(err)
			}
			o := Options{Binary: filepath.Join(dir, tt.plugin), Path: []string{dir, filepath.Dir(inner)}}
			switch {
			case tt.defect == "none":
				usual[tt.plugin] = failures(t, o)
				return
			case complete:
				o.Only = mostly(strings.Fields(tt.ids))
			default:
				o.Only = strings.Fields(tt.ids)
				for _, d := range Declared() {
					if d.Plugin == plugin {
						usual[tt.plugin] = append(usual[tt.plugin], d.ID)
					}
				}
			}
			got := failures(t, o)
			fails := func(id string) bool { return slices.Contains(usual[tt.plugin], id) }
			want := slices.DeleteFunc(strings.Fields(tt.ids), fails)
			got = slices.DeleteFunc(got, fails)
			slices.Sort(want)
			slices.Sort(got)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("failed assertions (-want +got):\n%s", diff)
			}
		})
	}
}

// mostly are all assertions, but of those that take long only what is meant.
func mostly(meant []string) (ids []string) {
	for _, a := range Suite() {
		if slices.Contains(meant, a.ID) || !slices.Contains([]string{"C19", "K1", "K2", "M5", "N22", "N24"}, a.ID) {
			ids = append(ids, a.ID)
		}
	}
	return ids
}

// failures are the ids of what a plugin fails.
func failures(t *testing.T, o Options) []string {
	t.Helper()
	r, err := Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	if r.NotRun != "" {
		t.Fatal(r.NotRun)
	}
	var ids []string
	for _, f := range r.Findings {
		if f.Outcome == Failed {
			ids = append(ids, f.ID)
			t.Logf("%s: expected %s, seen %s", f.ID, f.Expected, f.Seen)
		}
	}
	return ids
}

// TestEveryAssertionHasADefect wants each assertion shown to notice something.
func TestEveryAssertionHasADefect(t *testing.T) {
	untried := map[string]string{"C18": "none of ours speaks 0.2.0; upstream's loopback fails it (upstream.golden)"}
	for _, a := range Suite() {
		seen := slices.ContainsFunc(spoiled, func(s struct{ defect, plugin, ids string }) bool {
			return slices.Contains(strings.Fields(s.ids), a.ID)
		})
		if _, excused := untried[a.ID]; !seen && !excused {
			t.Errorf("%s: no defect shows that it notices anything", a.ID)
		}
	}
}

func begin(t *testing.T) {
	t.Helper()
	need.NetAdmin(t)
	for tool, debianPackage := range map[string]string{"ip": "iproute2", "tc": "iproute2", "nft": "nftables", "iptables": "iptables"} {
		need.Tool(t, tool, debianPackage)
	}
	if _, err := os.Stat("../../bin/eni-ipam"); err != nil {
		t.Fatalf("%v: run make build first", err)
	}
}

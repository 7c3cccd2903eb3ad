package known_test

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/enichain/enichain/chain/contract"
	"github.com/enichain/enichain/chain/known"
)

// bin is where 'make build' puts the reference plugins, of the version that go.mod pins.
const bin = "../../bin"

// binary is a reference plugin's; a checkout without them has not been built.
func binary(t *testing.T, plugin string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join(bin, plugin))
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		t.Fatalf("%v: this test runs the reference plugins: make build", err)
	}
	return path
}

// reference are the known plugins that come with go.mod's modules, and the folders of their sources.
func reference(t *testing.T) map[string]string {
	t.Helper()
	out, err := exec.Command("go", "list", "-f", "{{.Dir}}", "tool").Output()
	if err != nil {
		t.Fatalf("cannot list go.mod's tools: %v", err)
	}
	dirs := map[string]string{}
	for _, dir := range strings.Fields(string(out)) {
		if strings.Contains(dir, "/plugins/") && slices.Contains(known.Types(), filepath.Base(dir)) {
			dirs[filepath.Base(dir)] = dir
		}
	}
	if len(dirs) < 15 {
		t.Fatalf("go.mod has only %d reference plugins: this test looks at nothing", len(dirs))
	}
	return dirs
}

func TestVersionsAreTheBinaries(t *testing.T) {
	for plugin := range reference(t) {
		cmd := exec.Command(binary(t, plugin))
		cmd.Env = []string{"CNI_COMMAND=VERSION"}
		cmd.Stdin = strings.NewReader(`{"cniVersion":"1.0.0"}`)
		out, err := cmd.Output()
		var told struct{ SupportedVersions []string }
		if err == nil {
			err = json.Unmarshal(out, &told)
		}
		if err != nil {
			t.Errorf("%s: VERSION: %v", plugin, err)
			continue
		}
		_, versions, _ := known.Of(plugin, nil)
		if diff := cmp.Diff(told.SupportedVersions, versions); diff != "" {
			t.Errorf("%s (-its binary +known):\n%s", plugin, diff)
		}
	}
}

// TestKeysAreTheSources compares every key with the struct that the plugin decodes its configuration into.
func TestKeysAreTheSources(t *testing.T) {
	everybodys := []string{"ipam", "dns", "args"} // of cni's own struct, told where a plugin heeds them
	for plugin, dir := range reference(t) {
		c, _, _ := known.Of(plugin, nil)
		got := []string{}
		for key := range c.Keys {
			if !slices.Contains(everybodys, key) {
				got = append(got, key)
			}
		}
		slices.Sort(got)
		if diff := cmp.Diff(decoded(t, dir), got); diff != "" {
			t.Errorf("%s (-its source +known):\n%s", plugin, diff)
		}
	}
}

// decoded are the JSON names in the structs that embed cni's configuration, and in what those embed.
func decoded(t *testing.T, dir string) []string {
	t.Helper()
	structs := map[string]*ast.StructType{}
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			if spec, ok := n.(*ast.TypeSpec); ok {
				if s, ok := spec.Type.(*ast.StructType); ok && !strings.HasSuffix(file, "_test.go") {
					structs[spec.Name.Name] = s
				}
			}
			return true
		})
	}
	var names []string
	for _, s := range structs {
		if embeds(s, "NetConf") || embeds(s, "PluginConf") {
			names = append(names, tags(s, structs)...)
		}
	}
	others := []string{"prevResult", "runtimeConfig", "args", "ipam", "-"} // the runtime's, and everybody's
	names = slices.DeleteFunc(names, func(n string) bool { return slices.Contains(others, n) })
	slices.Sort(names)
	return append([]string{}, slices.Compact(names)...)
}

func embeds(s *ast.StructType, name string) bool {
	for _, f := range s.Fields.List {
		if sel, ok := f.Type.(*ast.SelectorExpr); ok && len(f.Names) == 0 && sel.Sel.Name == name {
			return true
		}
	}
	return false
}

func tags(s *ast.StructType, structs map[string]*ast.StructType) []string {
	var names []string
	for _, f := range s.Fields.List {
		if f.Tag != nil {
			tag := reflect.StructTag(strings.Trim(f.Tag.Value, "`")).Get("json")
			names = append(names, strings.Split(tag, ",")[0])
			continue
		}
		kind := f.Type
		if star, ok := kind.(*ast.StarExpr); ok {
			kind = star.X
		}
		if id, ok := kind.(*ast.Ident); ok && len(f.Names) == 0 && structs[id.Name] != nil {
			names = append(names, tags(structs[id.Name], structs)...)
		}
	}
	return names
}

func TestOf(t *testing.T) {
	facts := func(f ...contract.Fact) []contract.Fact { return f }
	for _, test := range []struct {
		name, plugin, config string
		requires, adds       []contract.Fact
	}{
		{"ptp", "ptp", `{}`, facts("ips", "gateway"), facts("sandbox-interface", "host-interface", "routed")},
		{"ptp that masquerades", "ptp", `{"ipMasq":true}`, facts("ips", "gateway"),
			facts("sandbox-interface", "host-interface", "routed", "masquerade")},
		{"bridge of layer 2", "bridge", `{"isGateway":true,"ipMasq":true}`, nil, facts("sandbox-interface", "host-interface", "bridge")},
		{"bridge without gateway", "bridge", `{"ipam":{"type":"host-local"}}`, facts("ips"),
			facts("sandbox-interface", "host-interface", "bridge")},
		{"bridge as gateway that masquerades", "bridge", `{"isDefaultGateway":true,"ipMasq":true,"ipam":{"type":"x"}}`,
			facts("ips", "gateway"), facts("sandbox-interface", "host-interface", "bridge", "routed", "masquerade")},
		{"firewall", "firewall", `{}`, facts("ips"), nil},
		{"firewall with a policy", "firewall", `{"ingressPolicy":"isolated"}`, facts("ips", "bridge"), nil},
		{"firewall with the policy open", "firewall", `{"ingressPolicy":"open"}`, facts("ips"), nil},
		{"tuning of the namespace", "tuning", `{"sysctl":{"net.core.somaxconn":"1"}}`, nil, nil},
		{"tuning of an interface's sysctl", "tuning", `{"sysctl":{"net.ipv4.conf.IFNAME.rp_filter":"0"}}`, facts("sandbox-interface"), nil},
		{"tuning of all interfaces' sysctl", "tuning", `{"sysctl":{"net/ipv4/conf/all/rp_filter":"0"}}`, nil, nil},
		{"tuning of the MAC", "tuning", `{"mac":"02:00:00:00:00:01"}`, facts("sandbox-interface"), nil},
		{"tuning of the MAC by capability", "tuning", `{"capabilities":{"mac":true}}`, facts("sandbox-interface"), nil},
		{"static without address", "static", `{"ipam":{"type":"static"}}`, nil, nil},
		{"static with one", "static", `{"ipam":{"addresses":[{"address":"10.0.0.1/24"}]}}`, nil, facts("ips")},
		{"static with gateway", "static", `{"ipam":{"addresses":[{"address":"10.0.0.2/24","gateway":"10.0.0.1"}]}}`, nil,
			facts("ips", "gateway")},
		{"static as a delegate", "static", `{"type":"static","addresses":[{"address":"10.0.0.2/24","gateway":"10.0.0.1"}]}`, nil,
			facts("ips", "gateway")},
		{"cilium alone", "cilium-cni", `{}`, nil, facts("ips", "sandbox-interface", "host-interface", "routed")},
		{"cilium behind others", "cilium-cni", `{"chaining-mode":"generic-veth"}`, facts("ips", "sandbox-interface", "host-interface"), nil},
		{"not JSON", "ptp", `[`, facts("ips", "gateway"), facts("sandbox-interface", "host-interface", "routed")},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, versions, ok := known.Of(test.plugin, json.RawMessage(test.config))
			if !ok || len(versions) == 0 || c.V != 0 {
				t.Fatalf("known %t, versions %v, v %d", ok, versions, c.V)
			}
			if diff := cmp.Diff(test.requires, c.Requires); diff != "" {
				t.Errorf("requires (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.adds, c.Adds); diff != "" {
				t.Errorf("adds (-want +got):\n%s", diff)
			}
		})
	}
	if _, _, ok := known.Of("eni-ipam", nil); ok {
		t.Error("our own stages declare themselves: nobody else knows them")
	}
}

// TestDeclarationsHoldTogether finds what no plugin could mean.
func TestDeclarationsHoldTogether(t *testing.T) {
	for _, plugin := range known.Types() {
		c, _, _ := known.Of(plugin, nil)
		var faults []string
		if c.Previous == "" {
			faults = append(faults, "says nothing of prevResult")
		}
		for _, fact := range c.Exclusive {
			if !slices.Contains(c.Adds, fact) {
				faults = append(faults, fmt.Sprintf("excludes others from %s, which it does not add", fact))
			}
		}
		if len(c.Requires) > 0 && c.Previous == contract.Discards && c.Delegates == contract.NoDelegate {
			faults = append(faults, "requires facts, discards prevResult and asks nobody")
		}
		for key, kind := range c.Keys {
			if kind == "" || strings.TrimSpace(key) != key {
				faults = append(faults, fmt.Sprintf("key %q has the kind %q", key, kind))
			}
		}
		if len(faults) > 0 {
			t.Errorf("%s %s", plugin, strings.Join(faults, "; "))
		}
	}
}

func TestTypesAreSorted(t *testing.T) {
	types := known.Types()
	if !slices.IsSorted(types) || len(types) < 25 {
		t.Errorf("types: %v", types)
	}
}

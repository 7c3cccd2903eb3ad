package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/enichain/enichain/chain"
)

// migrate runs the command with a manifest on standard input.
func migrate(t *testing.T, manifest string, args ...string) (text string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	a := &app{in: strings.NewReader(manifest), out: &out, err: &errs, getenv: func(string) string { return "" }}
	code = a.run(t.Context(), append([]string{"migrate", "plan"}, args...))
	return out.String() + errs.String(), code
}

// daemonSet is a manifest of the settings, as JSON.
func daemonSet(env ...string) string {
	type pair struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	}
	var pairs []pair
	for _, e := range env {
		name, value, _ := strings.Cut(e, "=")
		pairs = append(pairs, pair{name, value})
	}
	text, err := json.Marshal(pairs)
	if err != nil {
		panic(err) // cannot be: texts alone
	}
	return fmt.Sprintf(`{"kind":"DaemonSet","metadata":{"name":"aws-node","namespace":"kube-system"},"spec":{"template":{"spec":{"containers":[`+
		`{"name":"aws-node","image":"x/amazon-k8s-cni:v1.23.1","env":%s}]}}}}`, text)
}

// TestMigratePlans compares whole plans with testdata/migrate/*.plan.
func TestMigratePlans(t *testing.T) {
	for file, want := range map[string]int{"default.yaml": exitOK, "custom.yaml": exitOK, "prefix.json": exitOK, "ipv6.yaml": exitWrong,
		"pod-groups.yaml": exitWrong, "managed.yaml": exitOK} {
		t.Run(file, func(t *testing.T) {
			file := filepath.Join("testdata", "migrate", file)
			golden, err := os.ReadFile(strings.TrimSuffix(file, filepath.Ext(file)) + ".plan")
			if err != nil {
				t.Fatal(err)
			}
			text, code := migrate(t, "", file)
			if d := cmp.Diff(string(golden), text); d != "" || code != want {
				t.Errorf("exit %d, want %d (-want +got):\n%s", code, want, d)
			}
		})
	}
}

// TestMigrateWarm is the arithmetic of the four warm targets, and which of them count.
func TestMigrateWarm(t *testing.T) {
	for _, tt := range []struct {
		name string
		env  []string
		want string
	}{
		{"nothing set", nil, "warm: { enis: 1 }"},
		{"interfaces", []string{"WARM_ENI_TARGET=2"}, "warm: { enis: 2 }"},
		{"no interface: more when none is free", []string{"WARM_ENI_TARGET=0"}, "warm: { free: 1 }"},
		{"a negative number is the default", []string{"WARM_ENI_TARGET=-1"}, "warm: { enis: 1 }"},
		{"no number is the default", []string{"WARM_ENI_TARGET=many"}, "warm: { enis: 1 }"},
		{"addresses overrule interfaces", []string{"WARM_ENI_TARGET=1", "WARM_IP_TARGET=5"}, "warm: { free: 5, minimum: 0 }"},
		{"a minimum alone keeps none warm", []string{"WARM_ENI_TARGET=1", "MINIMUM_IP_TARGET=10"}, "warm: { free: 0, minimum: 10 }"},
		{"interfaces do not count beside prefixes", []string{"ENABLE_PREFIX_DELEGATION=true", "WARM_ENI_TARGET=2", "WARM_PREFIX_TARGET=3"}, "warm: { prefixes: 3 }"},
		{"no prefix", []string{"ENABLE_PREFIX_DELEGATION=true", "WARM_PREFIX_TARGET=0"}, "warm: { free: 1 }"},
		{"addresses overrule prefixes", []string{"ENABLE_PREFIX_DELEGATION=true", "WARM_PREFIX_TARGET=3", "WARM_IP_TARGET=20"}, "warm: { free: 20, minimum: 0 }"},
		{"prefixes count only with delegation", []string{"WARM_PREFIX_TARGET=3"}, "warm: { enis: 1 }"},
		{"more than ours takes", []string{"WARM_IP_TARGET=2000000"}, "warm: { free: 100000, minimum: 0 }"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if text, _ := migrate(t, daemonSet(tt.env...), "--cluster", "c"); !strings.Contains(text, "    "+tt.want+"\n") {
				t.Errorf("want %q in\n%s", tt.want, text)
			}
		})
	}
}

// TestMigrateFamilies: what pods have addresses of there, also where only one of the two settings is there.
func TestMigrateFamilies(t *testing.T) {
	for _, tt := range []struct {
		name string
		env  []string
		want string
	}{
		{"nothing set", nil, "families: [ipv4]"},
		{"IPv4", []string{"ENABLE_IPv4=true", "ENABLE_IPv6=false"}, "families: [ipv4]"},
		{"IPv6", []string{"ENABLE_IPv4=false", "ENABLE_IPv6=true"}, "families: [ipv6]"},
		{"IPv6, and no word of IPv4", []string{"ENABLE_IPv6=true"}, "families: [ipv6]"},
		{"both, which theirs refuses", []string{"ENABLE_IPv4=true", "ENABLE_IPv6=true"}, "families: [ipv4, ipv6]"},
		{"no truth", []string{"ENABLE_IPv4=yes", "ENABLE_IPv6=yes"}, "families: [ipv4]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if m := planned(t, daemonSet(tt.env...)); !strings.Contains(m.Config, "    "+tt.want+"\n") {
				t.Errorf("want %q in\n%s", tt.want, m.Config)
			}
		})
	}
}

// TestMigrateDoesNotGuess: a value that only kubelet puts together is not taken as it stands, and is a line to decide about.
func TestMigrateDoesNotGuess(t *testing.T) {
	text, code := migrate(t, daemonSet("PREFIX=prod", "CLUSTER_NAME=$(PREFIX)-eu", "WARM_IP_TARGET=$(FREE)"))
	for _, want := range []string{
		"! CLUSTER_NAME    its value stands elsewhere ($(PREFIX)-eu, by other variables); planned as not set: none; ",
		"! WARM_IP_TARGET  its value stands elsewhere ($(FREE), by other variables); planned as not set: none; none",
		"name the cluster: --cluster NAME", "cluster: \"\"\n", "warm: { enis: 1 }",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	if code != exitWrong {
		t.Errorf("exit %d", code)
	}
}

// TestMigrateMTU: an interface's and a pod's are two things.
func TestMigrateMTU(t *testing.T) {
	for _, tt := range []struct {
		name             string
		env              []string
		config, list, to string
	}{
		{"nothing set", nil, "", "", ""},
		{"the interface's", []string{"AWS_VPC_ENI_MTU=1500"}, "enis: { mtu: 1500 }", "", "pools[].enis.mtu: 1500"},
		{"both", []string{"AWS_VPC_ENI_MTU=9001", "POD_MTU=1480", "MAX_ENI=3"}, "enis: { max: 3, mtu: 9001 }", `"mtu": 1480`, "routed-veth mtu: 1480"},
		{"too small", []string{"AWS_VPC_ENI_MTU=575"}, "", "", "theirs does not start with it; ours is 9001"},
		{"too small for IPv6", []string{"AWS_VPC_ENI_MTU=1279", "ENABLE_IPv6=true"}, "", "", "theirs does not start with it; ours is 9001"},
		{"no number", []string{"POD_MTU=jumbo"}, "", "", "theirs does not start with it; pods have their interface's"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := planned(t, daemonSet(tt.env...))
			if strings.Contains(m.Config, "mtu") != (tt.config != "") || !strings.Contains(m.Config, tt.config) {
				t.Errorf("want %q in\n%s", tt.config, m.Config)
			}
			if strings.Contains(string(m.List), "mtu") != (tt.list != "") || !strings.Contains(string(m.List), tt.list) {
				t.Errorf("want %q in\n%s", tt.list, m.List)
			}
			if text, _ := migrate(t, daemonSet(tt.env...), "--cluster", "c"); !strings.Contains(text, tt.to) {
				t.Errorf("want %q in\n%s", tt.to, text)
			}
		})
	}
}

// TestMigrateRefuses what is no installation, with words that say what it is.
func TestMigrateRefuses(t *testing.T) {
	for _, tt := range []struct{ name, manifest, want string }{
		{"nothing", "", "there is no object in it; want the DaemonSet aws-node"},
		{"separators", "---\n---\n", "there is no object in it"},
		{"another object", "kind: Deployment\nmetadata: {name: coredns}\n", "no DaemonSet with a container aws-node in it, but Deployment coredns"},
		{"its pod", `{"kind":"Pod","metadata":{"name":"aws-node-x2k4q"}}`, "but Pod aws-node-x2k4q"},
		{"another DaemonSet", "kind: DaemonSet\nmetadata: {name: kube-proxy}\nspec: {template: {spec: {containers: [{name: kube-proxy}]}}}\n", "but DaemonSet kube-proxy"},
		{"two of it", daemonSet() + daemonSet(), "2 DaemonSets with a container aws-node"},
		{"no YAML", "kind: [", "document 1 is no Kubernetes object in YAML or JSON"},
		{"a text", "hello", "document 1 is no Kubernetes object"},
		{"an ENIConfig without subnet", "kind: ENIConfig\nmetadata: {name: a}\n", `ENIConfig a: spec.subnet is ""; want a subnet's id`},
		{"an ENIConfig with a group's name", "kind: ENIConfig\nmetadata: {name: a}\nspec: {subnet: subnet-1, securityGroups: [web]}\n", `has "web"; want a security group's id`},
		{"an ENIConfig with a pattern for a name", "kind: ENIConfig\nmetadata: {name: \"a[\"}\nspec: {subnet: subnet-1}\n", `ENIConfig "a["`},
		{"an ENIConfig twice", strings.Repeat("kind: ENIConfig\nmetadata: {name: a}\nspec: {subnet: subnet-1}\n---\n", 2) +
			"kind: DaemonSet\nmetadata: {name: x}\nspec: {template: {spec: {containers: [{name: aws-node}]}}}\n", "ENIConfig a stands twice in it"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text, code := migrate(t, tt.manifest)
			if code != exitUsage || !strings.Contains(text, "enichainctl: standard input: ") || !strings.Contains(text, tt.want) {
				t.Errorf("exit %d, %s", code, text)
			}
		})
	}
	if text, code := migrate(t, "", "/nowhere/ds.yaml"); code != exitBlind || !strings.Contains(text, "cannot read the manifest") {
		t.Errorf("exit %d, %s", code, text)
	}
	if text, code := migrate(t, strings.Repeat("#", mostManifest+1)); code != exitUsage || !strings.Contains(text, "more than 16 MiB") {
		t.Errorf("exit %d, %.200s", code, text)
	}
}

// TestMigrateReadsWhatKubectlPrints, one answer behind the other.
func TestMigrateReadsWhatKubectlPrints(t *testing.T) {
	custom := daemonSet("AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG=true")
	eni := `{"kind":"ENIConfig","metadata":{"name":"a"},"spec":{"subnet":"subnet-1"}}`
	for name, text := range map[string]string{
		"JSON behind JSON":       custom + "\n" + eni,
		"a list":                 `{"kind":"List","items":[` + custom + "," + eni + "]}",
		"a list of its own kind": `{"kind":"DaemonSetList","items":[` + custom + "]}\n" + `{"kind":"ENIConfigList","items":[` + eni + "]}",
		"JSON, then YAML":        custom + "\n---\nkind: ENIConfig\nmetadata: {name: a}\nspec: {subnet: subnet-1}\n",
		"YAML, then JSON":        "kind: ENIConfig\nmetadata: {name: a}\nspec: {subnet: subnet-1}\n---\n" + custom,
	} {
		t.Run(name, func(t *testing.T) {
			if m := planned(t, text); !strings.Contains(m.Config, `subnets: { ids: ["subnet-1"] }`) {
				t.Error(m.Config)
			}
		})
	}
}

// TestMigrateOut writes two files, never over others, and none without a cluster's name.
func TestMigrateOut(t *testing.T) {
	dir := t.TempDir()
	if text, code := migrate(t, daemonSet(), "--out", dir); code != exitUsage || !strings.Contains(text, "--cluster NAME") {
		t.Errorf("exit %d, %s", code, text)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Fatalf("%v %v", left, err)
	}
	text, code := migrate(t, daemonSet(), "--out", dir, "--cluster", "prod")
	if code != exitOK || !strings.Contains(text, "written: "+dir+"/enichaind.yaml") || strings.Contains(text, "--- enichaind.yaml") {
		t.Errorf("exit %d, %s", code, text)
	}
	config, err := os.ReadFile(filepath.Join(dir, "enichaind.yaml"))
	if err != nil || !strings.Contains(string(config), `cluster: "prod"`) {
		t.Errorf("%v\n%s", err, config)
	}
	if text, code := migrate(t, daemonSet(), "--out", dir, "--cluster", "other"); code != exitBlind || !strings.Contains(text, "there is one already") {
		t.Errorf("exit %d, %s", code, text)
	}
}

// TestMigrateJSON has every setting once, with its fate.
func TestMigrateJSON(t *testing.T) {
	text, code := migrate(t, daemonSet("ENABLE_POD_ENI=true", "WHAT=1"), "--format", "json", "--cluster", "prod")
	var m migration
	if err := json.Unmarshal([]byte(text), &m); err != nil || code != exitWrong || m.Safe {
		t.Fatalf("exit %d, %v, safe %t", code, err, m.Safe)
	}
	fates := map[string]fate{}
	for _, o := range m.Settings {
		if _, twice := fates[o.Name]; twice {
			t.Errorf("%s stands twice", o.Name)
		}
		fates[o.Name] = o.Fate
	}
	for name, want := range map[string]fate{"ENABLE_POD_ENI": lost, "WHAT": unknown, "WARM_ENI_TARGET": notSet, "POD_MTU": notSet} {
		if fates[name] != want {
			t.Errorf("%s is %q, want %q", name, fates[name], want)
		}
	}
}

// TestMigrateKnowsEverySetting walks the names that amazon-vpc-cni-k8s v1.23.1 reads, from its source and documentation
// (testdata/migrate/names.txt): none may be news to the plan, and each that counts says what becomes of it.
func TestMigrateKnowsEverySetting(t *testing.T) {
	names, err := os.ReadFile(filepath.Join("testdata", "migrate", "names.txt"))
	if err != nil {
		t.Fatal(err)
	}
	var told strings.Builder
	for _, o := range elsewhere() {
		fmt.Fprintf(&told, "%s\n", o.Name)
	}
	known := map[string]knob{}
	for _, k := range knobs() {
		if _, twice := known[k.name]; twice {
			t.Errorf("%s stands twice in the table", k.name)
		}
		known[k.name] = k
	}
	count := 0
	for line := range strings.Lines(string(names)) {
		kind, name, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok || kind == "#" {
			continue
		}
		count++
		k, found := known[name]
		switch {
		case kind == "env" && !found:
			t.Errorf("%s is not known", name)
		case kind == "env":
			if theirs, ours, both := strings.Cut(k.unset, "; "); !both || theirs == "" || ours == "" {
				t.Errorf("%s does not say what either does without it: %q", name, k.unset)
			}
			n := awsNode{set: map[string]setting{name: {value: "true"}}}
			if o := k.described(n); o.Fate == "" || o.To == "" && o.Text == "" {
				t.Errorf("%s set to true becomes nothing: %+v", name, o)
			}
		case !strings.Contains(told.String(), name):
			t.Errorf("%s %s is not told among what a DaemonSet does not show", kind, name)
		}
	}
	if count < 70 {
		t.Errorf("found only %d names: this test looks at nothing", count)
	}
}

// TestMigrationsAreAccepted wants enichaind to take every configuration that is written, and the list to be free of errors.
func TestMigrationsAreAccepted(t *testing.T) {
	enichaind := daemonBinary(t)
	fixtures, err := filepath.Glob("testdata/migrate/*.[jy]*") // JSON and YAML
	if err != nil || len(fixtures) < 5 {
		t.Fatalf("%v %v", fixtures, err)
	}
	manifests := map[string]string{}
	for _, f := range fixtures {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		manifests[f] = string(text)
	}
	for _, k := range knobs() {
		for _, value := range []string{"true", "0", "7", "-1", "2000000", "nonsense, \"x\": {", "none", "10.0.0.0/8,fd00::/8", `{"a":"b"}`} {
			manifests[k.name+"="+value] = daemonSet(k.name + "=" + value)
		}
	}
	custom := "kind: ENIConfig\nmetadata: {name: a}\nspec: {subnet: subnet-1}\n---\n"
	manifests["one pool for IPv6 alone"] = custom + daemonSet("AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG=true", "ENABLE_IPv6=true", "ENABLE_IPv4=false")
	manifests["long and many tags"] = daemonSet("ADDITIONAL_ENI_TAGS=" + `{"AWS:x":"1","":"2","` + strings.Repeat("k", 129) + `":"3","v":"` + strings.Repeat("v", 257) + `"}`)
	manifests["every pool of its own"] = custom + daemonSet("AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG=true", "ENABLE_IPv4=true", "ENABLE_IPv6=true", "ENABLE_PREFIX_DELEGATION=true")
	seen := map[string]bool{}
	for name, manifest := range manifests {
		t.Run(name, func(t *testing.T) {
			m := planned(t, manifest)
			if !seen[m.Config] {
				check(t, enichaind, m.Config)
			}
			seen[m.Config] = true
			lintsClean(t, m)
		})
	}
	if len(seen) < 20 {
		t.Errorf("only %d configurations differ: this test looks at little", len(seen))
	}
}

func lintsClean(t *testing.T, m migration) {
	t.Helper()
	list, problems := chain.Parse("written", []byte(m.List))
	if list != nil {
		problems = append(problems, chain.Lint(t.Context(), list, chain.Installed(nil, builtIn), chain.Options{})...)
	}
	if n := chain.Errors(problems, false); n > 0 || list == nil {
		t.Errorf("%d errors in the list: %v\n%s", n, problems, m.List)
	}
}

// planned is the migration of a manifest that can be read.
func planned(t testing.TB, manifest string) migration {
	t.Helper()
	objects, err := readObjects([]byte(manifest))
	if err != nil {
		t.Fatal(err)
	}
	n, err := findAWSNode(objects)
	if err != nil {
		t.Fatal(err)
	}
	m, err := planMigration(context.Background(), n, "prod")
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// FuzzMigrate wants an answer to whatever is read: an error, or a plan whose files are YAML and JSON.
func FuzzMigrate(f *testing.F) {
	fixtures, err := filepath.Glob("testdata/migrate/*.[jy]*")
	if err != nil || len(fixtures) < 5 {
		f.Fatalf("%v %v", fixtures, err)
	}
	for _, file := range fixtures {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(daemonSet("ADDITIONAL_ENI_TAGS=null", "POD_MTU=9e9", "AWS_VPC_K8S_CNI_VETHPREFIX=a b", "AWS_REGION=\x00\"")))
	f.Fuzz(func(t *testing.T, text []byte) {
		objects, err := readObjects(text)
		if err != nil {
			return
		}
		n, err := findAWSNode(objects)
		if err != nil {
			return
		}
		m, err := planMigration(context.Background(), n, "")
		if err != nil {
			t.Fatalf("read, and not planned: %v", err)
		}
		var list struct {
			Plugins []struct{ Type string }
		}
		if err := json.Unmarshal([]byte(m.List), &list); err != nil || len(list.Plugins) < 3 {
			t.Errorf("the list: %v\n%s", err, m.List)
		}
		if pools, err := readPools([]byte(m.Config)); err != nil || pools < 1 {
			t.Errorf("the configuration: %v, %d pools\n%s", err, pools, m.Config)
		}
	})
}

// readPools counts the pools of a configuration as any YAML reader sees them.
func readPools(text []byte) (int, error) {
	var c struct {
		Pools []struct{ Name, Mode string } `yaml:"pools"`
	}
	err := yaml.Unmarshal(text, &c)
	return len(c.Pools), err
}

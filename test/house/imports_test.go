// Package house keeps the house in order: who may import whom, what a stage may link, what stands at the top.
package house

import (
	"os/exec"
	"sort"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const module = "github.com/enichain/enichain/"

// mayImport is the list of import directions within the house (docs/design.md, "The house"). A folder may import
// itself, what stands here, and the outside packages whose prefix stands here. The standard library is free for all.
var mayImport = []struct {
	folder  string
	allowed []string
}{
	{"chain/contract", nil},
	{"chain/spelling", nil},
	{"chain/plain", nil},
	{"chain/known", []string{"chain/contract"}},
	{"chain/generation", []string{"chain", "chain/contract", "github.com/containernetworking/cni/", "golang.org/x/sys/unix"}},
	{"chain", []string{"chain/contract", "chain/spelling", "github.com/containernetworking/cni/"}},
	{"stages/handover", []string{"golang.org/x/sys/unix"}},
	{"stages/internal", []string{"stages/internal", "stages/handover", "golang.org/x/sys/unix", "github.com/vishvananda/"}},
	{"stages/eniipam", []string{"stages", "stages/internal", "chain/contract", "ipam", "ipam/store", "github.com/containernetworking/cni/pkg/types", "golang.org/x/sys/unix"}},
	{"stages/routedveth", []string{"stages", "stages/internal", "chain/contract", "github.com/containernetworking/cni/pkg/types", "golang.org/x/sys/unix", "github.com/vishvananda/"}},
	{"stages/snat", []string{"stages", "stages/internal", "chain/contract", "github.com/containernetworking/cni/pkg/types", "golang.org/x/sys/unix"}},
	{"stages/portmapcompat", []string{"stages", "stages/internal", "chain/contract", "github.com/containernetworking/cni/pkg/types", "golang.org/x/sys/unix", "github.com/vishvananda/netlink/nl"}},
	{"stages/fastpath", []string{"stages", "stages/internal", "chain/contract", "golang.org/x/sys/unix"}},
	{"stages", []string{"chain/contract", "chain/plain", "chain/spelling", "github.com/containernetworking/cni/pkg/", "golang.org/x/sys/unix"}},
	{"ipam/store", []string{"ipam", "chain/plain", "go.etcd.io/bbolt", "golang.org/x/sys/unix"}},
	{"ipam/agent", []string{"ipam", "ipam/store", "bus", "golang.org/x/sys/unix", "github.com/vishvananda/"}},
	{"ipam/reconcile", []string{"ipam", "bus"}},
	{"ipam/ec2", []string{"ipam", "ipam/reconcile", "github.com/aws/", "golang.org/x/time/rate"}},
	{"ipam/imds", []string{"ipam", "github.com/aws/"}},
	{"ipam", nil},
	{"conflists", nil},
	{"bus", []string{"ipam", "github.com/nats-io/", "golang.org/x/sys/unix"}},
	{"cmd/vpclab", []string{"test/lab", "*"}},
	{"cmd", []string{"*"}},
	{"test", []string{"test", "*"}},
}

func TestImportDirections(t *testing.T) {
	for pkg, imports := range packages(t) {
		allowed := allowedFor(t, pkg)
		for _, imported := range imports {
			if why := refuse(pkg, imported, allowed); why != "" {
				t.Errorf("%s imports %s: %s", pkg, imported, why)
			}
		}
	}
}

// packages lists our packages, by their path below the module, with their direct imports; test files do not count.
func packages(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	for _, line := range goList(t, "-f", `{{.ImportPath}} {{join .Imports " "}}`, module+"...") {
		fields := strings.Fields(line)
		found[strings.TrimPrefix(fields[0], module)] = fields[1:]
	}
	if len(found) < 10 {
		t.Fatalf("go list found only %d packages: this test looks at nothing", len(found))
	}
	return found
}

func goList(t *testing.T, args ...string) []string {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list"}, args...)...)
	cmd.Dir = "../.."
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0") // as the binaries are built
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("cannot list packages: %v", err)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

func allowedFor(t *testing.T, pkg string) []string {
	t.Helper()
	for _, rule := range mayImport {
		if pkg == rule.folder || strings.HasPrefix(pkg, rule.folder+"/") {
			return append(rule.allowed, rule.folder)
		}
	}
	t.Errorf("%s: no rule says what this folder may import", pkg)
	return nil
}

// refuse says why an import is against the rules, or "".
func refuse(pkg, imported string, allowed []string) string {
	own, isOurs := strings.CutPrefix(imported, module)
	if !isOurs && !strings.Contains(strings.Split(imported, "/")[0], ".") {
		return "" // the standard library
	}
	if isOurs && strings.HasPrefix(own, "cmd") {
		return "nobody imports cmd"
	}
	if isOurs && strings.HasPrefix(own, "test") && !strings.HasPrefix(pkg, "test") && !mayTry(pkg, own) {
		return "only vpclab, tests, and 'enichainctl conformance' import test"
	}
	for _, a := range allowed {
		switch {
		case a == "*",
			isOurs && (own == a || strings.HasPrefix(own, a+"/") && folderOpen(a)),
			!isOurs && strings.HasPrefix(imported, a):
			return ""
		}
	}
	return "not among " + strings.Join(allowed, ", ")
}

// mayTry says whether a command may import a package below test: vpclab is made of them, and enichainctl offers the
// conformance suite.
func mayTry(pkg, imported string) bool {
	return pkg == "cmd/vpclab" || pkg == "cmd/enichainctl" && imported == "test/conformance"
}

// folderOpen says whether allowing a folder allows what is below it: not for those whose children are other parts of
// the house.
func folderOpen(folder string) bool {
	return folder != "stages" && folder != "ipam" && folder != "chain"
}

// heavy must not be linked into a stage: each costs a pod's start time, memory or binary size (docs/design.md, "The
// pod path").
var heavy = []string{
	"net/http", "crypto/tls", "log/slog", "encoding/gob", "text/template", "html/template",
	"github.com/nats-io/", "github.com/aws/", "google.golang.org/", "k8s.io/", "go.opentelemetry.io/",
	"github.com/containernetworking/cni/pkg/invoke", "github.com/containernetworking/cni/libcni",
	"github.com/google/nftables", "github.com/spf13/",
}

// TestCommandsLinkNoTesting wants no command to carry the testing package: its flags would show up in theirs.
func TestCommandsLinkNoTesting(t *testing.T) {
	for _, dep := range goList(t, "-deps", "-f", "{{.ImportPath}}", "./cmd/...") {
		if dep == "testing" {
			t.Error("a command links testing: go list -deps ./cmd/... says so, 'go mod why testing' through whom")
		}
	}
}

func TestStagesLinkNothingHeavy(t *testing.T) {
	for _, stage := range []string{"eni-ipam", "routed-veth", "snat", "portmap-compat", "enichain"} {
		t.Run(stage, func(t *testing.T) {
			deps := goList(t, "-deps", "./cmd/"+stage)
			var found []string
			for _, dep := range deps {
				for _, h := range heavy {
					if dep == h || strings.HasSuffix(h, "/") && strings.HasPrefix(dep, h) {
						found = append(found, dep)
					}
				}
			}
			sort.Strings(found)
			if diff := cmp.Diff([]string(nil), found); diff != "" {
				t.Errorf("linked (-want +got):\n%s", diff)
			}
		})
	}
}

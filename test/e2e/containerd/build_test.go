// Package containerd runs pods by a real containerd in a node of a lab: our list, the runtime's own habits.
package containerd

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/enichain/enichain/test/need"
)

// bin is the folder of the stages and of vpclab, built once.
var bin string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if !need.IsMachinesRoot() {
		return m.Run() // every test is skipped
	}
	dir, err := os.MkdirTemp("", "containerd-e2e-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	bin = dir
	const ours, upstream = "github.com/enichain/enichain/cmd/", "github.com/containernetworking/plugins/plugins/"
	build := exec.Command("go", "build", "-o", bin+"/", ours+"...", upstream+"meta/portmap", upstream+"main/loopback", "./testdata/hold")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		panic("cannot build: " + string(out))
	}
	return m.Run()
}

// release is a containerd: where its programs are.
type release struct {
	name, containerd, ctr string
	path                  string // folder that its shim is found in; "" for PATH
}

// newest is the version of containerd 2.x that the tests build from its Go module.
const newest = "v2.2.9"

// module builds containerd 2.x from its Go module into the user's cache, once per version. Debian has none.
func module(t *testing.T) release {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	dir := filepath.Join(cache, "enichain-test", "containerd-"+newest)
	programs := []string{"containerd", "containerd-shim-runc-v2", "ctr"}
	if !all(dir, programs) {
		t.Logf("building containerd %s into %s: a minute or two, once", newest, dir)
		fresh := fmt.Sprintf("%s.%d", dir, os.Getpid()) // a build that was cut short must not look like one that ended
		defer os.RemoveAll(fresh)
		args := []string{"install", "-trimpath", "-tags", "no_btrfs,no_zfs", "-ldflags", "-s -w"}
		for _, p := range programs {
			args = append(args, "github.com/containerd/containerd/v2/cmd/"+p+"@"+newest)
		}
		install := exec.Command("go", args...)
		install.Dir = os.TempDir()
		install.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOBIN="+fresh)
		if out, err := install.CombinedOutput(); err != nil {
			t.Fatalf("cannot build containerd %s from its Go module (go proxy %s): %v\n%s", newest, goproxy(), err, out)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(fresh, dir); err != nil && !all(dir, programs) {
			t.Fatal(err)
		}
	}
	return release{"containerd " + newest, filepath.Join(dir, "containerd"), filepath.Join(dir, "ctr"), dir}
}

func all(dir string, programs []string) bool {
	for _, p := range programs {
		if _, err := os.Stat(filepath.Join(dir, p)); err != nil {
			return false
		}
	}
	return true
}

func goproxy() string {
	out, err := exec.Command("go", "env", "GOPROXY").Output()
	if err != nil {
		return err.Error()
	}
	return string(out[:max(0, len(out)-1)])
}

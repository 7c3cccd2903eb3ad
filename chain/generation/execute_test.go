package generation

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/enichain/enichain/ipam/store"
)

// recorder is a plugin that writes down how it was run.
const recorder = `#!/bin/sh
if [ "$CNI_COMMAND" = VERSION ]; then echo '{"cniVersion":"1.1.0","supportedVersions":["1.0.0","%s"]}'; exit; fi
{ echo "$CNI_COMMAND $CNI_CONTAINERID $CNI_IFNAME netns=$CNI_NETNS $CNI_ARGS"; cat; } > "${0%%/*}/ran"
`

func install(t *testing.T, version string) (p Plugins, ran func() []string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "stage"), fmt.Appendf(nil, recorder, version), 0o755); err != nil {
		t.Fatal(err)
	}
	return Plugins{Path: []string{dir}}, func() []string {
		text, err := os.ReadFile(filepath.Join(dir, "ran"))
		if err != nil {
			return nil
		}
		first, config, _ := strings.Cut(string(text), "\n")
		var v any
		if err := json.Unmarshal([]byte(config), &v); err != nil {
			t.Fatalf("%v: %s", err, config)
		}
		sorted, _ := json.Marshal(v)
		return []string{first, string(sorted)}
	}
}

// TestDeleteIsTheRuntimes: a departed stage hears what its runtime would have told it.
func TestDeleteIsTheRuntimes(t *testing.T) {
	list := listOf("net", "ipam", `stage{"key":1,"capabilities":{"portMappings":true,"mac":true,"bandwidth":false}}`)
	boot, err := BootID()
	if err != nil {
		t.Fatal(err)
	}
	e := entryOf("net-web-eth0", epoch, 1, cachedText(t, "net", "web", "/none", "10.0.0.7", list))
	b, err := birthOf(e, boot, Network{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		taken  map[netip.Addr]bool
		result string
	}{
		{"its address is nobody's", nil, `{"cniVersion":"1.0.0","ips":[{"address":"10.0.0.7/32"}]}`},
		{"its address is another's by now", map[netip.Addr]bool{netip.MustParseAddr("10.0.0.7"): true}, `{"cniVersion":"1.0.0","ips":[]}`},
	} {
		p, ran := install(t, "1.1.0")
		if err := p.Delete(t.Context(), b, 1, c.taken); err != nil {
			t.Fatal(err)
		}
		want := []string{"DEL web eth0 netns= K8S_POD_NAMESPACE=default;K8S_POD_NAME=web",
			`{"cniVersion":"1.0.0","key":1,"name":"net","prevResult":` + c.result + `,"runtimeConfig":{"portMappings":[{"hostPort":8080}]},"type":"stage"}`}
		if d := cmp.Diff(want, ran()); d != "" {
			t.Errorf("%s (-want +got)\n%s", c.name, d)
		}
	}
	if err := (Plugins{Path: []string{t.TempDir()}}).Delete(t.Context(), b, 1, nil); !errors.Is(err, ErrMissing) {
		t.Errorf("without its binary: %v", err)
	}
}

// TestLeasesFrom: a pool that eni-ipam does not use proves nothing.
func TestLeasesFrom(t *testing.T) {
	for _, c := range []struct {
		stage, pool string
		want        bool
	}{
		{`eni-ipam`, store.DefaultPath, true},
		{`eni-ipam`, "/run/other.db", false},
		{`eni-ipam{"poolFile":"/run/other.db"}`, store.DefaultPath, false},
		{`eni-ipam{"poolFile":"/run/other.db"}`, "/run/other.db", true},
		{`ptp{"ipam":{"type":"eni-ipam"}}`, store.DefaultPath, true},
		{`ptp{"ipam":{"type":"eni-ipam","poolFile":"/run/other.db"}}`, store.DefaultPath, false},
		{`ptp{"ipam":{"type":"host-local"}}`, store.DefaultPath, false},
	} {
		l, err := ParseList(listOf("net", c.stage))
		if err != nil {
			t.Fatal(err)
		}
		if got := (Birth{Stages: l.Stages}).leasesFrom(c.pool); got != c.want {
			t.Errorf("%s from %s: %t, want %t", c.stage, c.pool, got, c.want)
		}
	}
}

func TestCollect(t *testing.T) {
	l, err := ParseList(listOf("net", `stage{"key":1,"capabilities":{"portMappings":true}}`))
	if err != nil {
		t.Fatal(err)
	}
	p, ran := install(t, "1.1.0")
	if err := p.Collect(t.Context(), "net", l.Stages[0]); err != nil {
		t.Fatal(err)
	}
	want := []string{"GC   netns= ", `{"cni.dev/attachments":[],"cni.dev/valid-attachments":[],"cniVersion":"1.1.0","key":1,"name":"net","type":"stage"}`}
	if d := cmp.Diff(want, ran()); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	p, ran = install(t, "0.4.0")
	if err := p.Collect(t.Context(), "net", l.Stages[0]); err != nil || ran() != nil {
		t.Errorf("a plugin without GC: %v, %v", err, ran())
	}
}

func TestNamespaceFinding(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	write(t, file, nil)
	own := namespaceAt("/proc/self/ns/net")
	if own == (Namespace{}) {
		t.Fatal("no namespace of our own")
	}
	for _, c := range []struct {
		name, path string
		seen       Namespace
		want       Finding
	}{
		{"the very one", "/proc/self/ns/net", own, There},
		{"one, and nobody knows whether it is the one", "/proc/self/ns/net", Namespace{}, There},
		{"another one at its path", "/proc/self/ns/net", Namespace{Dev: own.Dev, Ino: own.Ino + 1}, Gone},
		{"deleted", dir + "/none", own, Gone},
		{"its mount point is left, or its mount does not show here", file, own, Unknown},
		{"the folder of namespaces is not there", dir + "/a/b", own, Unknown},
		{"a mount point, perhaps in another mount namespace", file, Namespace{}, Unknown},
		{"never seen, deleted", dir + "/none", Namespace{}, Gone},
		{"never seen, nor its folder", dir + "/a/b", Namespace{}, Unknown},
		{"it never had one", "/dev/null", Namespace{}, Gone},
	} {
		b := Birth{Netns: c.seen, Folder: folderOf(c.path), Cached: Cached{Netns: c.path}}
		if got := namespaceFinding(b); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
		if b.Folder.Ino++; c.want == Gone && namespaceFinding(b) != Unknown {
			t.Errorf("%s, in another folder of that name: not unknown", c.name)
		}
	}
}

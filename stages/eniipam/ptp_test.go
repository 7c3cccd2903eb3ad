package eniipam_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/enichain/enichain/ipam/store"
	"github.com/enichain/enichain/ipam/store/storetest"
	"github.com/enichain/enichain/stages/internal/link"
	"github.com/enichain/enichain/stages/internal/linktest"
)

// TestUnderPTP has the reference plugin call the real program: two pods, one reserved gateway, nothing left.
func TestUnderPTP(t *testing.T) {
	dir := t.TempDir()
	build := exec.Command("go", "build", "-o", dir+"/", "./cmd/eni-ipam", "github.com/containernetworking/plugins/plugins/main/ptp")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	boot, err := store.BootID()
	if err != nil {
		t.Fatal(err)
	}
	p := storetest.At(t, filepath.Join(dir, "pool.db"), store.Options{Boot: boot}, store.ReadClock())
	p.Give(storetest.ENI(0, 3))
	node, pods := linktest.New(t), []*linktest.NS{linktest.New(t), linktest.New(t)}
	conf := `{"cniVersion":"1.0.0","name":"ptp","type":"ptp","ipam":{"type":"eni-ipam","poolFile":"` + p.Path() + `"}}`
	run := func(command string, i int) {
		t.Helper()
		node.Do(func(*link.Conn) {
			c := exec.Command(dir + "/ptp")
			c.Env = []string{"CNI_COMMAND=" + command, "CNI_CONTAINERID=" + string(rune('a'+i)), "CNI_NETNS=" + pods[i].Path(), "CNI_IFNAME=eth0", "CNI_PATH=" + dir}
			c.Stdin = strings.NewReader(conf)
			if out, err := c.CombinedOutput(); err != nil {
				t.Fatalf("%s %d: %v: %s", command, i, err, out)
			}
		})
	}
	run("ADD", 0)
	run("ADD", 1)
	for i, want := range []string{
		"default via 10.110.10.10 dev eth0 \n10.110.0.0/16 via 10.110.10.10 dev eth0 \n" +
			"10.110.10.0/24 via 10.110.10.10 dev eth0 src 10.110.10.11 \n10.110.10.10 dev eth0 scope link src 10.110.10.11",
		"default via 10.110.10.10 dev eth0 \n10.110.0.0/16 via 10.110.10.10 dev eth0 \n" +
			"10.110.10.0/24 via 10.110.10.10 dev eth0 src 10.110.10.12 \n10.110.10.10 dev eth0 scope link src 10.110.10.12",
	} {
		if d := cmp.Diff(want, strings.TrimSpace(pods[i].Run("ip", "route"))); d != "" {
			t.Errorf("routes of pod %d (-want +got):\n%s", i, d)
		}
	}
	run("DEL", 0)
	run("DEL", 1)
	if s := p.State(); len(s.Leases) != 0 {
		t.Errorf("left: %v", s.Leases)
	}
}

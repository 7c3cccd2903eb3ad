package containerd

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/enichain/enichain/test/kernel"
	"github.com/enichain/enichain/test/need"
)

func needs(t *testing.T) {
	t.Helper()
	needRoot(t)
	for program, pkg := range map[string]string{"runc": "runc", "nft": "nftables", "iptables-save": "iptables", "ip": "iproute2",
		"conntrack": "conntrack"} {
		need.Tool(t, program, pkg)
	}
}

// TestDebian runs Debian's containerd.
func TestDebian(t *testing.T) {
	needs(t)
	r := debian(t)
	l := newLab(t, "m5.4xlarge", "free: 34")
	story(t, l.boot(r), 30, chapter{"list swapped under live pods", swapped("nftables")})
}

// chapter is a part of a pod's story: it returns the pods it made, whose traces have to be gone at its end.
type chapter struct {
	name string
	run  func(t *testing.T, d *daemon, many int) []*pod
}

// story is what pods live through on a node, one chapter after the other: the lab and containerd are shared.
func story(t *testing.T, d *daemon, many int, more ...chapter) {
	chapters := append([]chapter{
		{"many at once", manyAtOnce},
		{"one pod's life", oneLife},
		{"containerd killed", killed},
		{"containerd killed in the middle of ADD", killedMidADD},
	}, more...)
	var before kernel.State
	for i, c := range chapters {
		ok := t.Run(c.name, func(t *testing.T) {
			d.t = t
			pods := c.run(t, d, many)
			d.removeAll()
			eventually(t, "nothing is left of the pods", func() string { return d.left(pods) })
		})
		d.t = t
		if !ok {
			t.Fatalf("the rest of the story would be told of a node that is not as it should be:\n%s", d.log())
		}
		if i == 0 { // the stages' tables and the pool's interfaces are there now
			before = d.kernel()
		}
	}
	eventually(t, "the node's network is as before", func() string { return kernel.Text(ours(kernel.Diff(before, d.kernel()))) })
}

func manyAtOnce(t *testing.T, d *daemon, many int) []*pod {
	pods := d.crowd("many", many, 8000)
	addresses := map[string]string{}
	for _, p := range pods {
		if other := addresses[p.address]; other != "" {
			t.Errorf("%s and %s have the address %s", other, p.name, p.address)
		}
		addresses[p.address] = p.name
	}
	d.sound(pods...)
	return pods
}

// silent wants a host port to lead nowhere.
func (d *daemon) silent(port int32) {
	d.t.Helper()
	if said, err := d.reach("client", fmt.Sprintf("http://%s:%d/cgi-bin/who", d.address, port)); err == nil {
		d.t.Errorf("host port %d still answers: %q", port, said)
	}
}

func oneLife(t *testing.T, d *daemon, _ int) []*pod {
	p := d.pod("life", 8080)
	d.sound(p)
	if err := d.stop(p.id); err != nil {
		t.Error(err)
	}
	d.silent(8080)
	again := *p
	if err := d.remove(p.id); err != nil {
		t.Error(err)
	}
	next := d.pod("life", 8080) // same name, another sandbox
	d.sound(next)
	if fault := d.traces(&again); again.address != next.address && fault != "" {
		t.Error(fault)
	}
	return []*pod{&again, next}
}

// killed kills containerd under running pods. They must not feel it, and the next containerd must know them.
func killed(t *testing.T, d *daemon, _ int) []*pod {
	pods := d.crowd("kept", 4, 8080)
	d.kill()
	d.reached("without containerd", pods...)
	d.restart()
	for _, p := range pods {
		before := *p
		if err := d.inspect(p); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(before, *p, cmp.AllowUnexported(pod{})); diff != "" {
			t.Errorf("after the restart %s is another (-want +got):\n%s", p.name, diff)
		}
	}
	pods = append(pods, d.pod("after", 8090))
	d.sound(pods...)
	return pods
}

// killedMidADD kills containerd while a chain stands still at each of its joints. The stage that ran is left to end and
// to find nobody to answer to.
func killedMidADD(t *testing.T, d *daemon, _ int) []*pod {
	var pods []*pod
	stages := append(wire(), portmapCompat)
	d.sh("mkdir -p /run/hold")
	for at := 1; at <= len(stages); at++ {
		file := fmt.Sprintf("/run/hold/%d", at)
		hold := fmt.Sprintf(`{ "type": "hold", "while": %q }`, file)
		d.apply(list(slices.Insert(slices.Clone(stages), at, hold)...))
		d.sh("touch " + file)
		gone := make(chan error, 1)
		name, port := fmt.Sprintf("cut-%d", at), int32(8090+at)
		go func() { _, err := d.run(name, port); gone <- err }()
		eventually(t, "ADD stands at joint "+fmt.Sprint(at), func() string {
			if _, err := os.Stat(filepath.Join(d.root, file+".reached")); err != nil {
				return err.Error()
			}
			return ""
		})
		d.kill()
		d.sh("rm " + file)
		if err := <-gone; err == nil {
			t.Errorf("pod %s was made by a containerd that had been killed", name)
		}
		d.restart()
		d.removeAll()
		p := d.pod(name, port) // kubelet tries again
		d.reached(fmt.Sprintf("the next try after joint %d", at), p)
		pods = append(pods, p)
	}
	d.apply(list(stages...))
	return pods
}

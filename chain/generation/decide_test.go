package generation

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// epoch is when stories begin; a minute later everything has been there for a while.
var epoch = time.Date(2026, 11, 20, 14, 0, 0, 0, time.UTC)

// worldOf is a world of network "net" at epoch plus a minute; its lists were installed a second apart from epoch on.
func worldOf(t *testing.T, lists ...[]byte) World {
	t.Helper()
	r := Rule{Network: Network{Name: "net", Recorded: true}, Known: true, Since: len(lists)}
	for i, text := range lists {
		l, err := ParseList(text)
		if err != nil {
			t.Fatal(err)
		}
		r.Generations = append(r.Generations, Generation{Network: "net", Number: i + 1, Installed: epoch.Add(time.Duration(i) * time.Second),
			Text: text, List: l})
		r.Current = &InFolder{File: "05-net.conflist", Text: text, List: l}
	}
	return World{Now: epoch.Add(time.Minute), Boot: "boot", Grace: DefaultGrace, Rules: map[string]Rule{"net": r},
		Cache: map[string]*Entry{}, Evidence: map[string]Evidence{}}
}

// entry is a cached result of a pod that a list made at once.
func entry(t *testing.T, container, address string, list []byte, at time.Time) *Entry {
	t.Helper()
	text := cachedText(t, "net", container, "/run/netns/"+container, address, list)
	return entryOf("net-"+container+"-eth0", at, int64(len(text)), text)
}

// born adds a birth that generation n made, a moment after n was installed.
func (w *World) born(t *testing.T, container string, n int, cached bool) Birth {
	t.Helper()
	r := w.Rules["net"]
	g := r.Generations[n-1]
	e := entry(t, container, fmt.Sprintf("10.0.0.%d", len(r.Births)+1), g.Text, g.Installed.Add(time.Millisecond))
	b, err := birthOf(e, "boot", Network{Generations: r.Generations[:n]}, nil)
	if err != nil {
		t.Fatal(err)
	}
	b.Netns = Namespace{Dev: 4, Ino: uint64(len(r.Births) + 1)}
	r.Births = append(r.Births, b)
	w.Rules["net"] = r
	if cached {
		w.Cache[e.Name] = e
	}
	return b
}

func (w *World) rule(change func(*Rule)) {
	r := w.Rules["net"]
	change(&r)
	w.Rules["net"] = r
}

// again installs the first list once more, as generation 4; since is under which all were last seen.
func (w *World) again(since int) {
	w.rule(func(r *Rule) {
		g := r.Generations[0]
		g.Number, g.Installed = 4, epoch.Add(3*time.Second)
		r.Generations = append(r.Generations, g)
		r.Current.List, r.Since = g.List, since
	})
}

// told is a plan as lines.
func told(p Plan) []string {
	lines := []string{}
	stages := func(b Birth, numbers []int) (types string) {
		for _, i := range numbers {
			types += " " + b.Stages[i].Type
		}
		return types
	}
	for _, e := range p.Record {
		lines = append(lines, "record "+e.Cached.Container)
	}
	for _, b := range p.End {
		lines = append(lines, "end "+b.Cached.Container+stages(b, b.Ended.Left))
	}
	for _, b := range p.Revive {
		lines = append(lines, "revive "+b.Cached.Container)
	}
	for _, c := range p.Clean {
		lines = append(lines, "clean "+c.Birth.Cached.Container+stages(c.Birth, c.Stages))
	}
	for _, b := range p.Forget {
		lines = append(lines, "forget "+b.Cached.Container)
	}
	for _, wait := range p.Wait {
		lines = append(lines, "wait "+wait.Birth.Cached.Container+": "+wait.Why)
	}
	for _, r := range p.Retire {
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("retire %d %s", r.Generation.Number, strings.Join(List{Stages: r.Collect}.types(), " "))))
	}
	for _, network := range sortedKeys(p.Since) {
		lines = append(lines, fmt.Sprintf("since %s %d", network, p.Since[network]))
	}
	return lines
}

func TestPlan(t *testing.T) {
	compat, upstream, none := listOf("net", "eni-ipam", "wire", "portmap-compat"), listOf("net", "eni-ipam", "wire", "portmap"), listOf("net", "eni-ipam", "wire")
	gone := Evidence{Netns: Gone}
	for _, c := range []struct {
		name string
		make func(w *World) // with generations 1 compat, 2 upstream, 3 none
		want []string
	}{
		{"an attachment that is not known yet", func(w *World) {
			e := entry(t, "new", "10.0.0.9", none, w.Now)
			w.Cache[e.Name] = e
		}, []string{"record new"}},
		{"one of another network", func(w *World) {
			text := cachedText(t, "other", "new", "/run/netns/x", "10.0.0.9", none)
			e := entryOf("other-new-eth0", w.Now, 1, text)
			w.Cache[e.Name] = e
		}, []string{}},
		{"all alive", func(w *World) { w.born(t, "a", 1, true); w.born(t, "b", 3, true) }, []string{}},
		{"all alive after a swap", func(w *World) { w.born(t, "a", 1, true); w.rule(func(r *Rule) { r.Since = 1 }) }, []string{"since net 3"}},
		{"the last list deleted it, which had all its stages", func(w *World) {
			w.Evidence[w.born(t, "a", 3, false).key()] = gone
		}, []string{"end a", "forget a"}},
		{"the last list deleted it, which lacked one", func(w *World) {
			w.Evidence[w.born(t, "a", 1, false).key()] = gone
		}, []string{"end a portmap-compat", "clean a portmap-compat"}},
		{"the one or the other list deleted it", func(w *World) {
			w.again(2)
			w.Evidence[w.born(t, "a", 1, false).key()] = gone
		}, []string{"end a portmap-compat", "clean a portmap-compat", "since net 4"}},
		{"a list between lacked the stage, but it lived on", func(w *World) {
			w.again(4)
			w.Evidence[w.born(t, "a", 1, false).key()] = gone
		}, []string{"end a", "forget a"}},
		{"taken while it lived", func(w *World) {
			w.Evidence[w.born(t, "a", 1, false).key()] = gone
			w.rule(func(r *Rule) { r.Births[0].Done = []int{2} })
		}, []string{"end a", "forget a"}},
		{"the cache cannot be read", func(w *World) {
			w.Evidence[w.born(t, "a", 1, false).key()] = gone
			w.Cache = nil
		}, []string{}},
		{"the runtime's folder cannot be read", func(w *World) {
			w.Evidence[w.born(t, "a", 1, false).key()] = gone
			w.rule(func(r *Rule) { r.Known, r.Current = false, nil })
		}, []string{}},
		{"somebody emptied the cache under living pods", func(w *World) {
			w.Evidence[w.born(t, "a", 1, false).key()] = Evidence{Netns: There, Lease: There}
		}, []string{"wait a: its network namespace and its address are still there"}},
		{"the same where addresses are no evidence", func(w *World) {
			w.Evidence[w.born(t, "a", 1, false).key()] = Evidence{Netns: There, Interface: There}
		}, []string{"wait a: its interface is still there"}},
		{"nothing is known", func(w *World) {
			w.born(t, "a", 1, false)
		}, []string{"wait a: it cannot be told whether its pod lives: nothing is known of /run/netns/a"}},
		{"its namespace outlives it, its address does not", func(w *World) {
			w.Evidence[w.born(t, "a", 1, false).key()] = Evidence{Netns: There, Lease: Gone, Interface: There}
		}, []string{"end a portmap-compat", "clean a portmap-compat"}},
		{"its namespace outlives it, its interface does not", func(w *World) {
			w.Evidence[w.born(t, "a", 1, false).key()] = Evidence{Netns: There, Interface: Gone}
		}, []string{"end a portmap-compat", "clean a portmap-compat"}},
		{"the pool's own stage departed: its lease proves nothing", func(w *World) {
			w.rule(func(r *Rule) {
				r.Current.List = List{Name: "net", Stages: []Stage{{Type: "wire", Config: []byte(`{"type":"wire"}`)}}}
			})
			w.Evidence[w.born(t, "a", 3, false).key()] = Evidence{Netns: There, Lease: There, Interface: Gone}
		}, []string{"end a eni-ipam", "clean a eni-ipam"}},
		{"a reboot, and the cache went with it", func(w *World) {
			w.born(t, "a", 1, false)
			w.Boot = "next"
		}, []string{"end a portmap-compat", "clean a portmap-compat"}},
		{"a reboot, and the cache stayed", func(w *World) {
			w.born(t, "a", 1, true)
			w.Boot = "next"
		}, []string{}},
		{"half a file", func(w *World) {
			b := w.born(t, "a", 1, true)
			w.Cache[b.File] = entryOf(b.File, w.Now, 3, []byte(`{"k`))
		}, []string{}},
		{"the container was added again by the last list", func(w *World) {
			b := w.born(t, "a", 1, false)
			w.Cache[b.File] = entry(t, "a", "10.0.0.1", none, w.Now)
		}, []string{"record a", "end a portmap-compat", "clean a portmap-compat"}},
		{"the container was added again by the same list", func(w *World) {
			b := w.born(t, "a", 1, false)
			w.Cache[b.File] = entry(t, "a", "10.0.0.9", compat, w.Now)
		}, []string{"record a", "end a portmap-compat"}},
		{"the container was added again by a list with the same delegate", func(w *World) {
			w.rule(func(r *Rule) {
				r.Generations[0].Text = listOf("net", `ptp{"ipam":{"type":"host-local"}}`)
				r.Current.List.Stages = r.Current.List.Stages[:0]
			})
			b := w.born(t, "a", 1, false)
			w.Cache[b.File] = entry(t, "a", "10.0.0.9", listOf("net", `bridge{"ipam":{"type":"host-local"}}`), w.Now)
		}, []string{"record a", "end a ptp"}},
		{"the second of the same list is gone as well", func(w *World) {
			w.born(t, "a", 1, false)
			w.rule(func(r *Rule) { r.Births[0].Ended = &Ended{Left: []int{2}} })
		}, []string{"clean a portmap-compat"}},
		{"it failed, and it is not time yet", func(w *World) {
			w.born(t, "a", 1, false)
			w.rule(func(r *Rule) { r.Births[0].Ended = &Ended{Left: []int{2}, Tries: 1, Next: w.Now.Add(time.Second)} })
		}, []string{}},
		{"it failed, and the clock was set back", func(w *World) {
			w.born(t, "a", 1, false)
			w.rule(func(r *Rule) { r.Births[0].Ended = &Ended{Left: []int{2}, Tries: 1, Next: w.Now.Add(time.Hour)} })
		}, []string{"clean a portmap-compat"}},
		{"it failed, and it is time", func(w *World) {
			w.born(t, "a", 1, false)
			w.rule(func(r *Rule) { r.Births[0].Ended = &Ended{Left: []int{2}, Tries: 1, Next: w.Now} })
		}, []string{"clean a portmap-compat"}},
		{"it failed, and then came a reboot", func(w *World) {
			w.born(t, "a", 1, false)
			w.rule(func(r *Rule) { r.Births[0].Ended = &Ended{Left: []int{2}, Tries: 1} })
			w.Boot = "next"
		}, []string{"forget a"}},
		{"it was taken for over, and is in the cache again", func(w *World) {
			w.born(t, "a", 1, true)
			w.rule(func(r *Rule) { r.Births[0].Ended = &Ended{Left: []int{2}} })
		}, []string{"revive a"}},
		{"its namespace is gone, and its runtime may still delete it", func(w *World) {
			w.Evidence[w.born(t, "a", 1, true).key()] = Evidence{Netns: Gone, GoneSince: w.Now.Add(-time.Minute)}
		}, []string{}},
		{"its namespace is gone, and its runtime forgot it", func(w *World) {
			w.Evidence[w.born(t, "a", 1, true).key()] = Evidence{Netns: Gone, GoneSince: w.Now.Add(-DefaultGrace)}
		}, []string{"end a portmap-compat", "clean a portmap-compat"}},
		{"its runtime forgot it, and all is done but for the file", func(w *World) {
			w.Evidence[w.born(t, "a", 1, true).key()] = Evidence{Netns: Gone, GoneSince: w.Now.Add(-DefaultGrace)}
			w.rule(func(r *Rule) { r.Births[0].Ended = &Ended{} })
			w.Now = epoch.Add(time.Hour)
		}, []string{"retire 1 portmap-compat", "retire 2 portmap"}},
		{"its runtime did not forget it", func(w *World) {
			w.born(t, "a", 1, false)
			w.rule(func(r *Rule) { r.Births[0].Ended = &Ended{} })
		}, []string{"forget a"}},
		{"the network was renamed, its pod lives", func(w *World) {
			w.Evidence[w.born(t, "a", 3, true).key()] = Evidence{Netns: There, Lease: There}
			w.rule(func(r *Rule) { r.Current, r.Absent = nil, w.Now })
		}, []string{}},
		{"the network was renamed, its pod is gone", func(w *World) {
			w.Evidence[w.born(t, "a", 3, true).key()] = gone
			w.rule(func(r *Rule) { r.Current, r.Absent = nil, w.Now })
		}, []string{"end a wire eni-ipam", "clean a wire eni-ipam"}},
		{"the network was renamed, and its pod's namespace was never seen", func(w *World) {
			w.born(t, "a", 3, true)
			w.rule(func(r *Rule) { r.Births[0].Netns, r.Current, r.Absent = Namespace{}, nil, w.Now })
			w.Evidence[w.Rules["net"].Births[0].key()] = gone
		}, []string{}},
		{"no pods, but some may be on their way", func(w *World) { w.Now = epoch.Add(DefaultGrace) }, []string{}},
		{"no pods of the first, and none on their way", func(w *World) { w.Now = epoch.Add(time.Second + DefaultGrace) },
			[]string{"retire 1 portmap-compat"}},
		{"no pods of the first, but the clock was set forward", func(w *World) {
			w.Now = epoch.Add(time.Hour)
			w.rule(func(r *Rule) { r.Settled = w.Now.Add(-time.Minute) })
		}, []string{}},
		{"no pods at all", func(w *World) { w.Now = epoch.Add(time.Hour) }, []string{"retire 1 portmap-compat", "retire 2 portmap"}},
		{"the second has a pod", func(w *World) { w.born(t, "a", 2, true); w.Now = epoch.Add(time.Hour) }, []string{"retire 1 portmap-compat"}},
		{"the first has a pod that is being cleaned up", func(w *World) {
			w.born(t, "a", 1, false)
			w.rule(func(r *Rule) {
				r.Births[0].Ended = &Ended{Left: []int{2}, Tries: 9, Next: epoch.Add(time.Hour + time.Minute)}
			})
			w.Now = epoch.Add(time.Hour)
		}, []string{}},
		{"a pod of the first was not written down yet", func(w *World) {
			e := entry(t, "late", "10.0.0.9", compat, w.Now)
			w.Cache[e.Name] = e
			w.Now = epoch.Add(time.Hour)
		}, []string{"record late"}},
		{"its runtime writes something down just now", func(w *World) {
			w.Cache["net-late-eth0"] = entryOf("net-late-eth0", w.Now, 3, []byte(`{"k`))
			w.Now = epoch.Add(time.Hour)
		}, []string{}},
		{"nothing of the network was ever in the cache: it may be another runtime's", func(w *World) {
			w.rule(func(r *Rule) { r.Recorded = false })
			w.Now = epoch.Add(time.Hour)
		}, []string{"retire 1", "retire 2"}},
		{"a birth cannot be read", func(w *World) {
			w.rule(func(r *Rule) { r.Faults = []string{"damaged"} })
			w.Now = epoch.Add(time.Hour)
		}, []string{}},
		{"a later list has the stage again", func(w *World) {
			w.rule(func(r *Rule) { r.Current.List = r.Generations[0].List; r.Generations[2].List = r.Generations[0].List })
			w.Now = epoch.Add(time.Hour)
		}, []string{"retire 1", "retire 2 portmap"}},
		{"the network was taken away", func(w *World) {
			w.rule(func(r *Rule) { r.Current, r.Absent = nil, epoch })
			w.Now = epoch.Add(time.Hour)
		}, []string{"retire 1 portmap-compat", "retire 2 portmap", "retire 3 wire eni-ipam"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := worldOf(t, compat, upstream, none)
			c.make(&w)
			if d := cmp.Diff(c.want, told(w.Plan())); d != "" {
				t.Errorf("(-want +got)\n%s", d)
			}
		})
	}
}

func TestSettles(t *testing.T) {
	for _, c := range []struct {
		name, old, now string
		want           bool
	}{
		{"the same", `portmap{"snat":true}`, `portmap{"snat":true}`, true},
		{"another key", `portmap{"snat":true}`, `portmap{"snat":false,"capabilities":{"portMappings":true}}`, true},
		{"another backend", `portmap{"backend":"iptables"}`, `portmap{"backend":"nftables"}`, false},
		{"another plugin", `portmap{"backend":"nftables"}`, `portmap-compat{"backend":"nftables"}`, false},
		{"another delegate", `ptp{"ipam":{"type":"host-local"}}`, `ptp{"ipam":{"type":"eni-ipam"}}`, false},
		{"another range of the same delegate", `ptp{"ipam":{"type":"host-local","subnet":"10.0.0.0/24"}}`, `ptp{"ipam":{"type":"host-local","subnet":"10.1.0.0/24"}}`, true},
		{"a delegate that keeps it elsewhere", `ptp{"ipam":{"type":"host-local","dataDir":"/a"}}`, `ptp{"ipam":{"type":"host-local"}}`, false},
		{"a stranger, as before", `acme{"x":1,"y":2}`, `acme{"y":2,"x":1}`, true},
		{"a stranger, with another key", `acme{"x":1}`, `acme{"x":2}`, false},
	} {
		old, err := ParseList(listOf("net", c.old))
		if err != nil {
			t.Fatal(err)
		}
		now, err := ParseList(listOf("net", c.now))
		if err != nil {
			t.Fatal(err)
		}
		if got := now.settles(old.Stages[0]); got != c.want {
			t.Errorf("%s: %t, want %t", c.name, got, c.want)
		}
	}
}

func TestBackoff(t *testing.T) {
	var got []time.Duration
	for _, tries := range []int{0, 1, 2, 3, 9, 10, 1000} {
		got = append(got, Backoff(tries))
	}
	want := []time.Duration{time.Second, time.Second, 2 * time.Second, 4 * time.Second, 256 * time.Second, 5 * time.Minute, 5 * time.Minute}
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// TestInherited: the interface of a container that was added again in the same namespace is the later attachment's.
func TestInherited(t *testing.T) {
	list := listOf("net", "ptp")
	w := worldOf(t, list)
	b := w.born(t, "a", 1, true)
	if w.inherited(b) {
		t.Error("its own interface")
	}
	e := entry(t, "a", "10.0.0.9", list, w.Now)
	w.Cache[b.File] = e
	if !w.inherited(b) {
		t.Error("in the same namespace: not inherited")
	}
	if e.Cached.Netns = "/run/netns/b"; w.inherited(b) {
		t.Error("in another namespace: inherited")
	}
	delete(w.Cache, b.File)
	if w.inherited(b) {
		t.Error("nobody was added again")
	}
}

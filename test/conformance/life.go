package conformance

import (
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/enichain/enichain/test/kernel"
)

// lifeSuite is about ADD and DEL: what DEL undoes, how often, with how little, and many at once.
func lifeSuite() []Assertion {
	return []Assertion{
		{"C19", every, Must, "Section 3, Lifecycle & Ordering", "Plugins must handle being executed concurrently across different containers.", crowd},
		{"D1", every, Should, "Section 2, DEL", "A plugin should delete the interface defined by CNI_IFNAME, or undo any modifications applied in its ADD.", undone},
		{"D2", every, Must, "Section 2, DEL", "Plugins MUST accept multiple DEL calls for the same container and interface, and return success if what was added is missing.", deletedTwice},
		{"I5", ipamOnly, Should, "Section 2, DEL", "An IPAM plugin should release an allocation and return success even if the namespace no longer exists; without prevResult, too.", deletedBare},
		{"N8", wires, Should, "Section 2, DEL", "A plugin should clean up its own resources even if the namespace no longer exists; without prevResult, too.", deletedBare},
		{"M4", chainOnly, Should, "Section 2, DEL", "A plugin should complete DEL without error even if state is missing: namespace, prevResult, capability arguments.", deletedBare},
		{"M10", chainOnly, Should, "Section 2, DEL", "Such a DEL undoes everything that ADD did.", bareLeavesNothing},
		{"M7", kernelOnly, Must, "Section 3", "An attachment is identified by container id and interface: two of one container are independent.", independent},
		{"M9", every, Convention, "libcni, api.go", "DEL cleans up without the capability arguments that ADD had: the runtime may have lost them.", deletedWithoutArguments},
		{"K1", every, Should, "Section 3, Lifecycle & Ordering", "A delete is still executed if the add fails: after a killed ADD it leaves nothing.", killed},
	}
}

// del is a DEL as a runtime sends it.
func (t *trial) del(a attachment, result object) *call {
	c := t.call("DEL", a)
	if result != nil && !older(t.version, "0.4.0") {
		c.set("prevResult", result)
	}
	return c
}

// bareDel is a DEL of a runtime that has lost all but the names.
func (t *trial) bareDel(a attachment) *call {
	return t.call("DEL", a).set("prevResult", nil).set("runtimeConfig", nil).let("CNI_NETNS", "")
}

// warm runs one attachment through ADD and DEL, so that what a plugin makes once for all is there already. It says how long
// the ADD took.
func (t *trial) warm() time.Duration {
	if t.p.FreshOnly {
		return 0
	}
	a := t.attach()
	began := time.Now()
	result := t.added(a)
	took := time.Since(began)
	t.del(a, result).run()
	t.gone(a)
	return took
}

// gone ends a container and what the profile made for it.
func (t *trial) gone(a attachment) {
	t.forget(a)
	t.quiet(fmt.Sprintf("ip link del h%d", a.n)) // the suite's own wire; where there is none, so be it
}

// How long links may take to go: the plugin may leave that to the kernel for a moment, and the kernel ends those of a
// namespace that is gone by one worker for the whole machine.
const (
	linkGoes  = 2 * time.Second
	linksGone = 20 * time.Second
)

// settled expects, after the end of a container, that nothing came that is still there. What went is no fault: a plugin
// may take with the last attachment what it made once for all.
func (t *trial) settled(before picture, expected string) {
	t.settledWithin(linksGone, before, expected)
}

func (t *trial) settledWithin(patience time.Duration, before picture, expected string) {
	began := time.Now()
	until := began.Add(patience)
	for time.Now().Before(until) {
		if links, wires := t.newLinks(before); wires == 0 && (links == 0 || time.Since(began) > linkGoes) {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	left := t.left(before)
	for time.Now().Before(until) && slices.ContainsFunc(left, func(c change) bool { return strings.Contains(c.Line, "proto kernel") }) {
		left = t.left(before) // the link went while we looked
	}
	t.expect(len(left) == 0, expected, "%s", told(left))
}

// newLinks is how many links the node has that it had not, and how many of them have their other end in another namespace.
func (t *trial) newLinks(before picture) (links, wires int) {
	all, _ := netlink.LinkList() // the picture will say more
	for _, l := range all {
		if _, was := linkLine(before.states[""], l.Attrs().Name); was {
			continue
		}
		if links++; l.Attrs().NetNsID != -1 {
			wires++
		}
	}
	return links, wires
}

// left is what came since a picture and is there.
func (t *trial) left(before picture) []change {
	return slices.DeleteFunc(t.changes(before, t.look()), func(c change) bool { return !c.Added || t.goesWithWire(c) })
}

// goesWithWire says whether a thing is at the host's end of the suite's own wire, which goes with the DEL of the
// interface plugin that would have made it.
func (t *trial) goesWithWire(c change) bool {
	if t.p.Container != nil || t.s.kind != Chained || c.netns != "" {
		return false
	}
	at := regexp.MustCompile(`\bh[0-9]+\b`)
	return (c.Section == kernel.Sysctls || c.Section == kernel.TC) && at.MatchString(c.Line)
}

func undone(t *trial) {
	t.warm()
	a := t.attach()
	before := t.look()
	result := t.added(a)
	if got := t.del(a, result).run(); got.refused {
		t.skip("DEL fails (D2): %s", got.says())
	}
	t.settledWithin(linkGoes, before, "all as before ADD")
}

func deletedTwice(t *trial) {
	a := t.attach()
	got := t.del(a, nil).run()
	t.expect(!got.refused, "success of a DEL before any ADD", "%s", got.says())
	result := t.added(a)
	for _, which := range []string{"first", "second"} {
		got = t.del(a, result).run()
		t.expect(!got.refused, "success of the "+which+" DEL", "%s", got.says())
	}
}

func deletedBare(t *trial) {
	t.warm()
	a := t.attach()
	before := t.look()
	t.added(a)
	t.forget(a)
	got := t.bareDel(a).run()
	t.expect(!got.refused, "success of a DEL without prevResult and CNI_NETNS", "%s", got.says())
	if t.s.kind != Chained {
		t.settled(before, "nothing left")
	}
	got = t.bareDel(a).let("CNI_NETNS", a.netns).run()
	t.expect(!got.refused, "success of a DEL whose CNI_NETNS is gone", "%s", got.says())
}

func bareLeavesNothing(t *trial) {
	t.warm()
	a := t.attach()
	before := t.look()
	t.added(a)
	t.forget(a)
	if got := t.bareDel(a).run(); got.refused {
		t.skip("DEL fails (M4): %s", got.says())
	}
	t.settled(before, "nothing left")
}

func deletedWithoutArguments(t *trial) {
	if len(t.p.RuntimeConfig) == 0 {
		t.skip("the profile gives no runtimeConfig")
	}
	t.warm()
	a := t.attach()
	before := t.look()
	result := t.added(a)
	t.del(a, result).set("runtimeConfig", nil).run()
	t.settledWithin(linkGoes, before, "nothing left")
}

// independent expects that the DEL of one attachment does not touch the other of the same container.
func independent(t *trial) {
	if t.p.FreshOnly {
		t.skip("one container can have one attachment of this plugin only")
	}
	a := t.attach()
	first := t.added(a)
	before := t.look()
	b := t.second(a, "net1")
	middle := t.look()
	again := t.call("ADD", b).run()
	t.expect(!again.refused, "success of a second ADD with another interface name", "%s", again.says())
	second := again.out
	if got := t.del(b, second).run(); got.refused {
		t.skip("DEL fails (D2): %s", got.says())
	}
	if t.p.Container != nil || t.s.kind == Chained {
		before = middle
	}
	gone := slices.DeleteFunc(t.changes(before, t.look()), func(c change) bool {
		return c.Added || strings.Contains(c.Line, b.ifname) || strings.Contains(c.Line, fmt.Sprintf("h%d ", b.n)) || t.goesWithWire(c)
	})
	t.expect(len(gone) == 0, "eth0's attachment as it was before net1's ADD and DEL", "%s", told(gone))
	if got := t.del(a, first).run(); got.refused {
		t.expect(false, "success of eth0's DEL", "%s", got.says())
	}
}

// crowdSize is how many attachments are made at once.
const crowdSize = 50

func crowd(t *trial) {
	size := crowdSize
	if t.p.AtOnce > 0 {
		size = min(size, t.p.AtOnce)
	}
	if size < 2 {
		t.skip("the profile says that it has one attachment at a time only")
	}
	var all []attachment
	for range size {
		all = append(all, t.attach())
	}
	alone := t.attach()
	t.ran(t.del(alone, t.added(alone)))
	answers := t.together(all, func(a attachment) *call { return t.call("ADD", a) })
	seen := map[string]string{}
	for i, got := range answers {
		t.expect(!got.refused, fmt.Sprintf("%d ADDs at once succeed", size), "%s: %s", all[i].container, got.says())
		if t.s.kind == Chained {
			continue
		}
		for _, ip := range list(got.out, "ips") {
			address := text(ip, "address")
			if p, err := netip.ParsePrefix(address); err == nil && p.Addr().IsLoopback() {
				continue // every container has its own
			}
			t.expect(seen[address] == "" || seen[address] == all[i].container, "no address twice", "%s for %s and %s", address, seen[address], all[i].container)
			seen[address] = all[i].container
		}
	}
	for i, got := range t.together(all, func(a attachment) *call { return t.del(a, answers[slices.Index(all, a)].out) }) {
		t.expect(!got.refused, fmt.Sprintf("%d DELs at once succeed", size), "%s: %s", all[i].container, got.says())
	}
}

// together runs one call of each attachment at the same time.
func (t *trial) together(all []attachment, make func(attachment) *call) []answer {
	var running []*process
	for _, a := range all {
		c := make(a)
		c.aside = true
		running = append(running, c.start())
	}
	var answers []answer
	for _, p := range running {
		answers = append(answers, p.wait())
	}
	return answers
}

// killedAfter are the moments at which an ADD is killed that takes so long. A fast one may have ended before the last.
func killedAfter(took time.Duration) []time.Duration {
	return []time.Duration{500 * time.Microsecond, 2 * time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond, took / 2}
}

func killed(t *trial) {
	t.rounds(func(a attachment, before picture) {
		got := t.call("DEL", a).set("prevResult", nil).run()
		t.expect(!got.refused, "success of the DEL after a killed ADD", "%s", got.says())
		t.gone(a)
		t.settled(before, "nothing left after the DEL of a killed ADD and the end of its container")
	})
}

// rounds kills an ADD at each moment and cleans up. The script tells the last round alone.
func (t *trial) rounds(clean func(a attachment, before picture)) {
	took := t.warm()
	before := t.look()
	start := len(t.script)
	for i, after := range killedAfter(took) {
		if t.p.FreshOnly && i > 0 {
			return
		}
		t.script = t.script[:start]
		a := t.attach()
		t.killedAdd(a, after)
		clean(a, before)
	}
}

// killedAdd starts an ADD and kills it.
func (t *trial) killedAdd(a attachment, after time.Duration) {
	p := t.call("ADD", a).start()
	time.Sleep(after) // the moment is what is tried
	_ = p.cmd.Cancel()
	p.wait()
	t.note(fmt.Sprintf("# killed %s after its start", after))
}

// clone is a deep enough copy of a result for a trial to change.
func clone(o object) object {
	out := maps.Clone(o)
	for k, v := range out {
		if values, ok := v.([]any); ok {
			copied := make([]any, len(values))
			for i, v := range values {
				if o, ok := v.(object); ok {
					v = maps.Clone(o)
				}
				copied[i] = v
			}
			out[k] = copied
		}
	}
	return out
}

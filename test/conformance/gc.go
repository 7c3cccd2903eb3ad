package conformance

import "fmt"

// gcSuite is about GC and its list of valid attachments.
func gcSuite() []Assertion {
	const stale = "A plugin SHOULD remove as many stale resources as possible."
	return []Assertion{
		{"G1", every, Must, "Section 2, GC", "No output and no error where there is nothing to collect.", gcNothing},
		{"G2", every, Must, "Section 2, GC", "cni.dev/valid-attachments is the list of still valid attachments: what belongs to them stays.", gcKeeps},
		{"G3", every, Must, "Section 2, GC", "The list is of the attachments to this network: another network's stay.", gcOtherNetwork},
		{"I8", ipamOnly, Should, "Section 2, GC", stale, gcStale},
		{"N23", wires, Should, "Section 2, GC", stale, gcStale},
		{"M6", chainOnly, Should, "Section 2, GC", stale, gcStale},
		{"I9", every, Convention, "libcni, api.go", "The list is read under its older name, cni.dev/attachments, too.", gcOlderName},
		{"I10", every, Convention, "libcni, cnitool gc", "Without any list GC collects nothing: cnitool sends none.", gcNoList},
		{"G4", every, Should, "Section 2, GC", "An empty list, which CRI-O writes as null, says that no attachment is valid: all is stale.", gcEmptyList},
		{"K2", every, Should, "Section 2, GC", "What a killed ADD left goes with a GC that does not list it.", gcAfterKill},
	}
}

const (
	validKey = "cni.dev/valid-attachments"
	olderKey = "cni.dev/attachments"
)

// gc is a GC without a list.
func (t *trial) gc() *call {
	c := t.call("GC", attachment{})
	c.later = t.p.GCAge
	return c
}

// valid is a GC whose list has these attachments, under both names as libcni sends it.
func (t *trial) valid(all ...attachment) *call {
	l := validList(all)
	return t.gc().set(validKey, l).set(olderKey, l)
}

func validList(all []attachment) []any {
	l := []any{}
	for _, a := range all {
		l = append(l, object{"containerID": a.container, "ifname": a.ifname})
	}
	return l
}

func gcNothing(t *trial) {
	t.at("1.1.0")
	a := t.attach()
	t.added(a)
	got := t.valid(a).run()
	t.expect(!got.refused, "success", "%s", got.says())
}

func gcKeeps(t *trial) {
	t.at("1.1.0")
	a := t.attach()
	t.added(a)
	before := t.look()
	t.ran(t.valid(a))
	t.unchanged(before, "nothing of a valid attachment removed")
}

func gcOtherNetwork(t *trial) {
	t.at("1.1.0")
	a := t.attach()
	t.added(a)
	before := t.look()
	t.ran(t.valid().set("name", "another"))
	t.unchanged(before, "nothing of another network's attachment removed")
}

// stale makes two attachments, of which one loses its container, and returns the one that lives and how the world was
// without the other.
func (t *trial) stale() (lives attachment, before picture) {
	t.at("1.1.0")
	t.warm()
	lives = t.attach()
	if !t.p.FreshOnly && t.p.AtOnce != 1 {
		t.added(lives)
	}
	dies := t.attach()
	before = t.look()
	t.added(dies)
	t.forget(dies)
	return lives, before
}

func gcStale(t *trial) {
	lives, before := t.stale()
	t.ran(t.valid(lives))
	t.settled(before, "nothing left of an attachment that is not in the list")
}

func gcOlderName(t *trial) {
	lives, before := t.stale()
	t.ran(t.valid(lives))
	if len(t.left(before)) > 0 {
		t.skip("GC leaves what is stale, whatever the list is called")
	}
	dies := t.attach()
	before = t.look()
	t.added(dies)
	t.forget(dies)
	t.ran(t.gc().set(olderKey, validList([]attachment{lives})))
	t.settled(before, "nothing left of an attachment that is not in cni.dev/attachments")
}

func gcNoList(t *trial) {
	t.at("1.1.0")
	a := t.attach()
	t.added(a)
	before := t.look()
	t.gc().run()
	t.unchanged(before, "nothing removed by a GC without a list")
}

func gcEmptyList(t *trial) {
	for _, empty := range []any{[]any{}, nil} {
		t.at("1.1.0")
		t.warm()
		a := t.attach()
		before := t.look()
		t.added(a)
		t.forget(a)
		c := t.gc()
		c.conf[validKey], c.conf[olderKey] = empty, empty
		t.ran(c)
		t.settled(before, fmt.Sprintf("nothing left after a GC whose list is %v", empty))
		if t.p.FreshOnly {
			return
		}
	}
}

func gcAfterKill(t *trial) {
	t.at("1.1.0")
	t.rounds(func(a attachment, before picture) {
		t.gone(a)
		got := t.valid().run()
		t.expect(!got.refused, "success of the GC after a killed ADD", "%s", got.says())
		t.settled(before, "nothing left after a killed ADD and a GC that does not list it")
	})
}

package try

import (
	"slices"

	"github.com/enichain/enichain/test/kernel"
)

// warmUp adds and deletes a pod, so that what is made once for all pods is there. False: the list cannot even do that.
func (t *trial) warmUp() (bool, error) {
	p, err := t.newPod(warmUpPod, 1)
	if err != nil {
		return false, err
	}
	ok := t.add(p)
	return ok, t.end(p)
}

// pods are the first pod, the second beside it, and a third that is added twice.
func (t *trial) pods() error {
	first, err := t.newPod(firstPod, 1)
	if err != nil {
		return err
	}
	t.say("the first pod")
	t.record.effects = t.options.Effects
	if ok := t.add(first); !ok {
		return t.end(first)
	}
	t.record.effects = false
	t.judge(first)
	t.check(first, "right after ADD")
	t.flows(first)
	if err := t.beside(first); err != nil {
		return err
	}
	t.record.effects = t.options.Effects
	t.say("the first pod ends")
	if err := t.end(first); err != nil {
		return err
	}
	t.record.effects = false
	return t.twice()
}

// beside is the life of a second pod beside the first, which must not notice.
func (t *trial) beside(first *pod) error {
	alone, err := t.state()
	if err != nil {
		return err
	}
	second, err := t.newPod("second", 2)
	if err != nil {
		return err
	}
	t.say("the second pod")
	if t.add(second) {
		if len(t.report.Broken) == 0 { // else it would only be found again
			t.judge(second)
			t.check(second, "right after ADD of a second pod")
			t.flows(second)
			t.between(first, second)
		}
		t.check(first, "of the first pod after ADD of a second")
		t.say("GC with both pods valid")
		if err := t.untouched("GC with both pods in the valid list", func() { t.gc(first, second) }); err != nil {
			return err
		}
	}
	t.say("the second pod ends")
	if err := t.end(second); err != nil {
		return err
	}
	now, err := t.settled(alone)
	if err != nil {
		return err
	}
	switch changes := kernel.Diff(alone, now); {
	case slices.ContainsFunc(changes, func(c kernel.Change) bool { return !c.Added }):
		t.report.broken("after DEL of the second pod the node is not as it was with the first one: %s", firstOf(changes))
	default:
		t.early = changes
	}
	t.check(first, "of the first pod after DEL of the second")
	t.reach(first, "after DEL of the second")
	return t.untouched("GC with the first pod in the valid list", func() { t.gc(first) })
}

// untouched runs something that must not change what the pods have.
func (t *trial) untouched(what string, run func()) error {
	before, err := t.state()
	if err != nil {
		return err
	}
	run()
	after, err := t.settled(before)
	if err != nil {
		return err
	}
	if changes := kernel.Diff(before, after); len(changes) > 0 {
		t.report.broken("%s changes what pods have: %s", what, firstOf(changes))
	}
	return nil
}

// twice adds a pod a second time without DEL: runtimes must not, and yet nothing may be left of it.
func (t *trial) twice() error {
	p, err := t.newPod("twice", 1)
	if err != nil {
		return err
	}
	t.say("a pod that is added twice")
	if t.add(p) {
		t.record.verb, t.record.pod = "ADD again", p
		if _, err := t.cni.AddNetworkList(t.ctx, t.list, p.rt); err == nil {
			t.report.note("a second ADD of the same attachment succeeds")
		}
	}
	return t.end(p)
}

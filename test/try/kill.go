package try

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/enichain/enichain/test/kernel"
)

// kills kills each stage in its ADD at several places, cleans up as a runtime that lost the call does, and looks for
// what is left.
func (t *trial) kills() error {
	chance := rand.New(rand.NewPCG(t.options.Seed, t.options.Seed))
	for stage := range t.list.Plugins {
		usual := t.usual(stage + 1)
		for i := range t.options.Kill {
			// From its first instruction to a little after its usual end: the last places lie behind its effects.
			after := time.Duration((float64(i) + chance.Float64()) / float64(t.options.Kill) * float64(usual) * 1.1)
			t.say("kill -9 %s, %d of %d", t.report.Stages[stage], i+1, t.options.Kill)
			k := Kill{Stage: stage + 1, Type: t.report.Stages[stage], After: after, Clean: "DEL"}
			if i%2 == 1 && t.facts.gc && t.list.CNIVersion >= "1.1.0" && !t.list.DisableGC {
				k.Clean = "GC"
			}
			if err := t.killOnce(&k); err != nil {
				return err
			}
			t.report.Kills = append(t.report.Kills, k)
			if len(k.Left) > 0 {
				t.report.broken("kill -9 of stage %d %s in its ADD, then %s: %s: %s",
					k.Stage, k.Type, k.Clean, leftOrGone(k.Left), firstOf(k.Left))
				return nil // what follows would only find the same again
			}
		}
	}
	return nil
}

// usual is what the stage's ADD took, at the least.
func (t *trial) usual(stage int) time.Duration {
	least := time.Duration(0)
	for _, s := range t.report.Steps {
		if s.Stage == stage && s.Verb == "ADD" && s.Err == "" && (least == 0 || s.Took < least) {
			least = s.Took
		}
	}
	return least
}

func (t *trial) killOnce(k *Kill) error {
	p, err := t.newPod(fmt.Sprintf("killed-%d-%d", k.Stage, len(t.report.Kills)), 1)
	if err != nil {
		return err
	}
	t.record.silent, t.record.verb, t.record.pod = true, "ADD", p
	t.record.kill = &kill{stage: k.Stage, after: k.After}
	_, added := t.cni.AddNetworkList(t.ctx, t.list, p.rt)
	k.Done = t.record.kill.done
	t.record.kill = nil
	if added == nil {
		t.report.note("stage %d %s was not run at all when it was to be killed", k.Stage, k.Type)
	}
	if k.Clean == "DEL" {
		t.del(p)
	}
	if err := p.Delete(); err != nil {
		return err
	}
	p.gone = true
	if k.Clean == "GC" {
		t.gc()
	}
	t.record.silent = false
	if err := t.severed(p.wires); err != nil {
		return err
	}
	if k.Left, err = t.left(); err == nil && k.Clean == "GC" {
		// eni-ipam's GC leaves a lease of the last minute alone: its ADD may still run.
		k.Left = slices.DeleteFunc(k.Left, func(c kernel.Change) bool { return c.Section == leaseSection })
		t.record.silent = true
		t.del(p)
		t.record.silent = false
	}
	return err
}

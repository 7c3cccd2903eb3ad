package agent

import (
	"slices"

	"github.com/enichain/enichain/ipam"
)

// fenceState follows one wish after the other (protocol a3): which addresses would it take, the ledger, the fence.
// A fence is never taken back, so a ledger that has it too early costs nothing, and one that has it too late may cost a
// pod its address after the pool file was lost.
type fenceState struct {
	wishes []ipam.Release // still to be followed, of the newest accepted supply
	step   fenceStep
	wish   ipam.Release
	chosen []Gone
}

type fenceStep int

const (
	idle     fenceStep = iota
	choosing           // asked which addresses
	writing            // they are on their way into the ledger
	fencing            // and into the pool file
)

func (f *fenceState) busy() bool { return f.step != idle }

// drop forgets the wish in hand and those behind it. The reconciler repeats what it still wants.
func (f *fenceState) drop() { *f = fenceState{} }

func (c *Core) decideFence() {
	f := &c.fences
	if f.busy() || len(f.wishes) == 0 || c.ledger.writing || c.stored.holds(c.now) {
		return
	}
	f.wish, f.wishes, f.step = f.wishes[0], f.wishes[1:], choosing
	wish := f.wish
	c.do(Effect{Choose: &wish})
}

// fenceAnswered goes on after Choose and after Fence.
func (c *Core) fenceAnswered(done Done) {
	f := &c.fences
	switch {
	case done.Release != f.wish:
	case done.What == "choose" && f.step == choosing && len(done.Chosen) > 0:
		f.chosen, f.step = done.Chosen, writing
		c.writeLedger(c.ledgerOf(f.chosen))
	case done.What == "choose" && f.step == choosing:
		f.step = idle // nothing to give
		c.refusedWish(done)
	case done.What == "fence" && f.step == fencing:
		f.step, f.chosen = idle, nil
		c.refusedWish(done)
	}
}

func (c *Core) refusedWish(done Done) {
	for _, why := range done.Refused {
		c.note("info", "did not follow a wish: %s", why)
	}
}

// ledgerHasWish fences what the ledger has just taken.
func (c *Core) ledgerHasWish() {
	f := &c.fences
	if f.step != writing {
		return
	}
	f.step = fencing
	c.do(Effect{Fence: &Fence{Release: f.wish, Chosen: slices.Clone(f.chosen)}})
}

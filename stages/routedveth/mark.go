package routedveth

import (
	"context"
	"time"

	"github.com/enichain/enichain/stages"
	"github.com/enichain/enichain/stages/internal/link"
	"github.com/enichain/enichain/stages/internal/numbers"
)

// markPatience is how long an ADD waits for the agent to mark a network interface: from the kernel's news of a link to
// its mark it takes the agent 30 ms, and a runtime that is told to try again takes seconds, and makes a new sandbox.
const markPatience = time.Second

// marked is a network interface's link once it has its group. One that lost it and has its note gets it back; one that
// has neither came a moment ago, and is marked by the agent.
func (w *wire) marked(ctx context.Context, l link.Link) (link.Link, error) {
	var broken error
	if _, noted := notedENI(l.Alias); noted {
		_, broken = Repair(ctx, nil) // of another network interface, maybe
	}
	now, err := w.host.AwaitLink(l.Index, markPatience, hasMark)
	switch {
	case err != nil:
		return l, stages.Errorf(stages.ENINotReady, "%s for %s: %w; the runtime tries again", l.Name, w.r.Attachment, err)
	case !hasMark(now) && broken != nil:
		return l, stages.Errorf(stages.ENINotReady, "cannot rebuild %s for %s: %w", l.Name, w.r.Attachment, broken)
	case !hasMark(now):
		return l, stages.Errorf(stages.ENINotReady, "%s (%s) for %s: its link is there and not prepared (group %d, want %d to %d); "+
			"enichaind prepares it: is it running?", l.Name, l.MAC, w.r.Attachment, now.Group,
			numbers.LinkGroup(0), numbers.LinkGroup(numbers.MaxN))
	}
	return now, nil
}

func hasMark(l link.Link) bool { _, ok := numbers.GroupENI(l.Group); return ok }

package fastpath

import (
	"context"
	"errors"
	"time"

	"github.com/enichain/enichain/stages"
	"github.com/enichain/enichain/stages/internal/link"
)

// Restorer puts back the fast path of pods that run.
type Restorer struct{ memory stages.Memory }

var _ stages.Restorer = (*Restorer)(nil)

// always is the state of nftables that this stage's looks are of: it has nothing there, and looks as often as a setting or
// a link may have changed.
const always = 1

// Restore makes links share the program again that CHECK would complain of. A wire that is down is one that DEL severed.
func (x *Restorer) Restore(ctx context.Context, now time.Time, live []*stages.Request) (what []string, again bool, err error) {
	if len(live) == 0 || x.memory.Whole(always, now) {
		return nil, false, nil
	}
	for _, r := range live {
		if ctx.Err() != nil {
			break
		}
		drift, failure := restore(r)
		if drift != "" {
			what = append(what, drift)
		}
		err = errors.Join(err, failure)
	}
	x.memory.Looked(always, now, err == nil && len(what) == 0 && ctx.Err() == nil)
	return what, false, err
}

// restore says what of one pod's fast path it has put back.
func restore(r *stages.Request) (string, error) {
	c, w, err := begin(r)
	if errors.Is(err, link.ErrAbsent) {
		return "", nil // routed-veth's to mend, or a DEL under way
	} else if err != nil {
		return "", err
	}
	defer c.Close()
	if !w.Up {
		return "", nil
	}
	drift, err := missing(c, w)
	if err == nil && drift != "" {
		err = ensure(c, w)
	}
	return drift, failed(r, err)
}

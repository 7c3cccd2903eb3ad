package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/enichain/enichain/ipam"
)

// do does one effect. nil: there is no result yet, or none at all.
func (s *Shell) do(ctx context.Context, e Effect) *Input {
	if e.Note != nil {
		s.say(e.Note.Level, e.Note.Text)
		return nil
	}
	if pool := s.doPool(ctx, e); pool != nil {
		return &Input{Pool: pool}
	}
	if e.Ledger != nil {
		return &Input{Ledger: &Written{Ledger: *e.Ledger, Err: text(WriteLedger(s.config.LedgerFile, *e.Ledger))}}
	}
	if e.Publish != nil || e.Drain {
		return s.doBus(ctx, e)
	}
	return s.doKernel(ctx, e)
}

func (s *Shell) doPool(ctx context.Context, e Effect) *Pool {
	now := s.config.Clock()
	var inUse map[netip.Addr]bool
	if e.Tick {
		view, err := s.config.Kernel.Inspect(ctx)
		if err != nil { // nothing ripens that might be in use
			return &Pool{Done: Done{What: "tick"}, Err: fmt.Sprintf("cannot look into the kernel: %v", err)}
		}
		s.forgetFlows(ctx, now)
		inUse = view.InUse()
	}
	return s.file.Do(ctx, now, e, inUse, s.config.Options.Bus)
}

// forgetFlows is for the addresses that the next tick turns free: by now nothing leads to the old pod.
func (s *Shell) forgetFlows(ctx context.Context, now Now) {
	if s.config.ForgetFlows == nil {
		return
	}
	ripe, err := s.file.ripe(ctx, now)
	if err == nil && len(ripe) > 0 {
		err = s.config.ForgetFlows(ctx, ripe)
	}
	if err != nil { // a pod without an address is worse than one that hears its predecessor's peers
		s.say("warn", err.Error())
	}
}

func (s *Shell) doKernel(ctx context.Context, e Effect) *Input {
	kernel := s.config.Kernel
	switch {
	case e.ReadLinks:
		links, err := kernel.Links(ctx)
		return &Input{Links: &Links{Links: links, Err: text(err)}}
	case e.Prepare != nil:
		done := Prepared{N: e.Prepare.N, Attachment: e.Prepare.Attachment}
		if err := kernel.Prepare(ctx, *e.Prepare); errors.Is(err, ErrMTU) {
			done.MTU = err.Error()
		} else {
			done.Err = text(err)
		}
		return &Input{Prepared: &done}
	case e.Repair != nil:
		what, err := kernel.Repair(ctx, e.Repair.ENIs)
		if errors.Is(err, ErrLookAgain) {
			return &Input{Repaired: &Repaired{What: what, Again: true}}
		}
		return &Input{Repaired: &Repaired{What: what, Err: text(err)}}
	case e.Survey:
		stale, err := s.survey(ctx)
		return &Input{Surveyed: &Surveyed{Stale: stale, Err: text(err)}}
	case e.Forget != nil:
		if err := kernel.Forget(ctx, *e.Forget); err != nil {
			s.say("warn", fmt.Sprintf("cannot forget network interface number %d: %v", *e.Forget, err))
		}
	case e.Sweep:
		if _, err := kernel.Sweep(ctx); err != nil {
			s.say("warn", fmt.Sprintf("cannot sweep severed links: %v", err))
		}
	}
	return nil
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// survey compares each lease with the kernel: it looks dead when its network namespace is gone and nothing of ours
// leads to its addresses.
func (s *Shell) survey(ctx context.Context) ([]Stale, error) {
	leases, err := s.file.leases(ctx)
	if err != nil || len(leases) == 0 {
		return nil, err
	}
	view, err := s.config.Kernel.Inspect(ctx)
	if err != nil {
		return nil, err
	}
	used := view.InUse()
	var stale []Stale
	for _, l := range leases {
		if strings.HasPrefix(l.Network, "#") {
			continue // the store's own: gateways, unknown owners
		}
		inUse := false
		for _, a := range l.Addresses {
			inUse = inUse || used[a]
		}
		switch {
		case inUse:
		case l.Netns == "":
			stale = append(stale, Stale{Attachment: l.Attachment, Cause: "its link is gone"})
		case netnsGone(l.Netns):
			stale = append(stale, Stale{Attachment: l.Attachment, Cause: "its network namespace is gone"})
		}
	}
	return stale, nil
}

// netnsGone is true when the path is not there while its folder is: an agent that cannot see the folder at all (a mount
// that is missing) must not take every pod for dead. Under /proc the folder goes with the process.
func netnsGone(path string) bool {
	_, err := os.Stat(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return false
	}
	if strings.HasPrefix(path, "/proc/") {
		return true
	}
	_, err = os.Stat(filepath.Dir(path))
	return err == nil
}

const (
	publishTime = 5 * time.Second // deadline of one snapshot's acknowledgement
	drainTime   = 5 * time.Second // and of one batch of records
)

// doBus hands a job to the goroutine that talks to the bus; its result comes by the inbox.
func (s *Shell) doBus(ctx context.Context, e Effect) *Input {
	var failed Input
	var j job
	if e.Publish != nil {
		snapshot := *e.Publish
		failed = Input{Published: &Published{Inc: snapshot.Inc, Seq: snapshot.Seq, Err: "the bus is busy"}}
		j = func(ctx context.Context) Input { return s.publish(ctx, snapshot) }
	} else {
		failed = Input{Drained: &Drained{Err: "the bus is busy"}}
		records, err := s.file.outbox(ctx)
		if err != nil {
			return &Input{Drained: &Drained{Err: err.Error()}}
		}
		inc := s.core.pool.Snapshot.Inc
		j = func(ctx context.Context) Input { return s.drain(ctx, inc, records) }
	}
	select {
	case s.jobs <- j:
		return nil
	default:
		return &failed
	}
}

func (s *Shell) publish(ctx context.Context, snapshot ipam.Snapshot) Input {
	ctx, cancel := context.WithTimeout(ctx, publishTime)
	defer cancel()
	err := s.config.Bus.PublishSnapshot(ctx, snapshot)
	return Input{Published: &Published{Inc: snapshot.Inc, Seq: snapshot.Seq, Err: text(err)}}
}

func (s *Shell) drain(ctx context.Context, inc ipam.Inc, records []ipam.Record) Input {
	ctx, cancel := context.WithTimeout(ctx, drainTime)
	defer cancel()
	done := Drained{}
	for _, r := range records {
		if err := s.config.Bus.PublishEvent(ctx, s.config.Instance, inc, r); err != nil {
			done.Err = err.Error()
			break
		}
		done.N = r.N
	}
	return Input{Drained: &done}
}

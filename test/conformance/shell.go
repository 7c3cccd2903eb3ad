package conformance

import "context"

// Shell makes the world in which a plugin would be tried, as it is before the first line of a finding's Try, and runs work
// there.
func Shell(ctx context.Context, o Options, work func() error) error {
	s, err := newSubject(o)
	if err != nil {
		return err
	}
	t := newTrial(ctx, s)
	t.cancel() // people take longer than a trial
	t.ctx, t.cancel = context.WithCancel(ctx)
	t.bare = true
	v, _ := s.inside(t, func(t *trial) {
		t.node()
		err = work()
	})
	if v.outcome == NotRun && err == nil {
		return v
	}
	return err
}

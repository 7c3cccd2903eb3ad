package pods

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/enichain/enichain/test/bench/figure"
)

// parallel measures bursts: so many pods come, so many at once, and then all go.
func (b *bench) parallel(ctx context.Context, all []*node, pods, rounds int) error {
	for i := range rounds {
		for _, at := range []int{10, 50} {
			for k := range all {
				n := all[(i+k)%len(all)]
				if err := b.burst(ctx, n, at, pods); err != nil {
					return err
				}
				b.progress("%d at once: round %d of %d, %s", at, i+1, rounds, n.id)
			}
		}
	}
	return nil
}

func (b *bench) burst(ctx context.Context, n *node, at, pods int) error {
	all, err := n.attachments(pods)
	if err != nil {
		return err
	}
	if err := n.kept(ctx, func() error { return b.phases(ctx, n, at, all) }); err != nil {
		return err
	}
	return b.gone(n, all)
}

// phases has all pods come, and then all go.
func (b *bench) phases(ctx context.Context, n *node, at int, all []*attachment) error {
	for _, v := range []struct {
		name string
		do   func(context.Context, *attachment) error
	}{{"add", n.add}, {"del", n.del}} {
		var took times
		c, err := measure(func() error {
			return n.together(at, all, func(a *attachment) error { return took.note(func() error { return v.do(ctx, a) }) })
		})
		if err != nil {
			return err
		}
		name := fmt.Sprintf("%s%d", v.name, at)
		b.record.add(n.id, name+"-rate", float64(len(all))/c.wall.Seconds())
		b.record.add(n.id, name+"-cpu", ms(c.cpu)/float64(len(all)))
		b.record.add(n.id, name+"-p50", figure.Quantile(took.all, 0.5))
		b.record.add(n.id, name+"-p99", figure.Quantile(took.all, 0.99))
	}
	return nil
}

// churn measures pods that come and go at the same time: four workers, each with an ADD and a DEL in turn.
func (b *bench) churn(ctx context.Context, all []*node, pods, rounds int) error {
	for i := range rounds {
		for k := range all {
			n := all[(i+k)%len(all)]
			pods, err := n.attachments(pods)
			if err != nil {
				return err
			}
			var adds, dels times
			var c cost
			err = n.kept(ctx, func() (err error) {
				c, err = measure(func() error {
					return n.together(4, pods, func(a *attachment) error {
						return errors.Join(adds.note(func() error { return n.add(ctx, a) }), dels.note(func() error { return n.del(ctx, a) }))
					})
				})
				return err
			})
			if err != nil {
				return err
			}
			b.record.add(n.id, "churn-rate", float64(len(pods))/c.wall.Seconds())
			b.record.add(n.id, "churn-cpu", ms(c.cpu)/float64(len(pods)))
			b.record.add(n.id, "churn-add-p50", figure.Quantile(adds.all, 0.5))
			b.record.add(n.id, "churn-del-p50", figure.Quantile(dels.all, 0.5))
			if err := b.gone(n, pods); err != nil {
				return err
			}
			b.progress("churn: round %d of %d, %s", i+1, rounds, n.id)
		}
	}
	return nil
}

func (n *node) attachments(pods int) (all []*attachment, err error) {
	for range pods {
		a, err := n.attachment()
		if err != nil {
			return nil, err
		}
		all = append(all, a)
	}
	return all, nil
}

// gone ends the namespaces of pods that were deleted.
func (b *bench) gone(n *node, all []*attachment) error {
	for _, a := range all {
		if err := a.pod.Delete(); err != nil {
			return err
		}
	}
	return b.settle(n)
}

// times are how long the calls of several workers took, in milliseconds.
type times struct {
	sync.Mutex // guards all
	all        []float64
}

func (t *times) note(f func() error) error {
	started := time.Now()
	err := f()
	took := ms(time.Since(started))
	t.Lock()
	defer t.Unlock()
	t.all = append(t.all, took)
	return err
}

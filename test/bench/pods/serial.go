package pods

import (
	"context"
	"fmt"
	"net"
	"time"
)

// setting is a node as one case has it; what is measured there has the case's suffix.
type setting struct {
	*node
	suffix string
}

// serial measures the verbs of one pod after the other, interleaved: in each round each setting has a pod that comes and
// goes. Who goes first rotates, because the one behind an idle pause pays for it.
func (b *bench) serial(ctx context.Context, title string, all []setting, rounds int) error {
	const warmUps = 2
	for i := range rounds + warmUps {
		for k := range all {
			s := all[(i+k)%len(all)]
			if err := b.cycle(ctx, s, i >= warmUps); err != nil {
				return err
			}
		}
		b.progress("%s: round %d of %d", title, i+1, rounds+warmUps)
	}
	return nil
}

// cycle has a pod come and go. Only the verbs are measured; the pod's namespace is the runtime's affair.
func (b *bench) cycle(ctx context.Context, s setting, count bool) error {
	a, err := s.attachment()
	if err != nil {
		return err
	}
	verbs := []struct {
		name string
		do   func(context.Context, *attachment) error
		skip bool
	}{{"add", s.add, false}, {"check", s.checked, !s.check}, {"del", s.del, false}}
	one := func() error {
		for _, v := range verbs {
			if v.skip {
				continue
			}
			c, err := measure(func() error { return v.do(ctx, a) })
			if err != nil {
				return err
			}
			if count {
				b.record.verb(s.id, v.name, s.suffix, c)
			}
		}
		return nil
	}
	err = s.kept(ctx, func() error { return s.within(one) })
	if err != nil {
		return err
	}
	if err := a.pod.Delete(); err != nil {
		return err
	}
	return b.settle(s.node)
}

// settle waits until the links of pods that are gone have left the node, and lets the kernel end what it does behind
// that: else the next one pays.
func (b *bench) settle(n *node) error {
	end := time.Now().Add(20 * time.Second)
	for {
		var links []net.Interface
		err := n.within(func() (err error) { links, err = net.Interfaces(); return err })
		if err != nil {
			return err
		}
		if len(links) <= n.links+len(n.stay) {
			break
		}
		if time.Now().After(end) {
			return fmt.Errorf("the node of %s has %d links, and %d when it was empty", n.id, len(links), n.links)
		}
		time.Sleep(5 * time.Millisecond)
	}
	if !b.Smoke() {
		time.Sleep(20 * time.Millisecond)
	}
	return nil
}

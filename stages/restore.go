package stages

import (
	"context"
	"errors"
	"time"
)

// Recall is the request of a CHECK for an attachment that was made earlier, from what the runtime wrote down of it:
// config is the stage's own network configuration, with prevResult and runtimeConfig as the runtime puts them there.
// args are the pairs of CNI_ARGS. The namespace is not looked at.
func Recall(a Attachment, netns string, args map[string]string, config []byte) (*Request, error) {
	env := map[string]string{"CNI_CONTAINERID": a.Container, "CNI_IFNAME": a.IfName, "CNI_NETNS": netns}
	r, _, fault := parse(cmdCheck, func(key string) string { return env[key] }, nil, config)
	if fault != nil {
		return nil, fault
	}
	if args != nil {
		r.Args = args
		r.Pod = Pod{Namespace: args["K8S_POD_NAMESPACE"], Name: args["K8S_POD_NAME"]}
	}
	return r, nil
}

// Restorer is the part of a stage that a long-lived process keeps, to put back what somebody took of live attachments.
type Restorer interface {
	// Restore does what ADD did wherever CHECK would complain, and says what was missing. live are all attachments that
	// use the stage, in the order in which they may claim what two of them want; nobody's claim is taken from them.
	// Attachments that are not live any more lose what an earlier Restore gave them while their DEL was under way.
	//
	// again: something looks as a DEL under way leaves it, or was put back for an attachment whose DEL may be under way;
	// the next Restore, at least Doubt later, knows.
	Restore(ctx context.Context, now time.Time, live []*Request) (restored []string, again bool, err error)
}

// Doubt is how long an attachment has nothing at all of what is its own before that counts as loss: the rest of a chain's
// DEL, until the runtime forgets the attachment, takes a tenth of it.
const Doubt = time.Second

// Memory is what a Restorer keeps between its looks. The zero value is ready.
type Memory struct {
	doubted map[Attachment]time.Time // since when nothing of theirs is there
	given   map[Attachment]*Request  // something was put back for them
	whole   uint32                   // generation of nftables at which a look found nothing missing; 0: none did
	looked  time.Time                // when that was
}

// believed is how long what was whole counts as whole while nftables stands still: a link or a setting may change.
const believed = 20 * time.Second

// Whole says whether a look at this generation of nftables would find nothing: most looks have another reason.
func (m *Memory) Whole(generation uint32, now time.Time) bool {
	return m.whole != 0 && m.whole == generation && now.Sub(m.looked) < believed
}

// Looked notes a look that began at this generation of nftables, and whether it found all as it must be.
func (m *Memory) Looked(generation uint32, now time.Time, whole bool) {
	m.whole, m.looked = 0, now
	if whole {
		m.whole = generation
	}
}

// Sure says whether an attachment that has nothing of its own has had nothing for as long as Doubt.
func (m *Memory) Sure(a Attachment, now time.Time) bool {
	since, doubted := m.doubted[a]
	if !doubted {
		if m.doubted == nil {
			m.doubted = map[Attachment]time.Time{}
		}
		m.doubted[a] = now
		return false
	}
	return now.Sub(since) >= Doubt
}

// Clear ends the doubt about an attachment: it has something of its own.
func (m *Memory) Clear(a Attachment) { delete(m.doubted, a) }

// Gave notes that something was put back for r's attachment.
func (m *Memory) Gave(r *Request) {
	if m.given == nil {
		m.given = map[Attachment]*Request{}
	}
	m.given[r.Attachment] = r
	m.Clear(r.Attachment)
}

// Settle forgets the attachments that are not in live. Those that something was put back for get a DEL: theirs may have
// come before. One whose DEL fails is asked again next time.
func (m *Memory) Settle(ctx context.Context, live []*Request, s Stage) error {
	alive := map[Attachment]bool{}
	for _, r := range live {
		alive[r.Attachment] = true
	}
	for a := range m.doubted {
		if !alive[a] {
			delete(m.doubted, a)
		}
	}
	var errs error
	for a, r := range m.given {
		if alive[a] {
			continue
		}
		del := *r
		del.Command, del.Prev, del.Netns = cmdDel, nil, ""
		if err := s.Del(ctx, &del); err != nil {
			errs = errors.Join(errs, err)
			continue
		}
		delete(m.given, a)
	}
	return errs
}

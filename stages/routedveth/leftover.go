package routedveth

import (
	"errors"

	"github.com/enichain/enichain/stages"
	"github.com/enichain/enichain/stages/internal/link"
	"github.com/enichain/enichain/stages/internal/numbers"
)

// ours says whether a link is a host end that this stage made.
func ours(l link.Link) bool {
	if l.Kind != "veth" || l.MAC[0] != 2 {
		return false
	}
	_, _, pod := numbers.PodENI(l.Group)
	return pod || l.Group == numbers.SeveredGroup
}

// severed says whether its DEL was done.
func severed(l link.Link) bool { return ours(l) && l.Group == numbers.SeveredGroup }

// leftover says whether it waits for its deletion: a DEL has set it down. One that is down and still in a pod's group
// was set down by somebody else; its pod may live, yet a new owner of its name or place may have both.
func leftover(l link.Link) bool { return ours(l) && !l.Up }

// vacate looks at the container's interface name: it must be free, or held by the pod's end of a leftover, which is
// deleted (14 to 20 ms, and only after a DEL whose namespace lived on).
func (w *wire) vacate() error {
	inner, err := w.pod.LinkByName(w.r.IfName)
	if errors.Is(err, link.ErrAbsent) {
		return nil
	}
	if err != nil {
		return err
	}
	if inner.Kind != "veth" || !inner.Elsewhere {
		return w.taken()
	}
	outer, err := w.host.LinkByIndex(inner.Peer)
	if err != nil || outer.Peer != inner.Index || !leftover(outer) {
		return w.taken()
	}
	return w.host.Do(link.DelLink(outer.Index))
}

// vacantName is the first of the host end's names that nobody has, or that a leftover has, which is deleted. The other
// owner of a name that is up is a newer or older sandbox of the same pod, and goes on living.
func (w *wire) vacantName() (string, error) {
	names := w.conf.hostNames(w.r)
	for _, name := range names {
		l, err := w.host.LinkByName(name)
		if errors.Is(err, link.ErrAbsent) {
			return name, nil
		}
		if err != nil {
			return "", err
		}
		switch {
		case leftover(l):
			return name, w.host.Do(link.DelLink(l.Index))
		case l.MAC == w.hostMAC:
			return "", stages.Errorf(stages.IfNameTaken, "%s is wired already, by %s to another namespace than %s; delete it first",
				w.r.Attachment, name, w.r.Netns)
		}
	}
	return "", stages.Errorf(stages.Kernel, "the host end's name %s for %s is taken by a link that is up; see: ip -d link show %s",
		names[len(names)-1], w.r.Attachment, names[len(names)-1])
}

package routedveth

import (
	"context"
	"errors"
	"io/fs"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/enichain/enichain/stages"
	"github.com/enichain/enichain/stages/internal/link"
	"github.com/enichain/enichain/stages/internal/numbers"
)

// Del severs the wire at once: the host's end goes down, and its routes and neighbours with it. Its deletion takes 14
// to 20 ms in the kernel and is left to the end of the container's namespace, to the agent, or to the next ADD that
// wants its name. Nobody else's link is touched: the MAC says whose it is. A wrong configuration does not stop it.
//
// The address is given back last, so that it is never another pod's while packets still go here.
func (Stage) Del(ctx context.Context, r *stages.Request) error {
	conf, _ := decode(r)
	c, err := link.Open()
	if err != nil {
		return err
	}
	defer c.Close()
	l, found, err := hostEnd(c, r, conf)
	if err != nil {
		return err
	}
	if found && l.Group != numbers.SeveredGroup {
		if err := c.Do(sever(l)); err != nil {
			return stages.Errorf(stages.Kernel, "cannot sever %s of %s: %w", l.Name, r.Attachment, err)
		}
	}
	if further(r.IfName) && r.Netns != "" {
		if err = forgetInside(r, l); err != nil {
			err = stages.Errorf(stages.Kernel, "%w for %s", err, r.Attachment)
		}
	}
	return errors.Join(err, conf.delegate(ctx, r, "DEL"))
}

func sever(l link.Link) link.Message {
	down, group := false, numbers.SeveredGroup
	return link.SetLink(l.Index, link.Change{Up: &down, Group: &group}).Tolerating(unix.ENODEV)
}

// hostEnd finds the host's end of an attachment: by the names it may have, and by its other end where the container's
// namespace is still there. A list of links is read only where the runtime knows neither that nor the pod's name.
func hostEnd(c *link.Conn, r *stages.Request, conf *config) (l link.Link, found bool, err error) {
	mac, _ := link.OwnerMACs(r.Attachment.String())
	for _, name := range append(conf.hostNames(r), named(r)...) {
		l, err = c.LinkByName(name)
		if err == nil && l.MAC == mac {
			return l, true, nil
		}
		if err != nil && !errors.Is(err, link.ErrAbsent) {
			return link.Link{}, false, err
		}
	}
	switch {
	case r.Netns != "":
	case conf.HostVeth == byPod && r.Pod.Name == "":
		return hostEndByMAC(c, mac)
	default:
		return link.Link{}, false, nil
	}
	inner, err := insideLink(r)
	if err != nil || inner.Kind != "veth" || inner.Peer == 0 {
		return link.Link{}, false, gone(err)
	}
	l, err = c.LinkByIndex(inner.Peer)
	if err != nil || l.MAC != mac {
		return link.Link{}, false, gone(err)
	}
	return l, true, nil
}

func hostEndByMAC(c *link.Conn, mac link.MAC) (link.Link, bool, error) {
	all, err := c.Links()
	if err != nil {
		return link.Link{}, false, err
	}
	i := slices.IndexFunc(all, func(l link.Link) bool { return l.MAC == mac && ours(l) })
	if i < 0 {
		return link.Link{}, false, nil
	}
	return all[i], true, nil
}

// named are the host-side links of prevResult. They are only candidates.
func named(r *stages.Request) (names []string) {
	if r.Prev == nil {
		return nil
	}
	for _, i := range r.Prev.Interfaces {
		if i.Sandbox == "" && i.Name != "" && len(i.Name) < unix.IFNAMSIZ {
			names = append(names, i.Name)
		}
	}
	return names
}

// insideLink is the container's end.
func insideLink(r *stages.Request) (link.Link, error) {
	ns, err := link.OpenNetns(r.Netns)
	if err != nil {
		return link.Link{}, err
	}
	defer ns.Close()
	pod, err := link.OpenIn(ns)
	if err != nil {
		return link.Link{}, err
	}
	defer pod.Close()
	return pod.LinkByName(r.IfName)
}

// gone takes for no error what says that there is nothing to sever any more.
func gone(err error) error {
	if errors.Is(err, link.ErrAbsent) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.EINVAL) {
		return nil
	}
	return err
}

package link

import (
	"encoding/binary"
	"time"

	"golang.org/x/sys/unix"
)

// AwaitRunning returns when the link carries packets, or after patience. A veth's end that was set up before its other
// end drops what it is given until the kernel's link watcher has seen the carrier: usually some microseconds, but tens
// of milliseconds where others hold the routing lock, and the first packet lost costs a connection a whole second.
func (c *Conn) AwaitRunning(index int, patience time.Duration) error {
	_, err := c.AwaitLink(index, patience, func(l Link) bool { return l.Running })
	return err
}

// AwaitLink returns the link as soon as it is right, or as it is after patience.
func (c *Conn) AwaitLink(index int, patience time.Duration, right func(Link) bool) (Link, error) {
	if l, err := c.LinkByIndex(index); err != nil || right(l) {
		return l, err
	}
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return Link{}, err
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: unix.RTMGRP_LINK}); err != nil {
		return Link{}, err
	}
	for end := time.Now().Add(patience); ; {
		// Asked after the subscription, and after every piece of news: news may be lost where there is too much of it.
		l, err := c.LinkByIndex(index)
		left := time.Until(end)
		if err != nil || right(l) || left <= 0 {
			return l, err
		}
		if err := c.news(fd, index, left); err != nil {
			return l, err
		}
	}
}

// news waits for a message about the link, or until something is not as usual.
func (c *Conn) news(fd, index int, wait time.Duration) error {
	limit := unix.NsecToTimeval(max(wait, time.Millisecond).Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit); err != nil {
		return err
	}
	for {
		n, err := unix.Read(fd, c.receive)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil // no time or no room left: the kernel is asked again
		}
		for in := c.receive[:n]; len(in) >= unix.SizeofNlMsghdr; {
			a, rest, err := cut(in)
			if err != nil {
				return nil
			}
			in = rest
			if len(a.body) >= unix.SizeofIfInfomsg && int(binary.NativeEndian.Uint32(a.body[4:])) == index {
				return nil
			}
		}
	}
}

package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Pod is a pod's network namespace, as a runtime makes it before ADD: empty, its loopback up.
type Pod struct {
	Place
	node *Node
}

// Pod makes a pod's namespace at /run/netns/NAME.
func (n *Node) Pod(name string) (*Pod, error) {
	path := filepath.Join("/run/netns", name)
	if err := bind(path); err != nil {
		return nil, err
	}
	p := &Pod{Place{Name: name, Netns: path}, n}
	n.pods[name] = p
	return p, Within(path, func() error {
		if n.NoDAD {
			if err := os.WriteFile("/proc/sys/net/ipv6/conf/default/accept_dad", []byte("0"), 0); err != nil {
				return fmt.Errorf("cannot let %s use IPv6 addresses at once: %w", name, err)
			}
		}
		lo, err := netlink.LinkByName("lo")
		if err == nil {
			err = netlink.LinkSetUp(lo)
		}
		if err != nil {
			return fmt.Errorf("cannot bring up the loopback of %s: %w", name, err)
		}
		return nil
	})
}

// Delete takes the namespace away, as a runtime does after the first DEL. Its links go a little later.
func (p *Pod) Delete() error {
	delete(p.node.pods, p.Name)
	err := unix.Unmount(p.Netns, unix.MNT_DETACH)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) { // it was deleted before
		err = nil
	}
	if gone := os.Remove(p.Netns); err == nil && !errors.Is(gone, os.ErrNotExist) {
		err = gone
	}
	if err != nil {
		return fmt.Errorf("cannot delete the namespace of %s: %w", p.Name, err)
	}
	return nil
}

// bind makes a network namespace and puts it at a path.
func bind(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL, 0o444)
	if err != nil {
		return fmt.Errorf("cannot name a network namespace: %w", err)
	}
	f.Close()
	made := make(chan error)
	go func() { // the goroutine keeps its locked thread and takes it along when it ends
		runtime.LockOSThread()
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			err = unix.Mount("/proc/thread-self/ns/net", path, "", unix.MS_BIND, "")
		}
		made <- err
	}()
	if err := <-made; err != nil {
		return errors.Join(fmt.Errorf("cannot make network namespace %s: %w", path, err), os.Remove(path))
	}
	return nil
}

// Within runs work on a thread of its own in a namespace; "" is the node's. Sockets and processes that it makes stay.
func Within(netns string, work func() error) error {
	if netns == "" {
		return work()
	}
	ns, err := os.Open(netns)
	if err != nil {
		return fmt.Errorf("cannot open network namespace %s: %w", netns, err)
	}
	defer ns.Close()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("cannot enter network namespace %s: %w", netns, err)
			return
		}
		done <- work()
	}()
	return <-done
}

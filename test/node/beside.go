package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// Neighbour is a node beside others of this process, in a network namespace of its own that lives as long as it.
type Neighbour struct {
	*Node
	ns *os.File
}

// NewNeighbour makes one; its error leaves nothing behind.
func NewNeighbour(ctx context.Context, o Options, f Further) (*Neighbour, error) {
	ns, err := namespace()
	if err != nil {
		return nil, fmt.Errorf("cannot make a network namespace: %w", err)
	}
	n := &Neighbour{ns: ns}
	err = n.Within(func() (err error) {
		n.Node, err = Beside(ctx, o, f)
		return err
	})
	if err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

// Within runs work on a thread of its own in the node's namespace.
func (n *Neighbour) Within(work func() error) error {
	return Within(fmt.Sprintf("/proc/self/fd/%d", n.ns.Fd()), work)
}

// Script runs lines of shell in the node's namespace, until one fails.
func (n *Neighbour) Script(ctx context.Context, text string) error {
	return n.Within(func() error { return script(ctx, "", text) })
}

// ScriptAtHost is Script in the namespace of the VPC beyond the node.
func (n *Neighbour) ScriptAtHost(ctx context.Context, text string) error {
	return script(ctx, n.Host.Netns, text)
}

// Close takes the pods' namespaces away, and with the last references the VPC's and the node's. One that was never made
// has nothing to take away.
func (n *Neighbour) Close() error {
	if n == nil {
		return nil
	}
	var errs []error
	if n.Node != nil {
		for _, p := range n.pods {
			errs = append(errs, p.Delete())
		}
		errs = append(errs, unix.Unmount(n.Host.Netns, unix.MNT_DETACH), os.Remove(n.Host.Netns))
	}
	return errors.Join(append(errs, n.ns.Close())...)
}

// namespace makes a network namespace that lives as long as the file is open.
func namespace() (*os.File, error) {
	var f *os.File
	made := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			f, err = os.Open("/proc/thread-self/ns/net")
		}
		made <- err
	}()
	return f, <-made
}

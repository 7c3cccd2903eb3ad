package fabric

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Node is a set of namespaces: an instance, a host outside the VPC, or the router. An instance that is stopped and
// started stays the same Node, with other namespaces.
type Node struct {
	Name    string
	machine atomic.Pointer[machine]
}

// machine is a Node's namespaces from a start to the next stop.
type machine struct {
	process *exec.Cmd
	stdin   io.Closer // the anchor lives while this is open
	ns      netns.NsHandle
	handle  *netlink.Handle
	once    sync.Once
}

// PID is the anchor process whose namespaces the node is, as seen from the process that called Up; that of the last one
// while the node is off.
func (n *Node) PID() int { return n.machine.Load().process.Process.Pid }

// handle talks to the kernel in the node's network namespace.
func (n *Node) handle() *netlink.Handle { return n.machine.Load().handle }

// anchor makes a node.
func anchor(ctx context.Context, name, script string) (*Node, error) {
	m, err := start(ctx, name, script)
	if err != nil {
		return nil, err
	}
	n := &Node{Name: name}
	n.machine.Store(m)
	return n, nil
}

// start starts a process in new namespaces: it runs script there and then waits for the end of this process.
func start(ctx context.Context, name, script string) (*machine, error) {
	// cat ends when this process does, by whatever death, since nobody else holds the other end of the pipe.
	cmd := exec.Command("/bin/sh", "-c", script+"\necho ready; exec cat", name)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWUTS,
		Setsid:     true, // Ctrl-C at the lab's terminal is not for it
	}
	cmd.Env = append(os.Environ(), "PATH="+searchPath())
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	var words strings.Builder
	cmd.Stderr = &words
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("fabric: cannot make namespaces for %s (root, or root of a user namespace, can): %w", name, err)
	}
	m := &machine{process: cmd, stdin: stdin, ns: netns.None()}
	line, _ := bufio.NewReader(stdout).ReadString('\n')
	if line != "ready\n" {
		err := errors.Join(m.close())
		return nil, errors.Join(fmt.Errorf("fabric: cannot set %s up: %s", name, strings.TrimSpace(words.String())), err)
	}
	if err := m.open(name); err != nil {
		return nil, errors.Join(err, m.close())
	}
	return m, ctx.Err()
}

// open takes hold of the namespace and brings its loopback up.
func (m *machine) open(name string) (err error) {
	if m.ns, err = netns.GetFromPid(m.process.Process.Pid); err != nil {
		return fmt.Errorf("fabric: cannot open the network namespace of %s: %w", name, err)
	}
	if m.handle, err = netlink.NewHandleAt(m.ns, unix.NETLINK_ROUTE); err != nil {
		return fmt.Errorf("fabric: cannot talk to the kernel in %s: %w", name, err)
	}
	lo, err := m.handle.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("fabric: cannot find lo in %s: %w", name, err)
	}
	return m.handle.LinkSetUp(lo)
}

func (m *machine) close() (err error) {
	m.once.Do(func() {
		if m.handle != nil {
			m.handle.Close()
		}
		if m.ns.IsOpen() {
			err = m.ns.Close()
		}
		m.stdin.Close()
		m.process.Process.Kill() // it has nothing to save
		m.process.Wait()
	})
	return err
}

func (n *Node) close() error { return n.machine.Load().close() }

// Do runs work on a thread inside the node's network namespace. The work must not start goroutines that rely on it.
func (n *Node) Do(work func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		home, err := netns.Get()
		if err != nil {
			done <- fmt.Errorf("fabric: cannot open this thread's network namespace: %w", err)
			return
		}
		defer home.Close()
		if err := netns.Set(n.machine.Load().ns); err != nil {
			done <- fmt.Errorf("fabric: cannot enter %s: %w", n.Name, err)
			return
		}
		err = work()
		if back := netns.Set(home); back == nil {
			runtime.UnlockOSThread() // otherwise the thread ends with this goroutine
		}
		done <- err
	}()
	return <-done
}

// Command prepares a program inside the node's namespaces; ctx ends it. Its PATH has Debian's system folders too.
func (n *Node) Command(ctx context.Context, program string, args ...string) *exec.Cmd {
	enter := []string{"-t", strconv.Itoa(n.PID()), "-n", "-m", "-u", "--", program}
	cmd := exec.CommandContext(ctx, "nsenter", append(enter, args...)...)
	cmd.Env = append(os.Environ(), "PATH="+searchPath())
	return cmd
}

// Exec runs a program inside the node to its end and returns what it wrote to standard output. The error carries what
// it wrote to standard error.
func (n *Node) Exec(ctx context.Context, program string, args ...string) (string, error) {
	cmd := n.Command(ctx, program, args...)
	var out, words strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &words
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s: %s %s: %w: %s", n.Name, program, strings.Join(args, " "), err, strings.TrimSpace(words.String()))
	}
	return out.String(), nil
}

// Listen opens a TCP listener on an address inside the node; it is served from anywhere.
func (n *Node) Listen(address string) (l net.Listener, err error) {
	err = n.Do(func() error {
		l, err = net.Listen("tcp", address)
		return err
	})
	return l, err
}

// Path is where a file of the node's mount namespace is seen from outside it, for example for /etc/enichain/x.
func (n *Node) Path(name string) string {
	return filepath.Join("/proc", strconv.Itoa(n.PID()), "root", name)
}

// sysctl writes and reads back: a write that the kernel ignores is an error here.
func (n *Node) sysctl(values map[string]string) error {
	return n.Do(func() error {
		for key, value := range values {
			path := "/proc/sys/" + key
			if err := os.WriteFile(path, []byte(value), 0o644); err != nil {
				return fmt.Errorf("fabric: cannot set %s in %s: %w", key, n.Name, err)
			}
			if now, err := os.ReadFile(path); err != nil || strings.TrimSpace(string(now)) != value {
				return fmt.Errorf("fabric: %s in %s is %q after setting it to %q: %w", key, n.Name, now, value, err)
			}
		}
		return nil
	})
}

// searchPath is PATH and Debian's system folders, which an ordinary user's PATH lacks.
func searchPath() string { return os.Getenv("PATH") + ":/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin" }

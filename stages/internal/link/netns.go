package link

import (
	"fmt"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// InNetns runs do on a thread inside the network namespace at path, with a socket of that namespace. do must not start
// a goroutine: it would run elsewhere. The thread ends with do: root of a user namespace may enter a namespace of its
// own and be refused the way back.
func InNetns(path string, do func(*Conn) error) error {
	inside, err := OpenNetns(path)
	if err != nil {
		return err
	}
	defer inside.Close()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if err := unix.Setns(int(inside.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("cannot enter network namespace %s: %w", path, err)
			return
		}
		c, err := Open()
		if err != nil {
			done <- err
			return
		}
		defer c.Close()
		done <- do(c)
	}()
	return <-done
}

// OpenNetns opens the file of a network namespace: for Veth.Netns and OpenIn.
func OpenNetns(path string) (*os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot open network namespace %s: %w", path, pathless(err))
	}
	return f, nil
}

// OpenIn opens a socket in the given namespace; the thread stays where it is.
func OpenIn(netns *os.File) (c *Conn, err error) {
	err = within(netns, func() error {
		c, err = Open()
		return err
	})
	return c, err
}

// EnsureSysctlIn is EnsureSysctl in another network namespace.
func EnsureSysctlIn(netns *os.File, key, value string) error {
	return within(netns, func() error { return EnsureSysctl(key, value) })
}

func within(netns *os.File, do func() error) (err error) {
	runtime.LockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("cannot open own network namespace: %w", err)
	}
	defer home.Close()
	if err := unix.Setns(int(netns.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("cannot enter network namespace %s: %w", netns.Name(), err)
	}
	defer func() {
		if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
			// The thread stays locked and ends with its goroutine: nothing else may run in the wrong namespace.
			err = fmt.Errorf("cannot return from network namespace %s: %w", netns.Name(), back)
			return
		}
		runtime.UnlockOSThread()
	}()
	return do()
}

func pathless(err error) error {
	if e, ok := err.(*os.PathError); ok {
		return e.Err
	}
	return err
}

// Sysctl reads one setting of the calling thread's network namespace; key is a path below /proc/sys, as
// "net/ipv4/ip_forward" (slashes, because a link's name may hold a dot).
func Sysctl(key string) (string, error) {
	b, err := os.ReadFile("/proc/sys/" + key)
	if err != nil {
		return "", fmt.Errorf("cannot read sysctl %s: %w", key, pathless(err))
	}
	return strings.TrimSpace(string(b)), nil
}

// EnsureSysctl sets one unless it is so. It reads first: /proc/sys may be read-only where all is well already.
func EnsureSysctl(key, value string) error {
	is, err := Sysctl(key)
	if err != nil || is == value {
		return err
	}
	if err := os.WriteFile("/proc/sys/"+key, []byte(value), 0o644); err != nil {
		return fmt.Errorf("cannot set sysctl %s to %s (it is %s): %w", key, value, is, pathless(err))
	}
	return nil
}

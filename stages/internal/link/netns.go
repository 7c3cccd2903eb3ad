package link

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"unsafe"

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
	fd, err := open(path, unix.O_RDONLY)
	if err != nil {
		return nil, fmt.Errorf("cannot open network namespace %s: %w", path, err)
	}
	return os.NewFile(uintptr(fd), path), nil
}

// open is not os.OpenFile, which would set up the poller for the first file: a process of milliseconds has no use for it.
func open(path string, flags int) (fd int, err error) {
	for {
		fd, err = unix.Open(path, flags|unix.O_CLOEXEC, 0)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// OpenIn opens a socket in the given namespace; the thread stays where it is.
func OpenIn(netns *os.File) (*Conn, error) {
	home, err := open("/proc/thread-self/ns/net", unix.O_RDONLY)
	if err != nil {
		return nil, fmt.Errorf("cannot open own network namespace: %w", err)
	}
	defer unix.Close(home)
	fd, errno := socketIn(netns.Fd(), uintptr(home))
	if errno != 0 {
		return nil, fmt.Errorf("cannot open a netlink socket in network namespace %s: %w", netns.Name(), errno)
	}
	return over(int(fd)), nil
}

// socketIn enters a namespace, makes a socket there, and comes back. Its goroutine stays on its thread meanwhile without
// runtime.LockOSThread, which would make another thread at its first call, for a socket 2 % of a fused ADD: no signal
// interrupts it, so that nobody preempts it, and it calls nothing that might give way by itself (nosplit; raw system
// calls). First it enters the namespace in which it is: who is refused that would be refused the way back.
//
//go:nosplit
//go:norace
func socketIn(netns, home uintptr) (fd uintptr, errno unix.Errno) {
	all, before := ^uint64(0), uint64(0)
	const size = 8
	syscall.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&all)),
		uintptr(unsafe.Pointer(&before)), size, 0, 0)
	if _, _, errno = syscall.RawSyscall(unix.SYS_SETNS, home, unix.CLONE_NEWNET, 0); errno == 0 {
		_, _, errno = syscall.RawSyscall(unix.SYS_SETNS, netns, unix.CLONE_NEWNET, 0)
	}
	if errno == 0 {
		fd, _, errno = syscall.RawSyscall(unix.SYS_SOCKET, unix.AF_NETLINK, socketType, unix.NETLINK_ROUTE)
		back := unix.ENOMEM // all that is left to go wrong
		for back != 0 {
			_, _, back = syscall.RawSyscall(unix.SYS_SETNS, home, unix.CLONE_NEWNET, 0)
		}
	}
	syscall.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&before)), 0, size, 0, 0)
	return fd, errno
}

// EnsureSysctlIn is EnsureSysctl in another network namespace.
func EnsureSysctlIn(netns *os.File, key, value string) error {
	return within(netns, func() error { return EnsureSysctl(key, value) })
}

func within(netns *os.File, do func() error) (err error) {
	runtime.LockOSThread()
	home, err := open("/proc/thread-self/ns/net", unix.O_RDONLY)
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("cannot open own network namespace: %w", err)
	}
	defer unix.Close(home)
	if err := unix.Setns(int(netns.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("cannot enter network namespace %s: %w", netns.Name(), err)
	}
	defer func() {
		if back := unix.Setns(home, unix.CLONE_NEWNET); back != nil {
			// The thread stays locked and ends with its goroutine: nothing else may run in the wrong namespace.
			err = fmt.Errorf("cannot return from network namespace %s: %w", netns.Name(), back)
			return
		}
		runtime.UnlockOSThread()
	}()
	return do()
}

// Sysctl reads one setting of the calling thread's network namespace; key is a path below /proc/sys, as
// "net/ipv4/ip_forward" (slashes, because a link's name may hold a dot).
func Sysctl(key string) (string, error) {
	fd, err := open("/proc/sys/"+key, unix.O_RDONLY)
	if err != nil {
		return "", fmt.Errorf("cannot read sysctl %s: %w", key, err)
	}
	defer unix.Close(fd)
	b := make([]byte, 4096) // the kernel gives all of a setting at once
	n, err := unix.Read(fd, b)
	if err != nil {
		return "", fmt.Errorf("cannot read sysctl %s: %w", key, err)
	}
	return strings.TrimSpace(string(b[:n])), nil
}

// EnsureSysctl sets one unless it is so. It reads first: /proc/sys may be read-only where all is well already.
func EnsureSysctl(key, value string) error {
	is, err := Sysctl(key)
	if err != nil || is == value {
		return err
	}
	fd, err := open("/proc/sys/"+key, unix.O_WRONLY|unix.O_TRUNC)
	if err == nil {
		_, err = unix.Write(fd, []byte(value))
		unix.Close(fd)
	}
	if err != nil {
		return fmt.Errorf("cannot set sysctl %s to %s (it is %s): %w", key, value, is, err)
	}
	return nil
}

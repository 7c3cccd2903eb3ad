package node

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// inside is set in the environment of a program that Enter has started, until it has noticed.
const inside = "ENICHAIN_NODE_INSIDE"

// ErrRefused says that this system gives the user no namespaces: nothing can be tried, and nothing was touched.
var ErrRefused = errors.New("no namespaces for this user")

// Inside says, before Enter, whether this is already the program that Enter has started: what needs the machine's own
// network is done before, once.
func Inside() bool { return os.Getenv(inside) != "" }

// Enter goes on in mount, network and process namespaces of its own, where New may make a node: it runs this program
// again there, with the same arguments, and exits as that does. Inside, it returns at once. An ordinary user gets a
// user namespace around them. The kernel ends everything inside when this process dies, by whatever death.
// Call it first in main or TestMain: what ran before runs twice.
func Enter() error {
	if os.Getenv(inside) != "" {
		os.Unsetenv(inside) // a program that is started in here may want a node of its own
		return settle()
	}
	cmd, err := again()
	if err != nil {
		return fmt.Errorf("cannot make namespaces: %w: %w", ErrRefused, err)
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT)
	go func() {
		for s := range signals {
			cmd.Process.Signal(s)
		}
	}()
	err = cmd.Wait()
	var exit *exec.ExitError
	switch {
	case err == nil:
		os.Exit(0)
	case errors.As(err, &exit) && exit.Exited():
		os.Exit(exit.ExitCode())
	}
	fmt.Fprintln(os.Stderr, "the node's process ended:", err)
	os.Exit(1)
	return nil
}

// again starts this program in namespaces; with a user namespace where it must be.
func again() (cmd *exec.Cmd, err error) {
	runtime.LockOSThread() // never unlocked: the death that the kernel watches for is this thread's
	for _, user := range []bool{os.Geteuid() != 0, true} {
		cmd = exec.Command("/proc/self/exe", os.Args[1:]...)
		cmd.Args[0] = os.Args[0]
		cmd.Env = append(os.Environ(), inside+"=1", "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL,
			Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID,
			// After the user's numbers are mapped: files of a network namespace in /proc belong to its user's root.
			Unshareflags: unix.CLONE_NEWNET}
		if user {
			cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
			cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
			cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
		}
		if err = cmd.Start(); err == nil {
			return cmd, nil
		}
	}
	return nil, err
}

// settle makes the new namespaces usable: mounts that nobody else sees, and the /proc of the new processes.
func settle() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("cannot make the mounts private: %w: %w", ErrRefused, err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("cannot mount /proc (a container that masks parts of it forbids that): %w: %w", ErrRefused, err)
	}
	return nil
}

// Main is a TestMain whose tests make nodes: it enters, and where that is refused the tests themselves say what they need.
func Main(m interface{ Run() int }) {
	if err := Enter(); err != nil && !errors.Is(err, ErrRefused) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

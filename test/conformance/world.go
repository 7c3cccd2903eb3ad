package conformance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// ownFolders are empty at the beginning of each world, so that no plugin sees what another left there, or the machine's.
var ownFolders = []string{"/run", "/var/lib"}

// namespaceFolder is where containers' network namespaces lie, as ip-netns(8) has it.
const namespaceFolder = "/run/netns"

// Enter runs this program again as root of a user namespace, where it is not root already, and exits with its code.
// Where it is root it returns. Call it before anything else.
func Enter() error {
	if os.Geteuid() == 0 {
		return nil
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("cannot find this program: %w", err)
	}
	cmd := exec.Command(self, os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		Pdeathsig:   syscall.SIGKILL,
	}
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return fmt.Errorf("cannot make a user namespace: %w; run it as root, or allow user namespaces", err)
	}
	os.Exit(cmp.Or(cmd.ProcessState.ExitCode(), 0))
	return nil
}

// inWorld runs a trial on a thread with network and mount namespaces of its own. The thread, and with it the world, ends
// with the trial.
func (s *subject) inWorld(ctx context.Context, try func(*trial)) (v verdict, script []string) {
	return s.inside(newTrial(ctx, s), try)
}

func (s *subject) inside(t *trial, try func(*trial)) (v verdict, script []string) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: nothing else may run in this world
		v = t.run(func(t *trial) {
			if err := makeWorld(); err != nil {
				t.skip("cannot make namespaces: %v", err)
			}
			if !t.bare {
				t.prepare()
			}
			try(t)
		})
		script = t.script
		t.leave()
	}()
	<-done
	return v, script
}

// makeWorld gives the calling thread namespaces of its own, folders that are empty, and its own /sys.
func makeWorld() error {
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS | unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("cannot leave the machine's namespaces: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("cannot keep mounts to ourselves: %w", err)
	}
	for _, dir := range ownFolders {
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=755"); err != nil {
			return fmt.Errorf("cannot mount %s: %w", dir, err)
		}
	}
	// Where a user namespace may not mount it the machine's /sys stays, and plugins that read it see no link of ours.
	_ = unix.Mount("sysfs", "/sys", "sysfs", 0, "")
	if err := os.MkdirAll(namespaceFolder, 0o755); err != nil {
		return err
	}
	return loopbackUp()
}

func loopbackUp() error {
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(lo)
	}
	if err != nil {
		return fmt.Errorf("cannot set lo up: %w", err)
	}
	return nil
}

// makeNetns makes a network namespace as "ip netns add" does. The calling thread is back in its own afterwards.
func makeNetns(name string) (string, error) {
	path := filepath.Join(namespaceFolder, name)
	if err := os.WriteFile(path, nil, 0o444); err != nil {
		return "", err
	}
	own, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return "", err
	}
	defer own.Close()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return "", err
	}
	err = errors.Join(loopbackUp(), unix.Mount("/proc/thread-self/ns/net", path, "", unix.MS_BIND, ""))
	return path, errors.Join(err, unix.Setns(int(own.Fd()), unix.CLONE_NEWNET))
}

// removeNetns ends a network namespace as "ip netns del" does.
func removeNetns(path string) error {
	if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
		return err
	}
	return os.Remove(path)
}

// searchPath is where tools are found, also for users whose PATH has no sbin.
func searchPath() string {
	return strings.Join([]string{cmp.Or(os.Getenv("PATH"), "/usr/bin:/bin"), "/usr/local/sbin", "/usr/sbin", "/sbin"}, ":")
}

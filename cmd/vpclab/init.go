package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// initCommand is process 1 of a lab: it starts the holder, inherits and buries whatever loses its parent, and ends
// with the holder. The kernel then ends every other process of the lab, whatever killed the holder.
func initCommand() *cobra.Command {
	return &cobra.Command{Use: "__init DIR", Args: cobra.ExactArgs(1), RunE: func(_ *cobra.Command, args []string) error {
		if os.Getpid() != 1 {
			return fail(exitUsage, "this is a lab's own first process; people run 'vpclab up'")
		}
		if err := ownProc(); err != nil {
			return err
		}
		signals := make(chan os.Signal, 8)
		signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
		holder := exec.Command("/proc/self/exe", "__hold", args[0])
		holder.Stdout, holder.Stderr = os.Stdout, os.Stderr
		holder.ExtraFiles = []*os.File{os.NewFile(3, "ec2"), os.NewFile(4, "control"), os.NewFile(5, "ready")}
		if err := holder.Start(); err != nil {
			return fmt.Errorf("cannot start the lab's holder: %w", err)
		}
		for _, f := range holder.ExtraFiles {
			f.Close()
		}
		go func() {
			for range signals {
				holder.Process.Signal(syscall.SIGTERM)
			}
		}()
		return bury(holder.Process.Pid)
	}}
}

// ownProc mounts what the new process namespace needs, in mounts of its own.
func ownProc() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("cannot make the lab's mounts private: %w; %s", err, refused(true))
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("cannot mount the lab's /proc (a container that masks parts of /proc forbids it): %w", err)
	}
	return nil
}

// bury waits for children, born or inherited, until the holder is among the dead.
func bury(holder int) error {
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return fmt.Errorf("cannot wait for the lab's processes: %w", err)
		case pid == holder && status.ExitStatus() == 0:
			return nil
		case pid == holder:
			return fmt.Errorf("the lab's holder ended: exit status %d, signal %d", status.ExitStatus(), status.Signal())
		}
	}
}

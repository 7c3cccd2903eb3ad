package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// daemon keeps one program of a node running, as systemd would with Restart=always.
type daemon struct {
	node    *labNode
	program string
	args    []string
	env     []string
	logFile string

	mu      sync.Mutex // guards what follows
	pid     int        // 0 while it does not run
	since   time.Time
	starts  int
	down    bool // a fault keeps it dead
	changed chan struct{}
}

// restartAfter is how long a program stays down after it ended (systemd's RestartSec in common units).
const restartAfter = time.Second

// keep runs the program until ctx ends, and then asks it to end (SIGTERM) and waits up to 3 s.
func (d *daemon) keep(ctx context.Context) {
	for ctx.Err() == nil {
		if d.held() {
			select {
			case <-ctx.Done():
			case <-d.changed:
			}
			continue
		}
		if err := d.run(ctx); err != nil {
			d.say("cannot run %s: %v", d.program, err)
		}
		if d.held() {
			continue
		}
		select {
		case <-ctx.Done():
		case <-d.changed: // mended: at once
		case <-time.After(restartAfter):
		}
	}
}

func (d *daemon) run(ctx context.Context) error {
	log, err := os.OpenFile(d.logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := d.node.node.Command(ctx, d.program, d.args...)
	cmd.Env, cmd.Dir = d.env, "/"
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 3 * time.Second
	if err := cmd.Start(); err != nil { // nsenter becomes the program: its process is the daemon's
		return err
	}
	d.mu.Lock()
	d.pid, d.since, d.starts = cmd.Process.Pid, time.Now(), d.starts+1
	d.mu.Unlock()
	err = cmd.Wait()
	d.mu.Lock()
	d.pid = 0
	d.mu.Unlock()
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("it ended: %w", err)
}

func (d *daemon) held() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.down
}

// kill ends the program as kill -9 does; it stays dead until mend.
func (d *daemon) kill() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.down = true
	if d.pid == 0 {
		return nil
	}
	return syscall.Kill(d.pid, syscall.SIGKILL)
}

// mend lets the program run again.
func (d *daemon) mend() {
	d.mu.Lock()
	d.down = false
	d.mu.Unlock()
	select {
	case d.changed <- struct{}{}:
	default:
	}
}

// status is for people.
func (d *daemon) status() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.down:
		return "killed"
	case d.pid == 0:
		return "down"
	}
	return "up " + time.Since(d.since).Round(time.Second).String()
}

func (d *daemon) say(format string, args ...any) {
	f, err := os.OpenFile(d.logFile, os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return
	}
	defer f.Close()
	fmt.Fprintf(f, "vpclab: "+format+"\n", args...)
}

// startDaemons writes each node's configuration and starts its enichaind.
func (h *holder) startDaemons(ctx context.Context, running *sync.WaitGroup) error {
	program := filepath.Join(binDir(), "enichaind")
	if _, err := os.Stat(program); err != nil {
		return fmt.Errorf("enichaind is not beside vpclab (%w): run 'make build', or use --no-daemons", err)
	}
	if err := h.makeKeys(); err != nil {
		return err
	}
	for _, n := range h.all(roleControl, roleNode) {
		if err := h.configure(n); err != nil {
			return fmt.Errorf("cannot configure %s: %w", n.name, err)
		}
		n.daemon = &daemon{node: n, program: program, args: []string{"--config", "/etc/enichain/enichaind.yaml"},
			env: h.daemonEnv(n), logFile: filepath.Join(h.dir, "log", n.name+".log"), changed: make(chan struct{}, 1)}
		running.Go(func() { n.daemon.keep(ctx) })
	}
	return nil
}

// binDir is the folder of this program: the stages, cnitool and upstream's plugins lie beside it.
func binDir() string {
	self, err := os.Executable()
	if err != nil {
		return "/opt/cni/bin"
	}
	return filepath.Dir(self)
}

// Package trace counts what a program asks of the kernel: its system calls, and which of its netlink messages ask for a
// dump. It is a small tracer (ptrace(2)) of one program and all that it starts; the program's own time means nothing then.
package trace

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Counts is what was seen.
type Counts struct {
	Calls     map[string]int // system calls, by name or "syscall N"
	Dumps     []string       // messages that ask for all objects of a kind, in order, such as "RTM_GETLINK"
	Messages  int            // netlink messages sent
	Processes int            // that were started, the first included
}

// Add sums up.
func (c *Counts) Add(more Counts) {
	if c.Calls == nil {
		c.Calls = map[string]int{}
	}
	for name, n := range more.Calls {
		c.Calls[name] += n
	}
	c.Dumps = append(c.Dumps, more.Dumps...)
	c.Messages += more.Messages
	c.Processes += more.Processes
}

// Total is the number of system calls.
func (c Counts) Total() (n int) {
	for _, k := range c.Calls {
		n += k
	}
	return n
}

// Exec runs plugins for libcni under the tracer (it is an invoke.RawExec but for its name).
type Exec struct{ Seen Counts }

// ExecPlugin runs one to its end and returns what it wrote.
func (e *Exec) ExecPlugin(ctx context.Context, path string, stdin []byte, env []string) ([]byte, error) {
	in, err := os.CreateTemp("", "enichain-trace-")
	if err != nil {
		return nil, err
	}
	defer os.Remove(in.Name())
	defer in.Close()
	if _, err := in.Write(stdin); err != nil {
		return nil, err
	}
	if _, err := in.Seek(0, 0); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	counts, err := Run(ctx, path, env, in, &out)
	e.Seen.Add(counts)
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, out.String())
	}
	return out.Bytes(), nil
}

// Run starts a program with an environment, waits for it and says what it and its children asked of the kernel.
func Run(ctx context.Context, path string, env []string, in *os.File, out *bytes.Buffer) (Counts, error) {
	runtime.LockOSThread() // the tracer is a thread
	defer runtime.UnlockOSThread()
	r, w, err := os.Pipe()
	if err != nil {
		return Counts{}, err
	}
	defer r.Close()
	cmd := exec.CommandContext(ctx, path)
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = env, in, w, w
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	err = cmd.Start()
	w.Close()
	if err != nil {
		return Counts{}, fmt.Errorf("cannot start %s: %w", path, err)
	}
	read := make(chan struct{})
	go func() { out.ReadFrom(r); close(read) }()
	t := tracer{first: cmd.Process.Pid, counts: Counts{Calls: map[string]int{}, Processes: 1}, inside: map[int]int{}, sockets: map[int]map[int]int{}, making: map[int]int{}}
	err = t.follow()
	cmd.Process.Release() // it was waited for
	<-read
	return t.counts, err
}

type tracer struct {
	first   int
	counts  Counts
	inside  map[int]int         // threads that are known, and the process of each
	sockets map[int]map[int]int // by process and file: the family of a netlink socket
	making  map[int]int         // threads in a call for such a socket: the family
}

const options = unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_TRACEFORK | unix.PTRACE_O_TRACEVFORK |
	unix.PTRACE_O_TRACEEXEC | unix.PTRACE_O_EXITKILL

// follow lets all threads run from stop to stop until the last has ended, and returns how the first process ended.
func (t *tracer) follow() (ended error) {
	var status unix.WaitStatus
	if _, err := unix.Wait4(t.first, &status, 0, nil); err != nil {
		return fmt.Errorf("cannot wait for it to start: %w", err)
	}
	if err := unix.PtraceSetOptions(t.first, options); err != nil {
		return fmt.Errorf("cannot trace: %w", err)
	}
	t.inside[t.first] = t.first
	if err := unix.PtraceSyscall(t.first, 0); err != nil {
		return fmt.Errorf("cannot trace: %w", err)
	}
	for len(t.inside) > 0 {
		pid, err := unix.Wait4(-1, &status, unix.WALL|unix.WNOTHREAD, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("cannot wait: %w", err)
		}
		if status.Exited() || status.Signaled() {
			delete(t.inside, pid)
			if pid == t.first && (status.Signaled() || status.ExitStatus() != 0) {
				ended = fmt.Errorf("it ended with status %#x", int(status))
			}
			continue
		}
		signal := t.stopped(pid, status)
		if err := unix.PtraceSyscall(pid, signal); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("cannot go on: %w", err)
		}
	}
	return ended
}

// stopped looks at a stopped thread and says which signal it is to get.
func (t *tracer) stopped(pid int, status unix.WaitStatus) (signal int) {
	_, known := t.inside[pid]
	if !known {
		t.inside[pid] = process(pid)
	}
	switch s := status.StopSignal(); {
	case s == unix.SIGTRAP|0x80:
		t.call(pid)
		return 0
	case s == unix.SIGTRAP && status.TrapCause() > 0:
		if c := status.TrapCause(); c == unix.PTRACE_EVENT_FORK || c == unix.PTRACE_EVENT_VFORK {
			t.counts.Processes++
		}
		return 0
	case s == unix.SIGSTOP && !known: // a new thread starts with it
		return 0
	default:
		return int(s)
	}
}

// process of a thread; the thread itself if it ended meanwhile.
func process(thread int) int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", thread))
	if _, after, ok := strings.Cut(string(text), "\nTgid:"); err == nil && ok {
		var group int
		if _, err := fmt.Sscan(after, &group); err == nil {
			return group
		}
	}
	return thread
}

// syscallInfo is struct ptrace_syscall_info of linux/ptrace.h. At the exit of a call its value stands where at the entry
// its number does.
type syscallInfo struct {
	op   uint8
	_    [3]byte
	arch uint32
	_    [2]uint64 // instruction and stack pointers
	nr   uint64
	args [6]uint64
	_    [2]uint64
}

const atEntry, atExit = 1, 2 // PTRACE_SYSCALL_INFO_

func (t *tracer) call(pid int) {
	var info syscallInfo
	_, _, e := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_GET_SYSCALL_INFO, uintptr(pid), unsafe.Sizeof(info),
		uintptr(unsafe.Pointer(&info)), 0, 0)
	if e == 0 && info.op == atExit {
		t.made(pid, int64(info.nr))
	}
	if e != 0 || info.op != atEntry {
		return
	}
	name, ok := names[info.nr]
	if !ok {
		name = fmt.Sprintf("syscall %d", info.nr)
	}
	t.counts.Calls[name]++
	fd := int(info.args[0])
	switch info.nr {
	case unix.SYS_SOCKET:
		if fd == unix.AF_NETLINK { // the first argument is the domain here
			t.making[pid] = int(info.args[2])
		}
	case unix.SYS_CLOSE:
		delete(t.sockets[t.inside[pid]], fd)
	case unix.SYS_SENDTO, unix.SYS_WRITE:
		t.sent(pid, fd, info.args[1], info.args[2])
	case unix.SYS_SENDMSG:
		t.sentVector(pid, fd, info.args[1])
	}
}

// made notes the netlink socket that a call has made.
func (t *tracer) made(pid int, fd int64) {
	family, ok := t.making[pid]
	delete(t.making, pid)
	if !ok || fd < 0 {
		return
	}
	process := t.inside[pid]
	if t.sockets[process] == nil {
		t.sockets[process] = map[int]int{}
	}
	t.sockets[process][int(fd)] = family
}

package portmapcompat

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"time"

	goiptables "github.com/coreos/go-iptables/iptables"
	"golang.org/x/sys/unix"

	"github.com/enichain/enichain/stages/internal/nft"
)

// lockWait bounds the wait for the lock that all users of iptables share, /run/xtables.lock; seconds. kube-proxy with
// many services holds it for seconds.
const lockWait = 20

// program is iptables or ip6tables, or one of its two variants by name. Every call is a process, so what can be said in one
// is: iptables-restore does a whole script or nothing of it. For looking, go-iptables is used.
type program struct {
	family nft.Family
	path   string // of iptables itself; iptables-restore lies beside it
}

// errNoProgram says that a variant is not installed.
var errNoProgram = errors.New("is not installed")

// variants are the ways to one family's table nat: the node's own iptables first, whichever it is, then each by name.
func variants(f nft.Family) []string {
	name := "iptables"
	if f == nft.IPv6 {
		name = "ip6tables"
	}
	return []string{name, name + "-nft", name + "-legacy"}
}

// find looks for a program where runtimes' short PATH does not lead, too.
func find(f nft.Family, name string) (program, error) {
	for _, path := range []string{name, "/usr/sbin/" + name, "/sbin/" + name} {
		if found, err := exec.LookPath(path); err == nil {
			return program{family: f, path: found}, nil
		}
	}
	return program{}, fmt.Errorf("the program %s %w", name, errNoProgram)
}

func ours(f nft.Family) (program, error) { return find(f, variants(f)[0]) }

// cannotReach says whether the program is known to be of the other variant than what is looked for; a wrapper in its place
// tells nothing.
func (p program) cannotReach(at presence) bool {
	real, err := filepath.EvalSymlinks(p.path)
	if err != nil {
		return false
	}
	base := filepath.Base(real)
	return strings.Contains(base, "legacy") && !at.legacy || strings.Contains(base, "nft") && !at.nft
}

// handle is go-iptables' way to the program; it asks the program for its version first.
func (p program) handle() (*goiptables.IPTables, error) {
	protocol := goiptables.ProtocolIPv4
	if p.family == nft.IPv6 {
		protocol = goiptables.ProtocolIPv6
	}
	h, err := goiptables.New(goiptables.IPFamily(protocol), goiptables.Path(p.path), goiptables.Timeout(lockWait))
	if err != nil {
		return nil, fmt.Errorf("cannot use %s: %w", p.path, err)
	}
	return h, nil
}

// refusal is what iptables-restore did not do, and why.
type refusal struct {
	program string
	exit    int    // 1: the kernel or a rule's absence, 2: a word, 4: the kernel, or the lock
	locked  bool   // somebody else has the lock
	said    string // its own words, in one line
	text    string // the command it stopped at, "" where it did not say
}

// Error is what it said, and at which command.
func (r *refusal) Error() string {
	if r.text != "" {
		return fmt.Sprintf("%s refused %q: %s", r.program, r.text, r.said)
	}
	return r.program + " failed: " + r.said
}

// passing says whether somebody's change in the meantime may be the reason, so that a script for what is there now may do.
func (r *refusal) passing() bool { return r.exit != 2 && !r.locked }

// restore does all commands of a script or none. One of -C alone changes nothing.
//
// The process dies with this one: a stage that was killed in the middle of ADD must not have a rule appear after the
// DEL that follows.
func (p program) restore(ctx context.Context, s string) error {
	cmd := exec.CommandContext(ctx, p.path+"-restore", "--noflush", fmt.Sprintf("--wait=%d", lockWait))
	cmd.Stdin = strings.NewReader(s)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	runtime.LockOSThread() // the signal is the thread's death
	out, err := cmd.CombinedOutput()
	runtime.UnlockOSThread()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("%s-restore was ended: %w", p.path, ctx.Err())
	case !errors.As(err, &exit):
		return err
	}
	return refused(filepath.Base(p.path)+"-restore", exit.ExitCode(), string(out), s)
}

func refused(name string, exit int, out, s string) *refusal {
	r := &refusal{program: name, exit: exit}
	at := 0
	if m := regexp.MustCompile(`[Ll]ine:? ([0-9]+)`).FindStringSubmatch(out); m != nil {
		fmt.Sscan(m[1], &at)
	}
	lines := strings.Split(s, "\n")
	if at >= 1 && at <= len(lines) {
		r.text = lines[at-1]
	}
	var said []string
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "Try `") && !strings.HasPrefix(line, "Error occurred") &&
			!strings.HasPrefix(line, "Another app") {
			said = append(said, line)
		}
	}
	r.said = strings.Join(said, "; ")
	if r.locked = exit == 4 && strings.Contains(out, "xtables lock"); r.locked {
		r.said = fmt.Sprintf("another program has held /run/xtables.lock for %d s", lockWait)
	}
	return r
}

// usable asks whether iptables works here at all: the program, the kernel behind it, and the table.
func usable(ctx context.Context, f nft.Family) error {
	p, err := ours(f)
	if err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, p.path, "-w", "1", "-t", "nat", "-S", "OUTPUT").CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if exit.ExitCode() == 4 && !bytes.Contains(out, []byte("denied")) || ctx.Err() != nil {
			return nil // somebody has the lock: that passes
		}
		return refused(p.path, exit.ExitCode(), string(out), "")
	}
	return err
}

// alone runs f while no other process of this stage is in it, in this network namespace. The lock is on the namespace
// itself, so it leaves no file behind and ends with its holder.
func alone(ctx context.Context, f func() error) error {
	namespace, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return fmt.Errorf("cannot lock the network namespace: %w", err)
	}
	defer namespace.Close()
	waiting, stop := context.WithTimeout(ctx, lockWait*time.Second)
	defer stop()
	for {
		err := unix.Flock(int(namespace.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return f()
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("cannot lock the network namespace: %w", err)
		}
		select {
		case <-waiting.Done():
			return fmt.Errorf("another portmap-compat has not ended changing iptables: %w", waiting.Err())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

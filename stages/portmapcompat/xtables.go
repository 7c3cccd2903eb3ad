package portmapcompat

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/enichain/enichain/stages/internal/nft"
)

// lockWait bounds the wait for the lock that all users of iptables share, /run/xtables.lock; seconds. kube-proxy with
// many services holds it for seconds.
const lockWait = 20

// program is iptables or ip6tables, or one of its two variants by name. Every call is a process, so what can be said in one
// is: iptables-restore does a whole script or nothing of it.
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

// complaint is what iptables itself did not do. It says so by its exit, too: 1 is that something is not there.
type complaint struct {
	args []string
	exit int
	said string
}

// Error is the command and what it said.
func (c *complaint) Error() string {
	return fmt.Sprintf("%s: exit status %d: %s", strings.Join(c.args, " "), c.exit, c.said)
}

// absent says whether the chain, or what the rule names, is not there.
func (c *complaint) absent() bool {
	if c.exit == 1 {
		return true
	}
	for _, words := range []string{"No chain/target/match by that name", "No such file or directory", "does not exist"} {
		if strings.Contains(c.said, words) {
			return true
		}
	}
	return false
}

// look runs one command of iptables that changes nothing, and returns what it prints. *complaint is its refusal.
//
// Not go-iptables, which links regexp and asks for the program's version first, a process more (2026-12). What it does
// for versions before 1.6.2 is of no use here: restore needs that one.
func (p program) look(args ...string) (string, error) {
	args = append([]string{"-t", "nat"}, append(args, "--wait", fmt.Sprint(lockWait))...)
	cmd := exec.Command(p.path, args...)
	var out, said strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &said
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return "", &complaint{cmd.Args, exit.ExitCode(), strings.TrimSpace(said.String())}
	}
	return out.String(), err
}

// list is a chain's rules; ok is false where the chain is not there.
func (p program) list(chain string) (all []listed, ok bool, err error) {
	out, err := p.look("-S", chain)
	var not *complaint
	if errors.As(err, &not) && not.absent() {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	return parseRules(strings.Split(out, "\n")), true, nil
}

// has says whether a chain has a rule.
func (p program) has(chain string, rule []string) (bool, error) {
	_, err := p.look(append([]string{"-C", chain}, rule...)...)
	return found(err)
}

// hasChain says whether the chain is there; it asks for its first rule alone.
func (p program) hasChain(chain string) (bool, error) {
	_, err := p.look("-S", chain, "1")
	return found(err)
}

func found(err error) (bool, error) {
	var not *complaint
	if errors.As(err, &not) && not.exit == 1 {
		return false, nil
	}
	return err == nil, err
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
	at := lineIn(out)
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

// lineIn is the number behind the first "line", "line:" or "Line" that has one; 0 where none has.
func lineIn(text string) int {
	for at := 0; ; {
		i := strings.Index(text[at:], "ine")
		if i < 0 {
			return 0
		}
		at += i + len("ine")
		if i = at - len("line"); i < 0 || text[i] != 'l' && text[i] != 'L' {
			continue
		}
		digits, ok := strings.CutPrefix(strings.TrimPrefix(text[at:], ":"), " ")
		end := strings.IndexFunc(digits, func(c rune) bool { return c < '0' || c > '9' })
		if end < 0 {
			end = len(digits)
		}
		if n, err := strconv.Atoi(digits[:end]); ok && err == nil {
			return n
		}
	}
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

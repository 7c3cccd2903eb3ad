package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// object is a JSON object.
type object = map[string]any

// call is one run of the plugin.
type call struct {
	t     *trial
	verb  string
	a     attachment
	conf  object
	stdin *string           // instead of conf
	env   map[string]string // the whole environment
	hold  bool              // standard input stays open
	aside bool              // it runs beside others: the shell line ends in &
	later int               // seconds by which the plugin's clock is ahead: a time namespace
}

// call makes the call that a runtime would make.
func (t *trial) call(verb string, a attachment) *call {
	c := &call{t: t, verb: verb, a: a, env: map[string]string{"PATH": searchPath(), "CNI_COMMAND": verb, "CNI_PATH": t.s.path}}
	if verb == "VERSION" {
		c.conf = object{"cniVersion": "1.0.0"}
		return c
	}
	c.conf = object{"cniVersion": t.version, "name": network, "type": t.p.Plugin}
	maps.Copy(c.conf, expand(t.p.Config, a))
	if verb == "GC" || verb == "STATUS" {
		return c
	}
	c.env["CNI_CONTAINERID"], c.env["CNI_NETNS"], c.env["CNI_IFNAME"] = a.container, a.netns, a.ifname
	if t.p.RuntimeConfig != nil {
		c.conf["runtimeConfig"] = expand(t.p.RuntimeConfig, a)
	}
	if prev := t.prevResult(a); prev != nil {
		c.conf["prevResult"] = prev
	}
	return c
}

// set puts a member into the configuration; nil takes it out.
func (c *call) set(key string, value any) *call {
	c.conf = maps.Clone(c.conf)
	if c.conf[key] = value; value == nil {
		delete(c.conf, key)
	}
	return c
}

// over puts all members of an object into the configuration.
func (c *call) over(o object) *call {
	for k, v := range o {
		c.set(k, v)
	}
	return c
}

// let sets a variable of the environment; "-" takes it out.
func (c *call) let(name, value string) *call {
	if c.env[name] = value; value == "-" {
		delete(c.env, name)
	}
	return c
}

// text gives standard input as it is.
func (c *call) text(stdin string) *call {
	c.stdin = &stdin
	return c
}

func (c *call) input() string {
	if c.stdin != nil {
		return *c.stdin
	}
	text, err := json.Marshal(c.conf)
	if err != nil {
		panic(err) // a trial that cannot be
	}
	return string(text)
}

// line is the call as a shell line.
func (c *call) line() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(c.env)) {
		if name != "PATH" || c.env[name] != searchPath() {
			fmt.Fprintf(&b, "%s=%s ", name, quoted(c.env[name]))
		}
	}
	for _, word := range c.words() {
		b.WriteString(quoted(word) + " ")
	}
	if c.hold {
		return "sleep 30 | " + b.String()
	}
	return b.String() + "<<< " + quoted(c.input())
}

// words is the command line.
func (c *call) words() []string {
	if c.later == 0 {
		return []string{c.t.s.binary}
	}
	ahead := strconv.Itoa(c.later)
	return []string{"unshare", "--time", "--boottime", ahead, "--monotonic", ahead, c.t.s.binary}
}

// process is a call under way.
type process struct {
	c              *call
	cmd            *exec.Cmd
	stdout, stderr bytes.Buffer
	began          time.Time
	ended          context.CancelFunc
	late           context.Context
	held           []io.Closer // both ends of a standard input that stays open
}

// start starts the call on this thread, in whose namespaces it runs.
func (c *call) start() *process {
	if line := c.line(); c.aside {
		c.t.note(line + " &")
	} else {
		c.t.note(line)
	}
	p := &process{c: c, began: time.Now()}
	p.late, p.ended = context.WithTimeout(c.t.ctx, callLimit)
	words := c.words()
	p.cmd = exec.CommandContext(p.late, words[0], words[1:]...)
	p.cmd.Env = []string{}
	for _, name := range slices.Sorted(maps.Keys(c.env)) {
		p.cmd.Env = append(p.cmd.Env, name+"="+c.env[name])
	}
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = strings.NewReader(c.input()), &p.stdout, &p.stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	p.cmd.WaitDelay = time.Second // a daemon that the plugin left keeps the pipes open
	p.cmd.Cancel = func() error { return syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) }
	if c.hold {
		r, w, err := os.Pipe()
		if err != nil {
			c.t.skip("cannot make a pipe: %v", err)
		}
		p.cmd.Stdin, p.held = r, []io.Closer{r, w}
	}
	if err := p.cmd.Start(); err != nil {
		p.ended()
		c.t.skip("cannot run the plugin: %v", err)
	}
	c.t.groups = append(c.t.groups, p.cmd.Process.Pid)
	return p
}

// wait is the answer.
func (p *process) wait() answer {
	err := p.cmd.Wait()
	for _, f := range p.held {
		_ = f.Close()
	}
	return p.answer(err)
}

func (p *process) answer(err error) answer {
	defer p.ended()
	a := answer{took: time.Since(p.began), stdout: p.stdout.String(), stderr: p.stderr.String(), hung: errors.Is(p.late.Err(), context.DeadlineExceeded)}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && !errors.Is(err, exec.ErrWaitDelay) {
		a.exit = -1
		a.stderr += err.Error()
		return a
	}
	a.exit = p.cmd.ProcessState.ExitCode()
	if status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		a.signal = status.Signal()
	}
	a.read(p.c.verb)
	return a
}

// within is the answer of a call that is taken for hanging sooner than others.
func (p *process) within(limit time.Duration) answer {
	timer := time.AfterFunc(limit, p.ended)
	defer timer.Stop()
	a := p.wait()
	a.hung = a.hung || a.took >= limit
	return a
}

// run is the whole call.
func (c *call) run() answer { return c.start().wait() }

// answer is what came back.
type answer struct {
	exit           int // -1: killed by a signal
	signal         syscall.Signal
	hung           bool
	stdout, stderr string
	took           time.Duration
	out            object // stdout, where it is one JSON object
	fault          fault  // where out is an error object
	refused        bool   // exit code or stdout say that it failed
}

// fault is the error object of the specification, section 5.
type fault struct {
	code    float64
	numeric bool
	msg     string
	details string
}

func (a *answer) read(verb string) {
	decoder := json.NewDecoder(strings.NewReader(a.stdout))
	for decoder.More() { // the last object counts: a result may stand before an error
		var o object
		if decoder.Decode(&o) != nil {
			break
		}
		a.out = o
	}
	_, code := a.out["code"]
	_, ips := a.out["ips"]
	if a.refused = a.exit != 0; code && !ips {
		a.refused = true
		a.fault.code, a.fault.numeric = a.out["code"].(float64)
		a.fault.msg, _ = a.out["msg"].(string)
		a.fault.details, _ = a.out["details"].(string)
	}
}

// says is how a report shows an answer.
func (a answer) says() string {
	switch {
	case a.hung:
		return fmt.Sprintf("no answer within %s", callLimit)
	case a.signal != 0:
		return fmt.Sprintf("killed by %v; stderr: %s", a.signal, oneLine(a.stderr))
	}
	s := fmt.Sprintf("exit %d, stdout: %s", a.exit, brief(a.stdout))
	if a.stdout == "" || strings.Contains(a.stderr, "panic") {
		s += "; stderr: " + brief(a.stderr)
	}
	return s
}

func brief(s string) string {
	if s = oneLine(s); s == "" {
		return "nothing"
	}
	return s
}

// quoted makes a shell word.
func quoted(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-:=,+") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

package conformance

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os/exec"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	// trialLimit is how long one assertion may take. The slowest, fifty ADDs at once of a plugin that forks iptables,
	// takes seconds.
	trialLimit = 90 * time.Second
	// callLimit is how long one call may take before it is killed and taken for hanging.
	callLimit = 20 * time.Second
	// network is the name of the network that every call is about.
	network = "conformance"
)

// trial is one assertion being tried, in a world of its own. It writes down each step as a shell line, so that a failure
// can be seen by hand.
type trial struct {
	ctx     context.Context
	cancel  context.CancelFunc
	s       *subject
	p       *Profile
	version string // of the configuration; the newest that the plugin speaks
	script  []string
	made    []attachment
	count   int   // of attachments so far, those that are gone, too
	bare    bool  // the profile's shell lines are not run: somebody types them
	spying  *spy  // the suite's IPAM plugin, where it is in this world
	groups  []int // process groups of the calls, ended with the world
}

func newTrial(ctx context.Context, s *subject) *trial {
	t := &trial{s: s, p: s.profile}
	t.ctx, t.cancel = context.WithTimeout(ctx, trialLimit)
	if len(s.versions) > 0 {
		t.version = s.versions[len(s.versions)-1]
	}
	return t
}

// run tries and says how it ended.
func (t *trial) run(try func(*trial)) (v verdict) {
	defer func() {
		switch r := recover().(type) {
		case nil:
			v = verdict{outcome: Passed}
			if err := t.ctx.Err(); err != nil {
				v = verdict{outcome: NotRun, why: "it took longer than " + trialLimit.String()}
			}
		case verdict:
			v = r
		default:
			v = verdict{outcome: NotRun, why: fmt.Sprintf("the suite broke down: %v\n%s", r, debug.Stack())}
		}
	}()
	try(t)
	return
}

// leave ends what calls may have left running.
func (t *trial) leave() {
	t.cancel()
	for _, group := range t.groups {
		_ = syscall.Kill(-group, syscall.SIGKILL)
	}
}

// expect ends the trial as failed unless ok.
func (t *trial) expect(ok bool, expected, seen string, args ...any) {
	if !ok {
		panic(verdict{outcome: Failed, expected: expected, seen: fmt.Sprintf(seen, args...)})
	}
}

// skip ends the trial as not run.
func (t *trial) skip(why string, args ...any) {
	panic(verdict{outcome: NotRun, why: fmt.Sprintf(why, args...)})
}

// sh runs a shell line of the profile or the suite on the node and returns what it printed; a failure ends the trial.
func (t *trial) sh(line string, vars ...string) string {
	out, err := t.shell(line, vars...)
	if err != nil {
		t.skip("cannot prepare: %s: %v: %s", line, err, out)
	}
	return out
}

// shell is sh for lines that may fail.
func (t *trial) shell(line string, vars ...string) (string, error) {
	t.note(line, vars...)
	return t.quiet(line, vars...)
}

// quiet runs a line that nobody has to repeat by hand.
func (t *trial) quiet(line string, vars ...string) (string, error) {
	cmd := exec.CommandContext(t.ctx, "sh", "-c", line)
	cmd.Env = append([]string{"PATH=" + searchPath()}, vars...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return strings.TrimRight(out.String(), "\n"), err
}

// note writes a line into the script, with its variables filled in.
func (t *trial) note(line string, vars ...string) {
	t.script = append(t.script, expandLine(line, vars))
}

// attachment is one container's interface in the network.
type attachment struct {
	container, netns, ifname string
	n                        int // 1.. in the order in which they are made
}

// attach makes a container and whatever the profile says that it has before ADD.
func (t *trial) attach() attachment {
	t.count++
	name := fmt.Sprintf("c%d", t.count)
	path, err := makeNetns(name)
	if err != nil {
		t.skip("cannot make a network namespace: %v", err)
	}
	t.note(fmt.Sprintf("ip netns add %s && ip -n %s link set lo up", name, name))
	return t.furnish(attachment{container: name, netns: path, ifname: cmp.Or(t.p.IfName, "eth0"), n: t.count})
}

// second is another interface of the same container.
func (t *trial) second(a attachment, ifname string) attachment {
	t.count++
	a.ifname, a.n = ifname, t.count
	return t.furnish(a)
}

func (t *trial) furnish(a attachment) attachment {
	t.made = append(t.made, a)
	for _, line := range t.p.containerLines() {
		t.sh(line, a.vars()...)
	}
	return a
}

// forget ends the container's network namespace.
func (t *trial) forget(a attachment) attachment {
	t.note("ip netns del " + a.container)
	if err := removeNetns(a.netns); err != nil {
		t.skip("cannot remove the network namespace: %v", err)
	}
	t.made = slices.DeleteFunc(t.made, func(b attachment) bool { return a.container == b.container })
	return a
}

// prepare makes the node as the profile wants it.
func (t *trial) prepare() {
	for _, n := range t.p.Needs {
		if out, err := t.quiet(n.Run); err != nil {
			t.skip("%s", strings.TrimSuffix(n.Why+": "+oneLine(out), ": "))
		}
	}
	t.node()
	for _, line := range t.p.Node {
		t.sh(line)
	}
}

// node makes what the profile's world stands for.
func (t *trial) node() {
	if t.p.prepare == nil {
		return
	}
	if err := t.p.prepare(t.ctx); err != nil {
		t.skip("cannot prepare the node: %v", err)
	}
}

// speaks says whether the plugin speaks a version.
func (t *trial) speaks(version string) bool { return slices.Contains(t.s.versions, version) }

// at sets the version of the configuration, or skips where the plugin does not speak it.
func (t *trial) at(version string) {
	if !t.speaks(version) {
		t.skip("the plugin does not speak %s", version)
	}
	t.version = version
}

// each runs a part of a trial for every version from the oldest one that is given.
func (t *trial) each(from string, part func()) {
	ran := false
	for _, v := range t.s.versions {
		if older(v, from) {
			continue
		}
		ran, t.version = true, v
		part()
	}
	if !ran {
		t.skip("the plugin speaks no version from %s on", from)
	}
}

// oneLine makes a text fit for one line of a report.
func oneLine(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > 300 {
		s = s[:300] + "…"
	}
	return s
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/enichain/enichain/test/lab/fabric"
	"github.com/enichain/enichain/test/lab/vpc"
)

// demoName is the lab that the demo makes.
const demoName = "demo"

func demoCommand(o *options) *cobra.Command {
	var keep bool
	c := &cobra.Command{
		Use:   "demo",
		Short: "A VPC, two nodes, pods, accidents; leaves nothing behind (what 'make demo' runs)",
		Long: `Makes a lab, puts pods into it, breaks things and looks. Every line is what happened. Exit codes: 0 all was as it should
be; 1 something was not: it is marked with ✗.`,
		Example: "  vpclab demo\n  vpclab demo --keep; vpclab shell node-1",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			d := &demo{out: c.OutOrStdout(), options: o, began: time.Now()}
			return d.run(c.Context(), keep)
		},
	}
	c.Flags().BoolVar(&keep, "keep", false, "leave the lab up")
	return c
}

// demo is one run.
type demo struct {
	out     io.Writer
	options *options
	state   *state
	view    view
	began   time.Time
	step    int
	checks  int
	failed  int

	before map[string]string // what each node's kernel looked like before the first pod
}

// run makes the lab, tells the story, and takes the lab away whatever happened.
func (d *demo) run(ctx context.Context, keep bool) error {
	p, err := loadPlan("demo")
	if err != nil {
		return err
	}
	if d.state, err = makeState(demoName); err != nil {
		return fail(exitBlind, "%w", err)
	}
	err = d.story(ctx, p)
	if errors.Is(err, context.Canceled) {
		err = fail(exitWrong, "interrupted")
	}
	if err != nil {
		d.logs()
	}
	if keep {
		fmt.Fprintf(d.out, "\n The lab stays: vpclab shell node-1 --lab %s; vpclab down --lab %s\n", demoName, demoName)
	} else {
		err = errors.Join(err, d.end())
	}
	if err != nil {
		return err
	}
	if d.failed > 0 {
		return fail(exitWrong, "%d of %d checks failed", d.failed, d.checks)
	}
	return nil
}

// story is the chapters in order. An error ends it; a check that fails does not.
func (d *demo) story(ctx context.Context, p plan) error {
	for _, chapter := range []func(context.Context) error{
		func(ctx context.Context) error { return d.makeLab(ctx, p) },
		d.byHand,
		d.onePod,
		d.burst,
		d.reachability,
		d.services,
		d.deadDaemons,
		d.flushedRules,
		d.fullSubnet,
		d.otherStage,
		d.emptied,
	} {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := chapter(ctx); err != nil {
			return fail(exitWrong, "the demo stops here: %w", err)
		}
	}
	return nil
}

// chapter prints a heading and the command that does the same by hand.
func (d *demo) chapter(title, command string) {
	d.step++
	fmt.Fprintf(d.out, "\n%2d  %-66s %s\n", d.step, title, command)
}

// say prints a line of the story.
func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.out, "    "+format+"\n", args...) }

// check prints what was found, marked by whether it is as it should be.
func (d *demo) check(ok bool, format string, args ...any) {
	d.checks++
	mark := "✓"
	if !ok {
		d.failed++
		mark = "✗"
	}
	fmt.Fprintf(d.out, "  %s "+format+"\n", append([]any{mark}, args...)...)
}

// in runs a command inside a machine and returns what it printed.
func (d *demo) in(ctx context.Context, machine, program string, args ...string) (string, error) {
	n, err := d.view.node(machine)
	if err != nil {
		return "", err
	}
	var words strings.Builder
	cmd := d.state.command(ctx, n, surroundings(), program, args...)
	cmd.Stderr = &words
	out, err := cmd.Output()
	if err != nil {
		return string(out), fmt.Errorf("%s: %s %s: %w: %s", machine, program, strings.Join(args, " "), err,
			strings.TrimSpace(words.String()))
	}
	return strings.TrimSpace(string(out)), nil
}

// sh runs a line of shell inside a machine.
func (d *demo) sh(ctx context.Context, machine, line string) (string, error) {
	return d.in(ctx, machine, "sh", "-c", line)
}

// inside runs a verb of insideCommand in a machine and reads its answer.
func (d *demo) inside(ctx context.Context, machine, verb string, answer any) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	out, err := d.in(ctx, machine, self, "__inside", verb, machine)
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(out), answer); err != nil {
		return fmt.Errorf("cannot read the %s of %s: %w", verb, machine, err)
	}
	return nil
}

// pool reads a node's pool file.
func (d *demo) pool(ctx context.Context, node string) (p poolView, err error) {
	return p, d.inside(ctx, node, "pool", &p)
}

// nodeLine draws one node's pool.
func (d *demo) nodeLine(ctx context.Context, node string) error {
	n, err := d.view.node(node)
	if err != nil {
		return err
	}
	p, err := d.pool(ctx, node)
	if err != nil {
		return err
	}
	d.say("%s  %-9s  %-14s  %s", n.Name, n.Type, n.Address, p.picture(slotsOf(n.Type)))
	return nil
}

// slotsOf is how many addresses for pods an interface of a type can have.
func slotsOf(kind string) int {
	for _, t := range vpc.InstanceTypes() {
		if t.Name == kind {
			return t.IPv4PerInterface - 1
		}
	}
	return 0
}

// add starts pods and returns what became of them.
func (d *demo) add(ctx context.Context, name string, p podOptions) ([]podResult, error) {
	if p.count == 0 {
		p.count = 1
	}
	orders, err := p.orders(d.view, name)
	if err != nil {
		return nil, err
	}
	return addPods(ctx, d.state, d.view, orders)
}

// addOne starts a pod that has to run.
func (d *demo) addOne(ctx context.Context, name string, p podOptions) (podResult, error) {
	results, err := d.add(ctx, name, p)
	if err != nil {
		return podResult{}, err
	}
	if results[0].Error != "" {
		return results[0], errors.New(results[0].Error)
	}
	return results[0], nil
}

// wrongSource is how many packets the router dropped for what a node did wrong.
func (d *demo) wrongSource(ctx context.Context) (int, error) {
	var dropped map[fabric.Kind]int
	err := ask(ctx, d.state, http.MethodGet, "/v1/dropped", nil, &dropped)
	return dropped[fabric.WrongSource], err
}

// eventually asks until it is so, or the time is up, and says how long it took.
func (d *demo) eventually(ctx context.Context, limit time.Duration, done func() (bool, error)) (time.Duration, bool, error) {
	began := time.Now()
	for {
		ok, err := done()
		if ok || err != nil || time.Since(began) > limit {
			return time.Since(began), ok, err
		}
		select {
		case <-ctx.Done():
			return time.Since(began), false, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// end takes the lab away and says so.
func (d *demo) end() error {
	var counts []vpc.Count
	calls, throttled := 0, 0
	if err := ask(context.Background(), d.state, http.MethodGet, "/v1/counts", nil, &counts); err == nil {
		for _, c := range counts {
			calls += c.Accepted + c.Throttled + c.Refused
			throttled += c.Throttled
		}
	}
	if err := d.state.end(); err != nil {
		return fail(exitWrong, "lab %s: %w", demoName, err)
	}
	fmt.Fprintf(d.out, "\n Everything is gone: 0 processes, and with them every link, rule, route and table. "+
		"%s, %d checks, %d EC2 calls, %d throttled.\n",
		time.Since(d.began).Round(100*time.Millisecond), d.checks, calls, throttled)
	if d.failed > 0 {
		return nil
	}
	fmt.Fprintf(d.out, `
 Keep one to play with:   %[1]s up two-nodes
 A shell on a node:       %[1]s shell node-1
 Break something:         %[1]s fault ls
`, typed())
	return nil
}

// logs shows the last lines of each log, since the lab's folder will be gone.
func (d *demo) logs() {
	entries, _ := os.ReadDir(d.state.logsDir())
	for _, e := range entries {
		b, err := os.ReadFile(d.state.logsDir() + "/" + e.Name())
		if err != nil {
			continue
		}
		lines := strings.Split(strings.TrimSpace(string(b)), "\n")
		fmt.Fprintf(d.out, "\n--- the end of %s\n%s\n", e.Name(), strings.Join(lines[max(0, len(lines)-8):], "\n"))
	}
}

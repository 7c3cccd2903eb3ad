package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/enichain/enichain/ipam/store"
	"github.com/enichain/enichain/stages"
	"github.com/enichain/enichain/stages/routedveth"
)

// Exit codes, the same for all subcommands.
const (
	exitOK      = 0
	exitWrong   = 1 // something is wrong with the thing looked at
	exitUsage   = 2 // the command line is wrong
	exitBlind   = 3 // cannot look
	exitTimeout = 4 // waited, and it did not happen
)

// app is what the subcommands share: where to look, and how to answer. Tests put their own in.
type app struct {
	in       io.Reader
	out, err io.Writer

	pool, socket, flight, cniPath string
	format                        string

	clock   func() store.Now
	boot    func() (string, error)
	inspect func(context.Context) (routedveth.View, error)
	walk    func(context.Context, packet) (way, error) // asks the kernel for a packet's way
	zone    *time.Location
	host    func() (string, error)
	getenv  func(string) string
}

func newApp() *app {
	return &app{in: os.Stdin, out: os.Stdout, err: os.Stderr, clock: store.ReadClock, boot: store.BootID, inspect: routedveth.Inspect,
		walk: kernelWay, zone: time.Local, host: os.Hostname, getenv: os.Getenv}
}

// failure is an error with an exit code and one line that says what to do next.
type failure struct {
	code int
	err  error
	do   string
}

func (f *failure) Error() string { return f.err.Error() }

func (f *failure) Unwrap() error { return f.err }

// wrong ends a subcommand whose answer is out already, and was bad news.
var errWrong = &failure{code: exitWrong, err: errors.New("something is wrong")}

func blind(err error, do string) error { return &failure{code: exitBlind, err: err, do: do} }

// run is the whole program but for the process.
func (a *app) run(ctx context.Context, args []string) int {
	out := &answer{Writer: a.out}
	a.out = out
	code := a.obey(ctx, args)
	if out.err != nil {
		fmt.Fprintf(a.err, "enichainctl: cannot write the answer: %v\n", out.err)
		return exitBlind
	}
	return code
}

// answer is standard output, and what became of it: a full disk must not look like a healthy node.
type answer struct {
	io.Writer
	err error
}

func (w *answer) Write(b []byte) (int, error) {
	n, err := w.Writer.Write(b)
	w.err = cmp.Or(w.err, err)
	return n, err
}

// obey runs one command line.
func (a *app) obey(ctx context.Context, args []string) int {
	root := a.root()
	root.SetArgs(args)
	root.SetOut(a.out)
	root.SetErr(a.err)
	c, err := root.ExecuteContextC(ctx)
	var f *failure
	switch {
	case err == nil:
		return exitOK
	case !errors.As(err, &f):
		fmt.Fprintf(a.err, "enichainctl: %v\ntry: %s --help\n", err, c.CommandPath())
		return exitUsage
	case f != errWrong:
		fmt.Fprintf(a.err, "enichainctl: %v\n", f.err)
		if f.do != "" {
			fmt.Fprintln(a.err, f.do)
		}
	}
	return f.code
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "enichainctl",
		Short: "look at a node of enichain",
		Long: "enichainctl looks at a node of enichain.\n\n" +
			"Exit codes: 0 nothing wrong, 1 something is wrong with what was looked at, 2 wrong command line,\n" +
			"3 cannot look, 4 waited in vain.",
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			if a.format != "text" && a.format != "json" {
				return fmt.Errorf("--format %q: want text or json", a.format)
			}
			return nil
		},
	}
	flags := root.PersistentFlags()
	flags.StringVar(&a.format, "format", "text", "text or json")
	flags.StringVar(&a.pool, "pool", store.DefaultPath, "the pool file")
	flags.StringVar(&a.socket, "socket", "/run/enichain/enichaind.sock", "the daemon's socket")
	flags.StringVar(&a.flight, "flight", stages.FlightPath, "the flight record")
	root.AddCommand(a.statusCommand(), a.poolCommand(), a.leasesCommand(), a.enisCommand(), a.eventsCommand(), a.whyCommand(),
		a.traceCommand(), a.versionCommand(), a.chainCommand(), a.migrateCommand(), a.recordCommand(),
		a.fleetCommand(), a.conformanceCommand())
	return root
}

// noArguments refuses what stands behind a subcommand that takes nothing.
func noArguments(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%s takes no argument, but got %q", c.Name(), args[0])
	}
	return nil
}

// onePod wants the pod that a subcommand is about.
func onePod(c *cobra.Command, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("%s takes one pod, but got %d", c.Name(), len(args))
	}
	return nil
}

// podNames completes the name of a pod on the command line.
func (a *app) podNames(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	s, err := a.state(c.Context())
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, l := range s.Leases {
		names = append(names, who(l.Pod, l.Attachment))
	}
	for _, t := range s.Tickets {
		names = append(names, who(t.Pod, t.Attachment))
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// state reads the pool file.
func (a *app) state(ctx context.Context) (store.State, error) {
	var s store.State
	boot, err := a.boot()
	if err != nil {
		return s, blind(err, "")
	}
	file := store.New(a.pool, store.Options{Boot: boot, Command: "enichainctl"})
	err = file.View(ctx, func(t *store.Tx) error { s = t.State(); return nil })
	var notReady *store.NotReadyError
	var locked *store.LockedError
	switch {
	case errors.As(err, &notReady):
		return s, blind(err, "is enichaind running here?  systemctl status enichaind")
	case errors.As(err, &locked):
		if locked.PID == 0 {
			return s, blind(err, "see who:  fuser "+locked.Path)
		}
		return s, blind(err, fmt.Sprintf("see what it does:  cat /proc/%d/wchan", locked.PID))
	case errors.Is(err, os.ErrPermission):
		return s, blind(err, "try again as root")
	case err != nil:
		return s, blind(err, "restart enichaind: it moves a file that it cannot read aside and rebuilds it")
	}
	return s, nil
}

// json prints one value, indented for people who pipe it nowhere.
func (a *app) json(v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return blind(fmt.Errorf("cannot encode the answer: %w", err), "")
	}
	_, err = fmt.Fprintf(a.out, "%s\n", text)
	return err
}

// table prints rows under upper-case heads, without borders; "" becomes "-".
func (a *app) table(rows [][]string) {
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		for i, cell := range r {
			if cell == "" {
				r[i] = "-"
			}
		}
		fmt.Fprintln(w, strings.Join(r, "\t"))
	}
	_ = w.Flush()
}

func (a *app) printf(format string, args ...any) { fmt.Fprintf(a.out, format, args...) }

// age is a duration as people say it.
func age(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd", int(d.Hours())/24)
}

// millis is a short duration as a column of times has it.
func millis(us int64) string {
	if us >= 1_000_000 {
		return fmt.Sprintf("%.1f s", float64(us)/1_000_000)
	}
	return fmt.Sprintf("%.1f ms", float64(us)/1000)
}

func (a *app) hour(t time.Time) string { return t.In(a.zone).Format(time.TimeOnly) }

// again repeats a picture at each change of the pool until ctx ends, for --watch.
func (a *app) again(ctx context.Context, watch bool, draw func() error) error {
	if !watch {
		return draw()
	}
	bell, err := store.New(a.pool, store.Options{}).Bell()
	if err != nil {
		if _, unread := a.state(ctx); unread != nil {
			return unread // it says more
		}
		return blind(err, "")
	}
	defer bell.Close()
	for ctx.Err() == nil {
		if a.format == "text" {
			a.printf("\x1b[H\x1b[2J")
		}
		if err := draw(); err != nil && !errors.Is(err, errWrong) {
			return err
		}
		step, cancel := context.WithTimeout(ctx, time.Second) // cooling ends without a commit
		err := bell.Wait(step)
		cancel()
		if err != nil && step.Err() == nil {
			return blind(err, "")
		}
	}
	return nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/enichain/enichain/chain"
	"github.com/enichain/enichain/chain/known"
	"github.com/enichain/enichain/test/node"
	"github.com/enichain/enichain/test/try"
)

// tryFlags are the flags of 'try'.
type tryFlags struct {
	matrix bool
	repeat int
	kill   int
	ports  []string
	bin    string
}

// killPlaces is what --kill alone means: early, in the middle, late, and behind the end.
const killPlaces = 4

func tryCommand(o *options) *cobra.Command {
	f := tryFlags{}
	c := &cobra.Command{
		Use:   "try FILE",
		Short: "Run a conflist through every verb and say what it did, and what stayed behind",
		Long: `Runs a list as a runtime would, in throw-away namespaces: no lab has to be up, and nothing of this machine is touched.
STATUS; a pod to warm up; two pods side by side with ADD, CHECK, DEL, DEL again without namespace and result; GC with
and without them; one pod that is added twice. In between it compares the results with what runtimes take, with the
kernel, and with what packets see. The node has two network interfaces with a pool of addresses, IPv4 and IPv6.
Exit codes: 0 the list works; 1 it does not; 2 the file or the command line is wrong; 3 this machine cannot try.`,
		Example: "  vpclab try conflists/minimal.conflist\n  vpclab try --matrix my.conflist\n  vpclab try --kill --ports 8080:80,5353:53/udp my.conflist",
		Args:    cobra.ExactArgs(1),
		RunE:    func(c *cobra.Command, args []string) error { return tryList(c, o, f, args[0]) },
	}
	c.Flags().BoolVar(&f.matrix, "matrix", false, "in every CNI version, with IPv4, IPv6 and both")
	c.Flags().IntVar(&f.repeat, "repeat", 1, "so many trials; times are medians")
	c.Flags().IntVar(&f.kill, "kill", 0, "kill -9 each stage at so many places of its ADD; without a number "+strconv.Itoa(killPlaces))
	c.Flags().Lookup("kill").NoOptDefVal = strconv.Itoa(killPlaces)
	c.Flags().StringSliceVar(&f.ports, "ports", []string{"8080:80"}, "host ports, HOST:POD or HOST:POD/udp; the second pod gets them 100 higher")
	c.Flags().StringVar(&f.bin, "bin", "", "where the plugins lie (default: CNI_PATH, else where vpclab lies)")
	return c
}

// tried is what 'try --format json' prints.
type tried struct {
	Lint   []chain.Problem `json:"lint"`
	Report *try.Report     `json:"report,omitempty"`
	Matrix []try.Cell      `json:"matrix,omitempty"`
}

// tryList tries one list, within namespaces that it enters first.
func tryList(c *cobra.Command, o *options, f tryFlags, file string) error {
	options, err := f.options()
	if err != nil {
		return fail(exitUsage, "%w", err)
	}
	if err := node.Enter(); err != nil {
		return fail(exitBlind, "%w; %s", err, refused(os.Geteuid() != 0))
	}
	l, problems := chain.Load(file)
	if l == nil {
		return fail(exitUsage, "%s", said(problems))
	}
	for _, s := range l.Stages {
		if options.Contracts.Of(c.Context(), s.Type, s.Config).Missing {
			return fail(exitBlind, "there is no plugin %s in %s; say where with --bin", s.Type, strings.Join(options.Path, ":"))
		}
	}
	out := tried{Lint: append(problems, chain.Lint(c.Context(), l, options.Contracts, chain.Options{})...)}
	if o.format == "text" && len(out.Lint) > 0 {
		fmt.Fprintf(c.OutOrStdout(), "lint\n%s\n\n", said(out.Lint))
	}
	if f.matrix && o.format == "text" {
		options.Effects = false
	}
	works, err := f.run(c.Context(), l, options, &out)
	if err != nil {
		return fail(exitBlind, "%w", err)
	}
	if err := o.print(c.OutOrStdout(), out, func() { out.print(c.OutOrStdout()) }); err != nil {
		return err
	}
	if !works {
		return &failure{exitWrong, errors.New("")}
	}
	return nil
}

// said are problems: where and what, why, and what to do.
func said(problems []chain.Problem) string {
	var lines []string
	for _, p := range problems {
		lines = append(lines, fmt.Sprintf("%s: %s", p.Severity, p))
		if p.Why != "" {
			lines = append(lines, "       "+p.Why)
		}
		for _, f := range p.Fixes {
			lines = append(lines, "  fix  "+f)
		}
	}
	return strings.Join(lines, "\n")
}

func (f tryFlags) options() (try.Options, error) {
	o := try.Options{Kill: f.kill, Effects: true, Ports: []try.Port{}}
	for _, text := range f.ports {
		p, err := portOf(text)
		if err != nil {
			return o, err
		}
		o.Ports = append(o.Ports, p)
	}
	if f.repeat < 1 || f.kill < 0 {
		return o, fmt.Errorf("--repeat %d, --kill %d: want at least 1 and 0", f.repeat, f.kill)
	}
	bin := firstOf(f.bin, os.Getenv("CNI_PATH"), binDir())
	for _, dir := range filepath.SplitList(bin) {
		full, err := filepath.Abs(dir)
		if err != nil {
			return o, err
		}
		for _, covered := range node.Covered() {
			if strings.HasPrefix(full+"/", covered+"/") {
				return o, fmt.Errorf("the plugins in %s: the throw-away node has a %s of its own; copy them elsewhere", full, covered)
			}
		}
		o.Path = append(o.Path, full)
	}
	o.Contracts = chain.Installed(o.Path, known.Of)
	return o, nil
}

// portOf reads HOST:POD or HOST:POD/PROTOCOL.
func portOf(text string) (try.Port, error) {
	ports, protocol, given := strings.Cut(text, "/")
	host, pod, _ := strings.Cut(ports, ":")
	p := try.Port{Protocol: "tcp"}
	if given {
		p.Protocol = protocol
	}
	var errs [2]error
	p.Host, errs[0] = strconv.Atoi(host)
	p.Container, errs[1] = strconv.Atoi(pod)
	ok := errs[0] == nil && errs[1] == nil && p.Host > 0 && p.Host < 1<<16-100 && p.Container > 0 && p.Container < 1<<16
	if !ok || p.Protocol != "tcp" && p.Protocol != "udp" {
		return p, fmt.Errorf("--ports %q: want HOST:POD, HOST:POD/tcp or HOST:POD/udp, such as 8080:80", text)
	}
	return p, nil
}

// run makes the node and tries the list on it, once, several times or in all versions; works says whether it does.
func (f tryFlags) run(ctx context.Context, l *chain.List, options try.Options, out *tried) (works bool, err error) {
	say, done := progress(os.Stderr)
	defer done()
	options.Progress = say
	say("making a node")
	n, err := node.New(ctx, node.Options{IPv6: true})
	if err != nil {
		return false, err
	}
	if f.matrix {
		out.Matrix, err = try.Matrix(ctx, n, l, options)
		return matrixWorks(out.Matrix), err
	}
	for i := range f.repeat {
		if i > 0 {
			if err := n.Reset(ctx); err != nil {
				return false, err
			}
		}
		options.Seed = uint64(i)
		r, err := try.Run(ctx, n, l, options)
		if err != nil {
			return false, err
		}
		if out.Report == nil {
			out.Report = r
		} else {
			out.Report.Add(r)
		}
	}
	return len(out.Report.Broken) == 0, nil
}

// matrixWorks says whether a list works in all cells that were tried, of which there is one at least.
func matrixWorks(cells []try.Cell) bool {
	tried := slices.DeleteFunc(slices.Clone(cells), func(c try.Cell) bool { return c.Report == nil })
	return len(tried) > 0 && !slices.ContainsFunc(tried, func(c try.Cell) bool { return len(c.Report.Broken) > 0 })
}

func (t tried) print(w io.Writer) {
	if t.Report != nil {
		fmt.Fprint(w, t.Report.Text())
		return
	}
	fmt.Fprint(w, try.MatrixText(t.Matrix))
}

// progress tells on a terminal what is being done, in one line that is gone in the end.
func progress(w *os.File) (say func(string), done func()) {
	if !terminal(w) {
		return func(string) {}, func() {}
	}
	return func(what string) { fmt.Fprintf(w, "\r\x1b[K%s …", what) }, func() { fmt.Fprint(w, "\r\x1b[K") }
}

// terminal says whether w is one: there a line can be written over.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

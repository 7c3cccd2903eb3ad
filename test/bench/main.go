// Bench measures what enichain costs, beside what others cost and what it must cost at least, in one interleaved run. It
// says which targets are met, and what moved since the stored baseline beyond noise. Absolute times move with the machine;
// ratios, sizes and counts travel.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/enichain/enichain/test/bench/daemon"
	"github.com/enichain/enichain/test/bench/fastpath"
	"github.com/enichain/enichain/test/bench/figure"
	"github.com/enichain/enichain/test/bench/packets"
	"github.com/enichain/enichain/test/bench/peers"
	"github.com/enichain/enichain/test/bench/pods"
	"github.com/enichain/enichain/test/bench/report"
	"github.com/enichain/enichain/test/node"
)

// section is a part of the bench.
type section struct {
	name string
	run  func(context.Context, figure.Options) (figure.Section, error)
}

// sections are all parts, in the order in which they run.
func sections() []section {
	return []section{
		{"pods", pods.Run},
		{"bursts", pods.RunBursts},
		{"growth", pods.RunGrowth},
		{"profile", pods.RunProfile},
		{"daemon", daemon.Run},
		{"packets", packets.Run},
		{"fastpath", fastpath.Run},
	}
}

// flags are what the command takes.
type flags struct {
	only, bin, json, markdown, baseline, from string
	scale                                     float64
	samples                                   int
	quick, update                             bool
}

// usual is the number of samples of a chain's ADD in the default run.
const usual = 40

func parse() (f flags) {
	flag.StringVar(&f.only, "only", "", "sections to run, separated by commas; default all")
	flag.IntVar(&f.samples, "samples", usual, "samples of each chain's ADD; all other numbers go with it")
	flag.BoolVar(&f.quick, "quick", false, "a quarter of the samples: the same table in a fraction of the time, with wider intervals")
	flag.StringVar(&f.bin, "bin", "bin", "folder of the binaries under test")
	flag.StringVar(&f.json, "json", "", "write the figures to this file, too")
	flag.StringVar(&f.markdown, "markdown", "", "write the tables to this file, too")
	flag.StringVar(&f.baseline, "baseline", "test/bench/baseline.json", "what to compare with")
	flag.StringVar(&f.from, "from", "", "measure nothing, and tell what earlier runs wrote by --json: files, separated by commas; of a section the last counts")
	flag.BoolVar(&f.update, "update", false, "write the tables of docs/performance.md and README.md, the pictures and the baseline anew")
	flag.Parse()
	f.scale = float64(f.samples) / usual
	if f.quick {
		f.scale /= 4
	}
	return f
}

func main() {
	f := parse()
	if err := run(f); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(f flags) error {
	if f.from != "" {
		r, err := report.Load(strings.Split(f.from, ","))
		if err != nil {
			return err
		}
		return write(f, r)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if f.scale <= 0 {
		return fmt.Errorf("cannot measure with %d samples", f.samples)
	}
	chosen, err := choose(f.only)
	if err != nil {
		return err
	}
	o, err := options(f)
	if err != nil {
		return err
	}
	if !node.Inside() { // there is a network here, and none in there
		fetch(ctx, o, chosen)
	}
	if err := node.Enter(); err != nil {
		return err
	}
	if err := node.OwnFolders(); err != nil {
		return err
	}
	r := &report.Report{When: time.Now(), Machine: report.Machine(), Scale: f.scale}
	for _, s := range chosen {
		part, err := s.run(ctx, o)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		r.Sections = append(r.Sections, part)
	}
	return write(f, r)
}

func options(f flags) (figure.Options, error) {
	bin, err := filepath.Abs(f.bin)
	if err != nil {
		return figure.Options{}, err
	}
	if _, err := os.Stat(filepath.Join(bin, "eni-ipam")); err != nil {
		return figure.Options{}, fmt.Errorf("no binaries to measure: %w; 'make build' makes them", err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	started := time.Now()
	return figure.Options{Bin: bin, Cache: filepath.Join(cache, "enichain", "bench"), Scale: f.scale, Progress: func(line string) {
		fmt.Fprintf(os.Stderr, "%6s  %s\n", time.Since(started).Round(time.Second), line)
	}}, nil
}

func choose(only string) ([]section, error) {
	all := sections()
	if only == "" {
		return all, nil
	}
	var chosen []section
	for name := range strings.SplitSeq(only, ",") {
		at := slices.IndexFunc(all, func(s section) bool { return s.name == strings.TrimSpace(name) })
		if at < 0 {
			return nil, fmt.Errorf("no section %q", name)
		}
		chosen = append(chosen, all[at])
	}
	return chosen, nil
}

// fetch builds what needs the network. What cannot be built is not measured, which its section says.
func fetch(ctx context.Context, o figure.Options, chosen []section) {
	if !slices.ContainsFunc(chosen, func(s section) bool { return slices.Contains([]string{"pods", "bursts", "growth"}, s.name) }) {
		return
	}
	if _, err := peers.AWS(ctx, o.Cache, o.Progress); err != nil {
		o.Progress(err.Error())
	}
}

// write tells what was measured, wherever it is to be told.
func write(f flags, r *report.Report) error {
	before, err := report.LoadBaseline(f.baseline)
	if err != nil {
		return err
	}
	changes := report.Compare(before, r)
	r.Write(os.Stdout, changes)
	if f.json != "" {
		if err := r.Save(f.json); err != nil {
			return err
		}
	}
	if f.markdown != "" {
		var text strings.Builder
		r.Write(&text, changes)
		if err := os.WriteFile(f.markdown, []byte(text.String()), 0o644); err != nil {
			return err
		}
	}
	if !f.update {
		return nil
	}
	for _, page := range []string{"docs/performance.md", "README.md"} {
		if err := r.Update(page); err != nil {
			return err
		}
	}
	if err := r.Draw("docs/performance"); err != nil {
		return err
	}
	return r.Baseline().Keep(before, r.Sections).Save(f.baseline)
}

package pods

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"github.com/enichain/enichain/test/bench/figure"
	"github.com/enichain/enichain/test/bench/peers"
)

const profileMethod = `A sampling profiler (perf, by a clock, some thousand times a second) watches pods that come and go one after the other, by
binaries that have their symbols. A sample in the kernel goes to the system call that it is in, or to page faults; one outside goes to the
package of the function that ran. Shares are of all samples of the plugins' processes, from their birth in execve to their end.`

// RunProfile measures where a pod's CPU time goes, by system call and by package. It needs perf.
func RunProfile(ctx context.Context, o figure.Options) (figure.Section, error) {
	return run(ctx, o, "profile", "Where the time goes", (*bench).profile)
}

// profile samples each of our chains, and the floor to compare with.
func (b *bench) profile(ctx context.Context) error {
	perf, err := exec.LookPath("perf")
	if err != nil {
		b.missing = append(b.missing, "where the time goes: perf is not installed (apt-get install linux-perf)")
		return nil
	}
	symbols, err := peers.Symbols(ctx, b.Cache)
	if err != nil {
		return err
	}
	b.path = append([]string{symbols}, b.path...)
	for _, s := range b.subjects {
		if !slices.Contains([]string{"ours-1port", "fused-1port", floorFused}, s.id) {
			continue
		}
		n, err := b.node(ctx, s)
		if err != nil {
			return err
		}
		err = b.sampled(ctx, perf, n)
		n.close()
		if err != nil {
			b.missing = append(b.missing, "where the time of "+s.name+" goes: "+err.Error())
		}
	}
	return nil
}

// sampled profiles ADD, and then DEL, of so many pods.
func (b *bench) sampled(ctx context.Context, perf string, n *node) error {
	pods := b.Samples(150)
	all, err := n.attachments(min(pods, 150))
	if err != nil {
		return err
	}
	for _, v := range []struct {
		name string
		do   func(context.Context, *attachment) error
	}{{"add", n.add}, {"del", n.del}} {
		b.progress("profile: %s of %s", v.name, n.id)
		file := filepath.Join(b.dir, n.id+"-"+v.name+".perf")
		stop, err := watch(ctx, perf, file)
		if err != nil {
			return err
		}
		err = n.together(1, all, func(a *attachment) error { return v.do(ctx, a) })
		if err := errors.Join(err, stop()); err != nil {
			return err
		}
		shares, err := attribute(ctx, perf, file)
		if err != nil {
			return err
		}
		b.shares[n.id+"/"+v.name] = shares
	}
	return b.gone(n, all)
}

// watch has perf watch this process and all that it starts, until stop.
func watch(ctx context.Context, perf, file string) (stop func() error, err error) {
	cmd := exec.CommandContext(ctx, perf, "record", "-q", "-e", "cpu-clock", "-F", "5000", "-g", "-o", file, "-p", fmt.Sprint(os.Getpid()), "--control", "fd:0,1")
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	var words strings.Builder
	cmd.Stderr = &words
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("cannot start perf: %w", err)
	}
	// It answers once it watches.
	_, err = io.WriteString(in, "ping\n")
	if err == nil {
		_, err = bufio.NewReader(out).ReadString('\n')
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("perf does not begin: %w: %s", err, words.String()), cmd.Process.Kill(), cmd.Wait())
	}
	return func() error {
		io.WriteString(in, "stop\n")
		if err := cmd.Wait(); err != nil {
			return fmt.Errorf("perf record: %w: %s", err, words.String())
		}
		return nil
	}, nil
}

// attribute counts a recording's samples by where they belong.
func attribute(ctx context.Context, perf, file string) (map[string]float64, error) {
	cmd := exec.CommandContext(ctx, perf, "script", "-i", file, "-F", "comm,ip,sym,dso")
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read what perf recorded: %w", err)
	}
	shares := countSamples(out)
	if err := cmd.Wait(); err != nil {
		return nil, fmt.Errorf("perf script: %w", err)
	}
	if len(shares) == 0 {
		return nil, errors.New("perf saw no sample of a plugin")
	}
	return shares, nil
}

// countSamples reads samples as perf script writes them: the name of the process, then the stack from its innermost
// frame, then an empty line.
func countSamples(r io.Reader) map[string]float64 {
	counts := map[string]float64{}
	var process string
	var stack []string
	end := func() {
		if where := place(process, stack); where != "" {
			counts[where]++
		}
		process, stack = "", nil
	}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		switch line := strings.TrimSpace(lines.Text()); {
		case line == "":
			end()
		case process == "":
			process = line
		default:
			stack = append(stack, line)
		}
	}
	end()
	return counts
}

// place says where a sample belongs; "" if it is none of a plugin.
func place(process string, stack []string) string {
	if len(stack) == 0 {
		return ""
	}
	call, fault := "", false
	for _, frame := range stack {
		if _, after, ok := strings.Cut(frame, "__x64_sys_"); ok {
			call, _, _ = strings.Cut(after, " ")
		}
		if _, after, ok := strings.Cut(frame, "__arm64_sys_"); ok {
			call, _, _ = strings.Cut(after, " ")
		}
		fault = fault || strings.Contains(frame, "exc_page_fault") || strings.Contains(frame, "el0_da") || strings.Contains(frame, "el0_ia")
	}
	plugin := slices.Contains([]string{"eni-ipam", "routed-veth", "snat", "portmap-compat", "enichain", "floor-fused"}, process)
	switch {
	case !plugin && call == "execve": // the process that is to become one has this one's name until then
		return "system call execve"
	case !plugin:
		return ""
	case call != "":
		return "system call " + call
	case fault:
		return "page faults"
	case strings.Contains(stack[0], "([kernel.kallsyms])") || strings.Contains(stack[0], "([unknown])"):
		return "the kernel, otherwise"
	}
	fields := strings.Fields(stack[0]) // address symbol (file)
	if len(fields) < 3 {
		return "unknown"
	}
	return "package " + packageOf(fields[1])
}

// packageOf is the package of a Go function's symbol.
func packageOf(symbol string) string {
	slash := strings.LastIndex(symbol, "/") + 1
	name, _, ok := strings.Cut(symbol[slash:], ".")
	if !ok {
		return "runtime" // assembly of the runtime has no package in its name
	}
	path := symbol[:slash] + name
	if strings.HasPrefix(path, "internal/runtime") || strings.HasPrefix(path, "runtime") {
		return "runtime"
	}
	return strings.TrimPrefix(path, "github.com/enichain/enichain/")
}

// profileTable has the places that take most in our chain, as shares of each column's samples.
func (b *bench) profileTable(s *figure.Section) {
	t := figure.Table{Name: "profile-places", Title: "Shares of CPU time, in %", Columns: []string{"place"}}
	var rows []figure.Row
	for _, place := range b.places() {
		rows = append(rows, figure.Row{Name: place})
	}
	for _, c := range b.subjects {
		for _, verb := range []string{"add", "del"} {
			shares := b.shares[c.id+"/"+verb]
			var all float64
			for _, n := range shares {
				all += n
			}
			if all == 0 {
				continue
			}
			t.Columns = append(t.Columns, strings.ToUpper(verb)+", "+c.name)
			for i := range rows {
				at := b.id(c.id, verb, strings.ReplaceAll(rows[i].Name, " ", "-"))
				s.Add(figure.Exactly(at, c.name+": "+strings.ToUpper(verb)+", "+rows[i].Name, "%", 100*shares[rows[i].Name]/all))
				rows[i].Cells = append(rows[i].Cells, at)
			}
		}
	}
	t.Rows = rows
	s.Tables = append(s.Tables, t)
}

// places are those with most samples in our chain's ADD and DEL.
func (b *bench) places() (all []string) {
	sum := map[string]float64{}
	for _, verb := range []string{"add", "del"} {
		for place, n := range b.shares["ours-1port/"+verb] {
			sum[place] += n
		}
	}
	for place := range sum {
		all = append(all, place)
	}
	sort.Slice(all, func(i, j int) bool { return sum[all[i]] > sum[all[j]] || sum[all[i]] == sum[all[j]] && all[i] < all[j] })
	return all[:min(len(all), 28)]
}

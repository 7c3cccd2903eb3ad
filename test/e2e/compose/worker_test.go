package compose

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/enichain/enichain/chain"
	"github.com/enichain/enichain/chain/known"
	"github.com/enichain/enichain/test/node"
	"github.com/enichain/enichain/test/try"
)

// isWorker is set in the environment of this binary where it tries lists for another.
const isWorker = "COMPOSE_WORKER"

// job is one list to try.
type job struct {
	Text    []byte
	Version string
	Path    []string
	Fused   []byte // the same list fused: both are lived with, and compared
	Chance  bool   // names and MACs that a plugin chooses are left out then
	Patient bool   // IPv6 addresses settle as they do on a node, for seconds with some plugins, and every hello is said
}

// outcome is what a trial found, or why there was none.
type outcome struct {
	*try.Report
	Err       string
	Moments   int      // of a life that was lived both ways
	Different []string // where it differs
}

// work tries the lists that stand in its input on a node of its own, until the input ends.
func work(in io.Reader, out io.Writer) error {
	ctx := context.Background()
	var n *node.Node
	jobs, outcomes := json.NewDecoder(in), json.NewEncoder(out)
	contracts := map[string]chain.Contracts{}
	for {
		var j job
		if err := jobs.Decode(&j); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		var err error
		if n == nil {
			n, err = node.New(ctx, node.Options{IPv6: true, Prefix: true, Addresses: 20, NoDAD: !j.Patient})
		} else {
			n.NoDAD = !j.Patient
			err = n.Reset(ctx)
		}
		if err != nil {
			return err
		}
		path := strings.Join(j.Path, ":")
		if contracts[path] == nil {
			contracts[path] = chain.Installed(j.Path, known.Of)
		}
		if err := outcomes.Encode(attempt(ctx, n, j, contracts[path])); err != nil {
			return err
		}
	}
}

func attempt(ctx context.Context, n *node.Node, j job, contracts chain.Contracts) outcome {
	if j.Fused != nil {
		steps, diff, err := bothWays(ctx, n, j)
		if err != nil {
			return outcome{Err: err.Error()}
		}
		return outcome{Moments: steps, Different: diff}
	}
	list, problems := chain.Parse("job.conflist", j.Text)
	if list == nil {
		return outcome{Err: fmt.Sprint(problems)}
	}
	report, err := try.Run(ctx, n, list, try.Options{Path: j.Path, Version: j.Version, Contracts: contracts, Promised: !j.Patient})
	if err != nil {
		return outcome{Err: err.Error()}
	}
	return outcome{Report: report}
}

// trials tries lists side by side, each worker a process with a node of its own, and calls done with each outcome, one
// call at a time. It begins no trial once the time is over (0: takes its time) and returns how many it left out.
func trials(t *testing.T, within time.Duration, jobs []job, done func(i int, o outcome)) (left int) {
	t.Helper()
	began := time.Now()
	next := make(chan int)
	var wg sync.WaitGroup
	var one sync.Mutex                                // guards done
	for range min(2*runtime.NumCPU(), 8, len(jobs)) { // a trial mostly waits
		w, err := startWorker()
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			defer w.stop()
			for i := range next {
				o := w.try(jobs[i])
				one.Lock()
				done(i, o)
				one.Unlock()
			}
		})
	}
	for i := range jobs {
		if within > 0 && time.Since(began) > within {
			left = len(jobs) - i
			break
		}
		next <- i
	}
	close(next)
	wg.Wait()
	return left
}

// worker is this binary as a process that tries lists.
type worker struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	jobs *json.Encoder
	outs *json.Decoder
	err  error
}

func startWorker() (*worker, error) {
	cmd := exec.Command("/proc/self/exe")
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), isWorker+"=1")
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	return &worker{cmd: cmd, in: in, jobs: json.NewEncoder(in), outs: json.NewDecoder(out)}, cmd.Start()
}

// try hands a list over and waits. A worker that died says so for every later list, too.
func (w *worker) try(j job) outcome {
	var o outcome
	if w.err == nil {
		w.err = w.jobs.Encode(j)
	}
	if w.err == nil {
		w.err = w.outs.Decode(&o)
	}
	if w.err != nil {
		o = outcome{Err: "the worker ended: " + w.err.Error()}
	}
	return o
}

func (w *worker) stop() {
	w.in.Close()
	_ = w.cmd.Wait()
}

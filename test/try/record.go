package try

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/cni/pkg/version"
	"golang.org/x/sys/unix"

	"github.com/enichain/enichain/test/kernel"
)

// patience is how long a stage may take for one verb. Upstream's plugins wait for IPv6 addresses to settle.
const patience = 30 * time.Second

// recorder runs plugins for libcni, and writes down what each was asked and did.
type recorder struct {
	trial   *trial
	verb    string // what the step is called
	pod     *pod   // whose turn it is; nil for STATUS and GC
	effects bool   // read the kernel around each stage
	silent  bool   // write nothing down
	kill    *kill  // in this stage's ADD
	version.PluginDecoder
}

// kill says which stage to kill, and when.
type kill struct {
	stage int
	after time.Duration
	done  bool // it had finished before
}

var _ invoke.Exec = (*recorder)(nil)

// FindInPath is libcni's own.
func (r *recorder) FindInPath(plugin string, paths []string) (string, error) {
	return invoke.FindInPath(plugin, paths)
}

// ExecPlugin runs one stage for one verb.
func (r *recorder) ExecPlugin(ctx context.Context, path string, stdin []byte, env []string) ([]byte, error) {
	t := r.trial
	name := filepath.Base(path)
	step := Step{Verb: r.verb, Type: name, Stage: r.stage(name, stdin), Request: bytes.Clone(stdin)}
	if r.pod != nil {
		step.Pod = r.pod.Name
	}
	changing := slices.Contains([]string{"ADD", "DEL"}, r.verb) && r.pod != nil
	var here, there kernel.State
	if r.effects && changing {
		var err error
		if here, there, err = t.both(r.pod); err != nil {
			return nil, err
		}
	}
	began := time.Now()
	out, err := r.run(ctx, path, stdin, env, step.Stage)
	step.Took = time.Since(began)
	if err != nil {
		step.Err = err.Error()
		var e *types.Error
		if errors.As(err, &e) {
			step.Code = e.Code
		}
		step.Killed = r.kill != nil && r.kill.stage == step.Stage
	} else if json.Valid(out) {
		step.Result = bytes.Clone(out)
	}
	if r.effects && changing {
		here2, there2, err := t.both(r.pod)
		if err != nil {
			return nil, err
		}
		step.Changes, step.PodChanges = kernel.Diff(here, here2), kernel.Diff(there, there2)
	}
	if !r.silent {
		t.report.Steps = append(t.report.Steps, step)
		if err == nil && r.verb == "ADD" && r.pod != nil {
			t.judgeStep(step, stdin, out)
		}
	}
	if r.verb == "ADD" && r.pod != nil {
		r.pod.result = step.Result
	}
	return out, err
}

// stage is the place of the plugin in the list; where it stands there twice, its configuration decides.
func (r *recorder) stage(name string, stdin []byte) int {
	var found []int
	for i, p := range r.trial.list.Plugins {
		if p.Network.Type == name {
			found = append(found, i)
		}
	}
	if len(found) == 1 {
		return found[0] + 1
	}
	best, score := 0, -1
	var asked map[string]json.RawMessage
	_ = json.Unmarshal(stdin, &asked)
	for _, i := range found {
		var own map[string]json.RawMessage
		_ = json.Unmarshal(r.trial.list.Plugins[i].Bytes, &own)
		same := 0
		for k, v := range own {
			if jsonEqual(v, asked[k]) {
				same++
			}
		}
		if same > score {
			best, score = i, same
		}
	}
	return best + 1
}

func jsonEqual(a, b json.RawMessage) bool {
	var x, y any
	if json.Unmarshal(a, &x) != nil || json.Unmarshal(b, &y) != nil {
		return false
	}
	p, _ := json.Marshal(x)
	q, _ := json.Marshal(y)
	return bytes.Equal(p, q)
}

// run runs the plugin in a process group of its own, so that a kill takes its delegate along, too.
func (r *recorder) run(ctx context.Context, path string, stdin []byte, env []string, stage int) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var out, bad bytes.Buffer
	cmd := exec.CommandContext(ctx, path)
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = env, bytes.NewReader(stdin), &out, &bad
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	cmd.WaitDelay = time.Second // a delegate may hold the pipe
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("cannot start %s: %w", path, err)
	}
	if k := r.kill; k != nil && k.stage == stage {
		timer := time.AfterFunc(k.after, func() { _ = cmd.Cancel() })
		defer timer.Stop()
	}
	err := cmd.Wait()
	switch {
	case err == nil:
		if r.kill != nil && r.kill.stage == stage {
			r.kill.done = true
			return nil, &types.Error{Msg: "killed after it had finished"} // the runtime died, and never read it
		}
		return out.Bytes(), nil
	case ctx.Err() != nil:
		return nil, &types.Error{Msg: fmt.Sprintf("no answer within %s", patience)}
	}
	return nil, failure(err, out.Bytes(), bad.Bytes())
}

// failure is a plugin's error as libcni reads it.
func failure(err error, out, bad []byte) error {
	e := &types.Error{}
	switch {
	case len(out) == 0 && len(bad) == 0:
		e.Msg = fmt.Sprintf("no error message: %v", err)
	case len(out) == 0:
		lines := strings.Split(strings.TrimSpace(string(bad)), "\n")
		e.Msg = fmt.Sprintf("%v, and no error on stdout; stderr begins: %s", err, lines[0])
	case json.Unmarshal(out, e) != nil:
		e.Msg = fmt.Sprintf("%v, and no CNI error on stdout: %q", err, string(out))
	}
	return e
}

// both are the states of the node and of the pod.
func (t *trial) both(p *pod) (here, there kernel.State, err error) {
	if here, err = t.state(); err != nil {
		return here, there, err
	}
	if !p.gone {
		there, err = kernel.Read(t.ctx, p.Netns)
	}
	return here, there, err
}

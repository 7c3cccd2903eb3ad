package pods

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/version"

	"github.com/enichain/enichain/test/bench/trace"
)

const hello = "hello"

// programs are the plugins whose size and bare process are told: ours first.
func (b *bench) programs() (all []string) {
	for _, name := range []string{"eni-ipam", "routed-veth", "snat", "portmap-compat", "enichain", "aws-cni", "portmap", "ptp",
		"bridge", "host-local", "floor-fused", "floor-address", "floor-veth", "floor-snat", "floor-ports", hello} {
		if b.find(name) != "" {
			all = append(all, name)
		}
	}
	return all
}

// find is the path of a plugin, "" if there is none.
func (b *bench) find(name string) string {
	for _, dir := range b.path {
		at := filepath.Join(dir, name)
		if _, err := os.Stat(at); err == nil {
			return at
		}
	}
	return ""
}

// versions measures a bare process: the verb VERSION, and the same of a Go program that says hello. The kernel tells the
// time of each child.
func (b *bench) versions(ctx context.Context, rounds int) error {
	question := filepath.Join(b.dir, "version.json")
	if err := os.WriteFile(question, []byte(`{"cniVersion": "1.0.0"}`), 0o644); err != nil {
		return err
	}
	all := b.programs()
	for i := range rounds + 2 {
		for k := range all {
			name := all[(i+k)%len(all)]
			cmd := exec.CommandContext(ctx, b.find(name))
			cmd.Env = []string{"CNI_COMMAND=VERSION", "PATH=" + os.Getenv("PATH")}
			in, err := os.Open(question)
			if err != nil {
				return err
			}
			cmd.Stdin = in
			c, err := measure(cmd.Run)
			in.Close()
			if err != nil {
				return fmt.Errorf("VERSION of %s: %w", name, err)
			}
			if i >= 2 {
				b.record.verb(name, "version", "", c)
			}
		}
		b.progress("VERSION: round %d of %d", i+1, rounds+2)
	}
	return nil
}

// traced runs plugins under the tracer, for libcni.
type traced struct {
	trace.Exec
	version.PluginDecoder
}

var _ invoke.Exec = (*traced)(nil)

func (t *traced) FindInPath(plugin string, paths []string) (string, error) {
	return invoke.FindInPath(plugin, paths)
}

// untimed are the counts without system calls whose number goes with time: a traced process is slow, and its runtime
// looks around more often.
func untimed(c trace.Counts) trace.Counts {
	for _, name := range []string{"nanosleep", "futex", "sched_yield", "epoll_pwait", "epoll_pwait2", "tgkill", "getpid", "rt_sigreturn", "restart_syscall"} {
		delete(c.Calls, name)
	}
	return c
}

// calls counts what ADD and DEL of one pod ask of the kernel, after one pod that is not counted.
func (b *bench) calls(ctx context.Context, n *node) error {
	for i := range 2 {
		a, err := n.attachment()
		if err != nil {
			return err
		}
		err = n.within(func() error {
			defer n.by(nil)
			for _, v := range []struct {
				name string
				do   func(context.Context, *attachment) error
			}{{"add", n.add}, {"del", n.del}} {
				exec := &traced{}
				if i > 0 {
					n.by(exec)
				}
				if err := v.do(ctx, a); err != nil {
					return err
				}
				if i > 0 {
					b.counted(n.id, v.name, untimed(exec.Seen))
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		if err := a.pod.Delete(); err != nil {
			return err
		}
	}
	b.progress("system calls: %s", n.id)
	return b.settle(n)
}

func (b *bench) counted(id, verb string, seen trace.Counts) {
	b.record.add(id, verb+"-dumps", float64(len(seen.Dumps)))
	b.record.add(id, verb+"-calls", float64(seen.Total()))
	b.record.add(id, verb+"-messages", float64(seen.Messages))
	b.record.add(id, verb+"-processes", float64(seen.Processes))
	b.seen[id+"/"+verb] = seen
}

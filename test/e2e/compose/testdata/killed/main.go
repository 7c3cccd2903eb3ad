// Command killed is the fused process, killed in its ADD before the stage that KILL_BEFORE names begins, or at the end.
package main

import (
	"context"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/enichain/enichain/chain/contract"
	"github.com/enichain/enichain/stages"
	"github.com/enichain/enichain/stages/eniipam"
	"github.com/enichain/enichain/stages/portmapcompat"
	"github.com/enichain/enichain/stages/routedveth"
	"github.com/enichain/enichain/stages/snat"
)

// mortal is a stage before which the process may die.
type mortal struct {
	stages.Stage
	name string
}

func (m mortal) Add(ctx context.Context, r *stages.Request) (*stages.Result, error) {
	if os.Getenv("KILL_BEFORE") == m.name {
		die()
	}
	return m.Stage.Add(ctx, r)
}

func die() { _ = unix.Kill(os.Getpid(), unix.SIGKILL) }

// last is where the result would go.
type last struct{}

func (last) Write(p []byte) (int, error) {
	if os.Getenv("KILL_BEFORE") == "end" && os.Getenv("CNI_COMMAND") == "ADD" {
		die()
	}
	return os.Stdout.Write(p)
}

func main() {
	var all []stages.Named
	for name, s := range map[string]stages.Stage{"eni-ipam": eniipam.Stage{}, "routed-veth": routedveth.New(), "snat": snat.New(),
		"portmap-compat": portmapcompat.New()} {
		all = append(all, stages.Named{Type: name, Stage: mortal{s, name}})
	}
	os.Exit(stages.Run(context.Background(), stages.Process{Getenv: os.Getenv, Environ: os.Environ, Stdin: os.Stdin, Stdout: last{}, Stderr: os.Stderr,
		FlightPath: stages.FlightPath, Now: time.Now}, contract.Fused, stages.Fuse(all...)))
}

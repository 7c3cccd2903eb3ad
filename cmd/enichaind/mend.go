package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/invoke"
	cni "github.com/containernetworking/cni/pkg/version"

	"github.com/enichain/enichain/stages"
	"github.com/enichain/enichain/stages/portmapcompat"
	"github.com/enichain/enichain/stages/snat"
)

// mended are the stages whose nftables tables are put back for live pods: each knows from configuration and prevResult
// alone what a pod needs, and both are in the runtime's cache. routed-veth's base is Repair's.
var mended = map[string]struct {
	stage    stages.Stage
	standing func() (bool, error)
}{
	"snat":           {snat.New(), snat.Standing},
	"portmap-compat": {portmapcompat.New(), portmapcompat.Standing},
}

// mendStages runs ADD of the stages above for every live pod whose CHECK complains. sure is set when it is known that
// somebody took things away; else a missing table is what tells.
func mendStages(ctx context.Context, results string, sure bool) (what []string, err error) {
	for _, m := range mended {
		there, err := m.standing()
		if err != nil {
			return nil, fmt.Errorf("cannot see whether the stages' tables stand: %w", err)
		}
		sure = sure || !there
	}
	if !sure {
		return nil, nil
	}
	redo := &redoer{}
	runtime := libcni.NewCNIConfigWithCacheDir(nil, filepath.Dir(results), redo)
	attachments, err := runtime.GetCachedAttachments("")
	if err != nil {
		return nil, fmt.Errorf("cannot read the runtime's cached results: %w", err)
	}
	var failed []error
	for _, a := range attachments {
		if _, err := os.Stat(a.NetNS); err != nil {
			continue // a pod that is gone
		}
		list, err := libcni.NetworkConfFromBytes(a.Config)
		if err != nil || list.Name != a.Network {
			continue // another kind of file: the folder is the runtime's
		}
		list.DisableCheck = false
		err = runtime.CheckNetworkList(ctx, list, &libcni.RuntimeConf{ContainerID: a.ContainerID, NetNS: a.NetNS,
			IfName: a.IfName, Args: a.CniArgs, CapabilityArgs: a.CapabilityArgs})
		if err != nil && !errors.Is(err, libcni.ErrorCheckNotSupp) {
			failed = append(failed, fmt.Errorf("cannot put back what %s/%s/%s had: %w", a.Network, a.ContainerID, a.IfName, err))
		}
	}
	for name, n := range redo.done {
		what = append(what, fmt.Sprintf("%s of %d pods", name, n))
	}
	return what, errors.Join(failed...)
}

// redoer is libcni's way to a stage for CHECK: our stages in this process, ADD where CHECK complains, and every other
// plugin is passed over.
type redoer struct {
	cni.PluginDecoder
	done map[string]int // by stage
}

var _ invoke.Exec = (*redoer)(nil)

// FindInPath takes the name for the path.
func (*redoer) FindInPath(plugin string, _ []string) (string, error) { return plugin, nil }

// ExecPlugin is CHECK, and ADD if need be. The result of ADD is what CHECK had as prevResult: nobody needs it.
func (r *redoer) ExecPlugin(ctx context.Context, plugin string, config []byte, environ []string) ([]byte, error) {
	m, ours := mended[plugin]
	if !ours || runStage(ctx, plugin, m.stage, "CHECK", config, environ) == nil {
		return nil, nil
	}
	if err := runStage(ctx, plugin, m.stage, "ADD", config, environ); err != nil {
		return nil, err
	}
	if r.done == nil {
		r.done = map[string]int{}
	}
	r.done[plugin]++
	return nil, nil
}

// runStage runs a stage's command here. It leaves no flight record: no runtime asked for it.
func runStage(ctx context.Context, name string, s stages.Stage, command string, config []byte, environ []string) error {
	var out, words bytes.Buffer
	getenv := func(key string) string {
		if key == "CNI_COMMAND" {
			return command
		}
		value := ""
		for _, line := range environ { // the last one counts
			if v, ok := strings.CutPrefix(line, key+"="); ok {
				value = v
			}
		}
		return value
	}
	process := stages.Process{Getenv: getenv, Environ: func() []string { return environ }, Stdin: bytes.NewReader(config),
		Stdout: &out, Stderr: &words, Now: time.Now}
	if stages.Run(ctx, process, name, s) != 0 {
		return fmt.Errorf("%s %s: %s", name, command, strings.TrimSpace(out.String()+words.String()))
	}
	return nil
}

package try

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/containernetworking/cni/libcni"

	"github.com/enichain/enichain/chain"
	"github.com/enichain/enichain/chain/known"
	"github.com/enichain/enichain/test/kernel"
	"github.com/enichain/enichain/test/node"
)

// cacheDir is where runtimes keep results; the node has a /var/lib of its own.
const cacheDir = "/var/lib/cni"

// trial is one run of one list.
type trial struct {
	ctx     context.Context
	node    *node.Node
	options Options
	list    *libcni.NetworkConfigList
	facts   promise
	cni     *libcni.CNIConfig
	record  *recorder
	report  *Report
	unheard []string        // promised hellos without an answer, not yet filed
	deaf    bool            // some were filed
	early   []kernel.Change // that a pod left while another lived
	fresh   kernel.State    // before anything
	base    kernel.State    // after the pod to warm up
}

// Run tries a list on the node: STATUS; a pod to warm up; two pods with every verb, side by side; GC with and without
// them; one that is added twice; kills, if asked for. The error says that it could not be tried; what is wrong with
// the list is in Report.Broken.
func Run(ctx context.Context, n *node.Node, l *chain.List, o Options) (*Report, error) {
	began := time.Now()
	if o.Ports == nil {
		o.Ports = []Port{{Host: 8080, Container: 80, Protocol: "tcp"}}
	}
	if o.Contracts == nil {
		o.Contracts = chain.Installed(o.Path, known.Of)
	}
	list, err := request(l, o)
	if err != nil {
		return nil, fmt.Errorf("cannot try network %s: %w", l.Name, err)
	}
	t := &trial{ctx: ctx, node: n, options: o, list: list, facts: promises(ctx, list, o.Contracts),
		report: &Report{Name: l.Name, Version: list.CNIVersion,
			Broken: []string{}, Notes: []string{}, Left: []kernel.Change{}, Stays: []kernel.Change{}}}
	for _, p := range list.Plugins {
		t.report.Stages = append(t.report.Stages, p.Network.Type)
	}
	t.record = &recorder{trial: t}
	t.cni = libcni.NewCNIConfigWithCacheDir(o.Path, cacheDir, t.record)
	if err := t.all(); err != nil {
		return nil, fmt.Errorf("cannot try network %s: %w", l.Name, err)
	}
	t.report.Took = time.Since(began)
	return t.report, nil
}

// request is the list as libcni takes it, with the options' version and families.
func request(l *chain.List, o Options) (*libcni.NetworkConfigList, error) {
	version := o.Version
	if version == "" {
		version = l.Version()
	}
	var plugins []json.RawMessage
	for _, s := range l.Stages {
		config, err := withFamilies(s.Config, o.Families)
		if err != nil {
			return nil, err
		}
		plugins = append(plugins, config)
	}
	text, err := json.Marshal(map[string]any{"name": l.Name, "cniVersion": version, "disableCheck": l.DisableCheck,
		"disableGC": l.DisableGC, "loadOnlyInlinedPlugins": true, "plugins": plugins})
	if err != nil {
		return nil, err
	}
	return libcni.NetworkConfFromBytes(text)
}

func (t *trial) say(format string, args ...any) {
	if t.options.Progress != nil {
		t.options.Progress(fmt.Sprintf(format, args...))
	}
}

// all is the order of a trial. A list whose warm-up pod fails is not tried further.
func (t *trial) all() (err error) {
	if t.fresh, err = t.state(); err != nil {
		return err
	}
	t.base = t.fresh
	t.say("STATUS")
	t.verb("STATUS", nil, func() error { return t.cni.GetStatusNetworkList(t.ctx, t.list) })
	t.say("a pod to warm up")
	ok, err := t.warmUp()
	if err != nil {
		return err
	}
	if !ok {
		return t.leftBehind("after DEL of a pod whose ADD failed")
	}
	if t.base, err = t.settled(t.fresh); err != nil {
		return err
	}
	if err := t.pods(); err != nil {
		return err
	}
	if err := t.leftBehind("after DEL of the last pod"); err != nil {
		return err
	}
	t.say("GC without pods")
	t.gc()
	if err := t.leftBehind("after GC without pods"); err != nil {
		return err
	}
	if len(t.early) > 0 && len(t.report.Left) == 0 {
		t.report.broken("left behind by a pod as long as another lives: %s", firstOf(t.early))
	}
	if err := t.kills(); err != nil {
		return err
	}
	end, err := t.state()
	t.report.Stays = append(t.report.Stays, kernel.Diff(t.fresh, end)...)
	return err
}

// leftBehind looks for what the pods that are gone left.
func (t *trial) leftBehind(when string) error {
	left, err := t.left()
	switch {
	case len(left) > 0:
		t.report.Left = left
		t.report.brokenOnce("left", "%s %s: %s", leftOrGone(left), when, firstOf(left))
	case len(t.report.Left) > 0:
		t.report.note("what was left behind is gone %s", when)
	}
	return err
}

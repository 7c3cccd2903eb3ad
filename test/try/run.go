package try

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/types"

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
		report: &Report{Name: l.Name, Version: list.CNIVersion, Broken: []string{}, Notes: []string{}, Left: []kernel.Change{}, Stays: []kernel.Change{}}}
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

// verb runs one verb of the whole list and files a failure. Its name is what the steps are called.
func (t *trial) verb(name string, p *pod, run func() error) bool {
	t.record.verb, t.record.pod = name, p
	err := run()
	if err == nil {
		return true
	}
	who := ""
	if p != nil {
		who = " of pod " + p.Name
	}
	t.report.brokenOnce(name, "%s%s fails: %s", name, who, t.blame(err))
	return false
}

// blame says which stage failed, and what it said; libcni's own errors are told as they are.
func (t *trial) blame(err error) string {
	for i := len(t.report.Steps) - 1; i >= 0 && !t.record.silent; i-- {
		s := t.report.Steps[i]
		if s.Verb != t.record.verb {
			break
		}
		if s.Err != "" { // GC goes on after an error
			return s.who() + ": " + s.said()
		}
	}
	return err.Error()
}

// Names of pods.
const (
	warmUpPod = "warm-up"
	firstPod  = "first"
)

// pod is a pod under trial.
type pod struct {
	*node.Pod
	rt        *libcni.RuntimeConf
	result    json.RawMessage // of the last stage
	addresses []netip.Prefix  // in it
	ports     []Port
	gone      bool // its namespace
}

func (t *trial) newPod(name string, number int) (*pod, error) {
	made, err := t.node.Pod(name)
	if err != nil {
		return nil, err
	}
	p := &pod{Pod: made}
	capabilities := map[string]any{"bandwidth": map[string]any{"ingressRate": 1 << 30, "ingressBurst": 1 << 26, "egressRate": 1 << 30, "egressBurst": 1 << 26}}
	if len(t.options.Ports) > 0 {
		var mappings []map[string]any
		for _, port := range t.options.Ports {
			port.Host += 100 * (number - 1) // each pod has its own
			p.ports = append(p.ports, port)
			mappings = append(mappings, map[string]any{"hostPort": port.Host, "containerPort": port.Container, "protocol": port.Protocol})
		}
		capabilities["portMappings"] = mappings
	}
	for k, v := range t.options.Capabilities {
		capabilities[k] = v
	}
	p.rt = &libcni.RuntimeConf{ContainerID: "try-" + name, NetNS: made.Netns, IfName: "eth0", CapabilityArgs: capabilities,
		Args: [][2]string{{"IgnoreUnknown", "1"}, {"K8S_POD_NAMESPACE", "try"}, {"K8S_POD_NAME", name}, {"K8S_POD_INFRA_CONTAINER_ID", "try-" + name}, {"K8S_POD_UID", "uid-" + name}}}
	return p, nil
}

func (t *trial) add(p *pod) bool {
	return t.verb("ADD", p, func() error { _, err := t.cni.AddNetworkList(t.ctx, t.list, p.rt); return err })
}

func (t *trial) check(p *pod, when string) bool {
	if t.list.CNIVersion < "0.4.0" {
		return true
	}
	t.record.verb, t.record.pod = "CHECK", p
	if err := t.cni.CheckNetworkList(t.ctx, t.list, p.rt); err != nil {
		t.report.brokenOnce("CHECK", "CHECK %s fails: %s", when, t.blame(err))
		return false
	}
	return true
}

func (t *trial) del(p *pod) bool {
	return t.verb("DEL", p, func() error { return t.cni.DelNetworkList(t.ctx, t.list, p.rt) })
}

// delAgain is what containerd's Remove does: the namespace is gone, and so is the cached result.
func (t *trial) delAgain(p *pod) bool {
	rt := *p.rt
	rt.NetNS = ""
	t.record.verb, t.record.pod = "DEL again", p
	err := t.cni.DelNetworkList(t.ctx, t.list, &rt)
	switch s := t.last(); {
	case err == nil:
		return true
	case s != nil && s.Err != "" && t.facts.needsNetns[s.Type]:
		t.report.note("DEL without the pod's namespace fails, as is known: %s; the stages before it are not asked then", s.who())
		return true
	}
	t.report.brokenOnce("DEL again", "DEL again of pod %s, without its namespace, fails: %s", p.Name, t.blame(err))
	return false
}

// last is the step that was written down last.
func (t *trial) last() *Step {
	if n := len(t.report.Steps); n > 0 {
		return &t.report.Steps[n-1]
	}
	return nil
}

// gc is GC with these pods as the ones that are there.
func (t *trial) gc(valid ...*pod) bool {
	args := &libcni.GCArgs{ValidAttachments: []types.GCAttachment{}}
	for _, p := range valid {
		args.ValidAttachments = append(args.ValidAttachments, types.GCAttachment{ContainerID: p.rt.ContainerID, IfName: p.rt.IfName})
	}
	return t.verb("GC", nil, func() error { return t.cni.GCNetworkList(t.ctx, t.list, args) })
}

// end takes a pod away as a runtime does: DEL, the namespace, DEL again.
func (t *trial) end(p *pod) error {
	t.del(p)
	if err := p.Delete(); err != nil {
		return err
	}
	p.gone = true
	t.delAgain(p)
	return nil
}

// warmUp adds and deletes a pod, so that what is made once for all pods is there. False: the list cannot even do that.
func (t *trial) warmUp() (bool, error) {
	p, err := t.newPod(warmUpPod, 1)
	if err != nil {
		return false, err
	}
	ok := t.add(p)
	return ok, t.end(p)
}

// pods are the first pod, the second beside it, and a third that is added twice.
func (t *trial) pods() error {
	first, err := t.newPod(firstPod, 1)
	if err != nil {
		return err
	}
	t.say("the first pod")
	t.record.effects = t.options.Effects
	if ok := t.add(first); !ok {
		return t.end(first)
	}
	t.record.effects = false
	t.judge(first)
	t.check(first, "right after ADD")
	t.flows(first)
	if err := t.beside(first); err != nil {
		return err
	}
	t.record.effects = t.options.Effects
	t.say("the first pod ends")
	if err := t.end(first); err != nil {
		return err
	}
	t.record.effects = false
	return t.twice()
}

// beside is the life of a second pod beside the first, which must not notice.
func (t *trial) beside(first *pod) error {
	alone, err := t.state()
	if err != nil {
		return err
	}
	second, err := t.newPod("second", 2)
	if err != nil {
		return err
	}
	t.say("the second pod")
	if t.add(second) {
		if len(t.report.Broken) == 0 { // else it would only be found again
			t.judge(second)
			t.check(second, "right after ADD of a second pod")
			t.flows(second)
			t.between(first, second)
		}
		t.check(first, "of the first pod after ADD of a second")
		t.say("GC with both pods valid")
		if err := t.untouched("GC with both pods in the valid list", func() { t.gc(first, second) }); err != nil {
			return err
		}
	}
	t.say("the second pod ends")
	if err := t.end(second); err != nil {
		return err
	}
	now, err := t.settled(alone)
	if err != nil {
		return err
	}
	switch changes := kernel.Diff(alone, now); {
	case slices.ContainsFunc(changes, func(c kernel.Change) bool { return !c.Added }):
		t.report.broken("after DEL of the second pod the node is not as it was with the first one: %s", firstOf(changes))
	default:
		t.early = changes
	}
	t.check(first, "of the first pod after DEL of the second")
	t.reach(first, "after DEL of the second")
	return t.untouched("GC with the first pod in the valid list", func() { t.gc(first) })
}

// untouched runs something that must not change what the pods have.
func (t *trial) untouched(what string, run func()) error {
	before, err := t.state()
	if err != nil {
		return err
	}
	run()
	after, err := t.settled(before)
	if err != nil {
		return err
	}
	if changes := kernel.Diff(before, after); len(changes) > 0 {
		t.report.broken("%s changes what pods have: %s", what, firstOf(changes))
	}
	return nil
}

// twice adds a pod a second time without DEL: runtimes must not, and yet nothing may be left of it.
func (t *trial) twice() error {
	p, err := t.newPod("twice", 1)
	if err != nil {
		return err
	}
	t.say("a pod that is added twice")
	if t.add(p) {
		t.record.verb, t.record.pod = "ADD again", p
		if _, err := t.cni.AddNetworkList(t.ctx, t.list, p.rt); err == nil {
			t.report.note("a second ADD of the same attachment succeeds")
		}
	}
	return t.end(p)
}

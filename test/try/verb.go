package try

import (
	"encoding/json"
	"net/netip"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/types"

	"github.com/enichain/enichain/test/node"
)

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
	wires     int  // of the node before it
}

func (t *trial) newPod(name string, number int) (*pod, error) {
	before, err := wires()
	if err != nil {
		return nil, err
	}
	made, err := t.node.Pod(name)
	if err != nil {
		return nil, err
	}
	p := &pod{Pod: made, wires: before}
	limits := map[string]any{"ingressRate": 1 << 30, "ingressBurst": 1 << 26, "egressRate": 1 << 30, "egressBurst": 1 << 26}
	capabilities := map[string]any{"bandwidth": limits}
	if len(t.options.Ports) > 0 {
		var mappings []map[string]any
		for _, port := range t.options.Ports {
			port.Host += 100 * (number - 1) // each pod has its own
			p.ports = append(p.ports, port)
			mappings = append(mappings, map[string]any{
				"hostPort": port.Host, "containerPort": port.Container, "protocol": port.Protocol})
		}
		capabilities["portMappings"] = mappings
	}
	for k, v := range t.options.Capabilities {
		capabilities[k] = v
	}
	p.rt = &libcni.RuntimeConf{ContainerID: "try-" + name, NetNS: made.Netns, IfName: "eth0", CapabilityArgs: capabilities,
		Args: [][2]string{{"IgnoreUnknown", "1"}, {"K8S_POD_NAMESPACE", "try"}, {"K8S_POD_NAME", name},
			{"K8S_POD_INFRA_CONTAINER_ID", "try-" + name}, {"K8S_POD_UID", "uid-" + name}}}
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
	return t.severed(p.wires)
}

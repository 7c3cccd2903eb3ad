package containerd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// pod is a sandbox with a web server in it.
type pod struct {
	name     string
	hostPort int32 // 0: none
	id       string
	address  string // as CRI tells it
	netns    string // path inside the node
}

func (l *lab) sandboxConfig(p *pod) *cri.PodSandboxConfig {
	config := &cri.PodSandboxConfig{
		Metadata: &cri.PodSandboxMetadata{Name: p.name, Namespace: "default", Uid: "uid-" + p.name},
		Hostname: p.name, LogDirectory: "/run/containerd-logs/" + p.name,
		Linux: &cri.LinuxPodSandboxConfig{CgroupParent: l.cgroup(), SecurityContext: &cri.LinuxSandboxSecurityContext{
			NamespaceOptions: &cri.NamespaceOption{Network: cri.NamespaceMode_POD, Pid: cri.NamespaceMode_CONTAINER}}},
	}
	if p.hostPort != 0 {
		config.PortMappings = []*cri.PortMapping{{Protocol: cri.Protocol_TCP, ContainerPort: 80, HostPort: p.hostPort}}
	}
	return config
}

// run starts a pod and its server, and learns its address.
func (d *daemon) run(name string, hostPort int32) (*pod, error) {
	p := &pod{name: name, hostPort: hostPort}
	ctx, cancel := d.deadline()
	defer cancel()
	made, err := d.RunPodSandbox(ctx, &cri.RunPodSandboxRequest{Config: d.sandboxConfig(p)})
	if err != nil {
		return nil, fmt.Errorf("cannot run pod %s: %w", name, err)
	}
	p.id = made.PodSandboxId
	created, err := d.CreateContainer(ctx, &cri.CreateContainerRequest{PodSandboxId: p.id, SandboxConfig: d.sandboxConfig(p),
		Config: &cri.ContainerConfig{Metadata: &cri.ContainerMetadata{Name: "web"}, Image: &cri.ImageSpec{Image: image},
			Command: []string{"/bin/httpd", "-f", "-p", "80", "-h", "/www"}, LogPath: "web.log"}})
	if err != nil {
		return p, fmt.Errorf("cannot create the container of pod %s: %w", name, err)
	}
	if _, err := d.StartContainer(ctx, &cri.StartContainerRequest{ContainerId: created.ContainerId}); err != nil {
		return p, fmt.Errorf("cannot start the container of pod %s: %w", name, err)
	}
	if err := d.inspect(p); err != nil {
		return p, err
	}
	return p, d.listens(ctx, p)
}

// listens waits until the pod's server does: its process has only been started.
func (d *daemon) listens(ctx context.Context, p *pod) error {
	for {
		_, err := d.reach("node-1", "http://"+p.address)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the server of pod %s does not answer the node: %w", p.name, err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// inspect reads the pod's address and network namespace from its status.
func (d *daemon) inspect(p *pod) error {
	ctx, cancel := d.deadline()
	defer cancel()
	answer, err := d.PodSandboxStatus(ctx, &cri.PodSandboxStatusRequest{PodSandboxId: p.id, Verbose: true})
	if err != nil {
		return fmt.Errorf("cannot read the status of pod %s: %w", p.name, err)
	}
	if s := answer.GetStatus(); s.GetState() != cri.PodSandboxState_SANDBOX_READY {
		return fmt.Errorf("pod %s is %s", p.name, s.GetState())
	}
	var info struct {
		RuntimeSpec struct {
			Linux struct{ Namespaces []struct{ Type, Path string } }
		}
	}
	if err := json.Unmarshal([]byte(answer.Info["info"]), &info); err != nil {
		return fmt.Errorf("cannot read the details of pod %s: %w", p.name, err)
	}
	for _, n := range info.RuntimeSpec.Linux.Namespaces {
		if n.Type == "network" {
			p.netns = n.Path
		}
	}
	p.address = answer.GetStatus().GetNetwork().GetIp()
	return nil
}

// stop and remove do as kubelet does.
func (d *daemon) stop(id string) error {
	ctx, cancel := d.deadline()
	defer cancel()
	_, err := d.StopPodSandbox(ctx, &cri.StopPodSandboxRequest{PodSandboxId: id})
	return err
}

func (d *daemon) remove(id string) error {
	ctx, cancel := d.deadline()
	defer cancel()
	if err := d.stop(id); err != nil {
		return err
	}
	_, err := d.RemovePodSandbox(ctx, &cri.RemovePodSandboxRequest{PodSandboxId: id})
	return err
}

// pod runs a pod that has to start.
func (d *daemon) pod(name string, hostPort int32) *pod {
	d.t.Helper()
	p, err := d.run(name, hostPort)
	if err != nil {
		d.t.Fatalf("%v\n%s", err, d.log())
	}
	return p
}

// crowd runs n pods at once, with host ports from one on.
func (d *daemon) crowd(prefix string, n int, port int32) []*pod {
	d.t.Helper()
	pods, errs := make([]*pod, n), make([]error, n)
	atOnce(n, func(i int) { pods[i], errs[i] = d.run(fmt.Sprintf("%s-%d", prefix, i), port+int32(i)) })
	if err := errors.Join(errs...); err != nil {
		d.t.Fatalf("%v\n%s", err, d.log())
	}
	return pods
}

func atOnce(n int, work func(int)) {
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() { work(i) })
	}
	group.Wait()
}

// removeAll stops and removes every sandbox that containerd knows, at once.
func (d *daemon) removeAll() {
	d.t.Helper()
	ids := d.sandboxes()
	errs := make([]error, len(ids))
	atOnce(len(ids), func(i int) { errs[i] = d.remove(ids[i]) })
	if err := errors.Join(errs...); err != nil {
		d.t.Errorf("cannot remove all pods: %v\n%s", err, d.log())
	}
	if left := d.sandboxes(); len(left) > 0 {
		d.t.Errorf("sandboxes that were removed and are there: %v", left)
	}
}

func (d *daemon) sandboxes() []string {
	d.t.Helper()
	ctx, cancel := d.deadline()
	defer cancel()
	list, err := d.ListPodSandbox(ctx, &cri.ListPodSandboxRequest{})
	if err != nil {
		d.t.Fatal(err)
	}
	var ids []string
	for _, s := range list.Items {
		ids = append(ids, s.Id)
	}
	return ids
}

// served says why a pod is not reached: at its own address, and through its host port, from a client outside the VPC
// and from the node.
func (d *daemon) served(p *pod) string {
	urls := map[string]string{"client": "http://" + p.address}
	if p.hostPort != 0 {
		urls["client by host port"] = fmt.Sprintf("http://%s:%d", d.address, p.hostPort)
		urls["internet by host port"] = fmt.Sprintf("http://%s:%d", d.public, p.hostPort)
		urls["node-1 by host port"] = fmt.Sprintf("http://%s:%d", d.address, p.hostPort)
	}
	var faults []string
	for from, url := range urls {
		machine, _, _ := strings.Cut(from, " ")
		said, err := d.reach(machine, url+"/cgi-bin/who")
		if err != nil || !strings.HasPrefix(said, p.name+" sees ") {
			faults = append(faults, fmt.Sprintf("%s from %s: said %q, %v", url, from, said, err))
		}
	}
	return strings.Join(faults, "; ")
}

// reached wants pods to be served, at once; when says at what time of the story that is.
func (d *daemon) reached(when string, pods ...*pod) {
	d.t.Helper()
	faults := make([]string, len(pods))
	atOnce(len(pods), func(i int) { faults[i] = d.served(pods[i]) })
	for i, fault := range faults {
		if fault != "" {
			d.t.Errorf("%s: %s: %s", when, pods[i].name, fault)
		}
	}
}

// sound wants pods to be served and their addresses to be true: the same in CRI, in the pool's lease and on eth0.
func (d *daemon) sound(pods ...*pod) {
	d.t.Helper()
	leased := map[string]string{}
	for _, l := range d.leases() {
		leased[l.Container] = l.Address
	}
	for _, p := range pods {
		inside := d.sh("nsenter --net=" + p.netns + " ip -4 -o address show dev eth0")
		if p.address != leased[p.id] || !strings.Contains(inside, " "+p.address+"/32 ") {
			d.t.Errorf("%s: CRI says %q, the pool leased %q, eth0 has %q", p.name, p.address, leased[p.id], inside)
		}
	}
	d.reached("sound", pods...)
}

type lease struct{ Address, Container string }

func (l *lab) leases() []lease {
	l.t.Helper()
	var leases []lease
	if err := json.Unmarshal([]byte(l.must(l.node("enichainctl", "leases", "--format", "json"))), &leases); err != nil {
		l.t.Fatal(err)
	}
	return leases
}

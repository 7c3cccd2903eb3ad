package daemon

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/enichain/enichain/bus"
	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/test/bench/figure"
	"github.com/enichain/enichain/test/lab/vpc"
)

// Pools keep one address and no spare, so that all pods but the first find none.
const labTail = `
enichaind:
  pools:
    - { name: default, mode: secondary, warm: { free: 0, minimum: 1 }, cooldown: 30s }
`

const labOfTwo = `vpc: 10.110.0.0/16
subnets:
  - { name: subnet-a, cidr: 10.110.16.0/20, zone: lab-1a }
nodes:
  - { name: node-1, type: m5.4xlarge, subnet: subnet-a }
  - { name: node-2, type: m5.4xlarge, subnet: subnet-a }
` + labTail

const labOfOne = `vpc: 10.120.0.0/16
subnets:
  - { name: subnet-a, cidr: 10.120.16.0/20, zone: lab-1a }
nodes:
  - { name: node-1, type: m5.4xlarge, subnet: subnet-a }
` + labTail

// lab is a running lab.
type lab struct {
	bin, dir, name string
	instances      map[string]string // of nodes, by their names
}

// raise starts a lab at no EC2 latency.
func raise(ctx context.Context, o figure.Options, dir, name, plan string) (*lab, error) {
	l := &lab{bin: filepath.Join(o.Bin, "vpclab"), dir: filepath.Join(dir, name), name: name}
	if err := os.MkdirAll(l.dir, 0o755); err != nil {
		return nil, err
	}
	file := filepath.Join(l.dir, name+".yaml")
	if err := os.WriteFile(file, []byte(plan), 0o644); err != nil {
		return nil, err
	}
	o.Progress("daemon: a lab of " + name)
	out, err := l.run(ctx, "up", "--speed", "0", "--name", name, file)
	var view struct {
		Nodes []struct{ Name, Instance string }
	}
	if err == nil {
		err = json.Unmarshal(out, &view)
	}
	if err != nil {
		l.end()
		return nil, err
	}
	l.instances = map[string]string{}
	for _, n := range view.Nodes {
		l.instances[n.Name] = n.Instance
	}
	return l, nil
}

func (l *lab) end() { _, _ = l.run(context.Background(), "down") } // it dies with the bench's namespaces anyway

// run runs vpclab, with a folder for its state that is the bench's alone.
func (l *lab) run(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, l.bin, append([]string{"--lab", l.name, "--format", "json"}, args...)...)
	cmd.Env = append(os.Environ(), "TMPDIR="+l.dir)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return out, fmt.Errorf("vpclab %s: %w: %s%s", strings.Join(args, " "), err, stderr.String(), out)
	}
	return out, nil
}

// pods makes pods at once; failed is how many of them have no network.
func (l *lab) pods(ctx context.Context, name, node string, n int) (failed int, err error) {
	out, err := l.run(ctx, "pod", "add", name, "--node", node, "--count", fmt.Sprint(n))
	var all []struct{ Error string }
	if json.Unmarshal(out, &all) != nil || len(all) != n {
		return 0, err
	}
	for _, p := range all {
		if p.Error != "" {
			failed++
		}
	}
	return failed, nil
}

// changes is how many calls have changed something in EC2 so far.
func (l *lab) changes(ctx context.Context) (n int, err error) {
	out, err := l.run(ctx, "ec2", "counts")
	if err != nil {
		return 0, err
	}
	var all []vpc.Count
	if err := json.Unmarshal(out, &all); err != nil {
		return 0, fmt.Errorf("cannot read the lab's counts: %w", err)
	}
	for _, c := range all {
		if !strings.HasPrefix(c.Action, "Describe") {
			n += c.Accepted
		}
	}
	return n, nil
}

// agent is the agent of a node, asked by its socket.
type agent struct {
	process
	client *http.Client
}

// agents finds the agents of the lab by the names of their machines; there is one lab with such.
func agents() (all []*agent, err error) {
	found, err := daemons()
	if err != nil {
		return nil, err
	}
	for _, p := range found {
		if p.role != "agent" {
			continue
		}
		dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", fmt.Sprintf("/proc/%d/root/run/enichain/enichaind.sock", p.pid))
		}
		all = append(all, &agent{p, &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}})
	}
	return all, nil
}

// status is what an agent has said so far.
type status struct {
	Node  struct{ Instance string }
	Agent struct {
		Publishes int
		Snapshot  ipam.Snapshot
	}
}

// free is how many addresses the next pods would get at once.
func (s status) free() (n int) {
	for _, e := range s.Agent.Snapshot.ENIs {
		n += e.Free
	}
	return n
}

func (a *agent) status(ctx context.Context) (s status, err error) {
	text, err := a.ask(ctx, "/v1/status")
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(text, &s)
}

// events are the newest that the agent has told.
func (a *agent) events(ctx context.Context, since string) (sizes []float64, err error) {
	text, err := a.ask(ctx, "/v1/events?follow=false&since="+since)
	for line := range strings.Lines(string(text)) {
		if data, ok := strings.CutPrefix(line, "data: "); ok {
			var e bus.Event
			if err := e.UnmarshalJSON([]byte(data)); err != nil {
				return nil, err
			}
			sizes = append(sizes, float64(len(strings.TrimSpace(data))))
		}
	}
	return sizes, err
}

func (a *agent) ask(ctx context.Context, path string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://enichaind"+path, nil)
	if err != nil {
		return nil, err
	}
	answer, err := a.client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("cannot ask the agent: %w", err)
	}
	defer answer.Body.Close()
	return io.ReadAll(answer.Body)
}

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/enichain/enichain/stages"
)

// makeLab is the first chapter.
func (d *demo) makeLab(ctx context.Context, p plan) error {
	d.chapter("A VPC on this machine", "vpclab up demo")
	began := time.Now()
	if err := start(ctx, d.state, p, upFlags{Speed: "1x"}); err != nil {
		return err
	}
	if err := waitReady(ctx, d.state, p, 2*time.Minute); err != nil {
		return err
	}
	ready := time.Since(began)
	var err error
	if d.view, err = fullView(ctx, d.state); err != nil {
		return err
	}
	line := "vpc " + d.view.VPC
	for _, s := range d.view.Subnets {
		line += fmt.Sprintf("     %s %s · %d free", s.Name, s.CIDR, s.Free)
	}
	d.say("%s", line)
	d.say("EC2 answers on %s, with EC2's usual delays; IMDSv2 in each node", d.view.Endpoint)
	d.say("the policy here: 4 addresses warm, 5 s of cooling, spare interfaces go back after 10 s (defaults: 4, 30 s, 10 min)")
	_, warm, err := d.eventually(ctx, time.Minute, func() (bool, error) {
		for _, n := range d.view.byRole(roleNode) {
			if p, err := d.pool(ctx, n.Name); err != nil || p.free() < 4 {
				return false, err
			}
		}
		return true, nil
	})
	if err != nil {
		return err
	}
	for _, n := range d.view.byRole(roleNode) {
		if err := d.nodeLine(ctx, n.Name); err != nil {
			return err
		}
	}
	d.say("P primary address, never a pod's · ■ leased · □ warm · ◌ cooling · · empty slot")
	d.check(warm, "both nodes can give addresses to pods, %s after nothing was there", ready.Round(100*time.Millisecond))
	d.before = map[string]string{}
	return nil
}

// byHand adds a pod as a person would, with cnitool and the list as it lies there.
func (d *demo) byHand(ctx context.Context) error {
	d.chapter("A pod by hand: cnitool and nothing else", "vpclab shell node-1")
	if _, err := d.sh(ctx, "node-1", "ip netns add testing1"); err != nil {
		return err
	}
	out, err := d.sh(ctx, "node-1", "cnitool add enichain /var/run/netns/testing1")
	if err != nil {
		return err
	}
	var result struct{ IPs []struct{ Address string } }
	if err := json.Unmarshal([]byte(out), &result); err != nil || len(result.IPs) != 1 {
		return fmt.Errorf("cannot read cnitool's result: %w: %s", err, out)
	}
	inside, err := d.sh(ctx, "node-1", "ip netns exec testing1 ip -br -4 address show eth0")
	if err != nil {
		return err
	}
	d.say("node-1# cnitool add enichain /var/run/netns/testing1")
	d.say("node-1# ip netns exec testing1 ip -br -4 address show eth0")
	d.say("%s", inside)
	d.check(strings.Contains(inside, result.IPs[0].Address), "the pod has %s, as the result says", result.IPs[0].Address)
	for range 2 {
		_, err := d.sh(ctx, "node-1", "cnitool check enichain /var/run/netns/testing1")
		d.check(err == nil, "cnitool check%s", because(err))
	}
	for _, again := range []string{"", ", and again: harmless"} {
		_, err := d.sh(ctx, "node-1", "cnitool del enichain /var/run/netns/testing1")
		d.check(err == nil, "cnitool del%s%s", again, because(err))
	}
	_, err = d.sh(ctx, "node-1", "ip netns del testing1")
	if err != nil {
		return err
	}
	return d.remember(ctx)
}

func because(err error) string {
	if err == nil {
		return ""
	}
	return ": " + err.Error()
}

// remember notes what each node's kernel looks like with no pod on it. A pod with a host port has been and gone by
// then, so that the stages' own tables are there, and empty.
func (d *demo) remember(ctx context.Context) error {
	for _, n := range d.view.byRole(roleNode) {
		if _, err := d.addOne(ctx, "first", podOptions{node: n.Name, ports: []string{"8080:80"}}); err != nil {
			return err
		}
		results, err := onNodes(ctx, d.state, d.view, "del", []podOrder{{Node: n.Name, Namespace: "default", Name: "first"}})
		if err := errorOr(err, firstFailure(results)); err != nil {
			return err
		}
		// The kernel takes a namespace's links away in its own time.
		_, alone, err := d.eventually(ctx, 20*time.Second, func() (bool, error) {
			others, err := d.sh(ctx, n.Name, "ip -o link | grep -v ': eth' | grep -vc ': lo:' || true")
			return others == "0", err
		})
		if err != nil || !alone {
			return errors.Join(fmt.Errorf("%s has links of a pod that is gone", n.Name), err)
		}
		if d.before[n.Name], err = d.kernel(ctx, n.Name); err != nil {
			return err
		}
	}
	return nil
}

// kernel is what enichain could leave behind in a node: links, rules, routes, nft objects, namespaces, leases.
func (d *demo) kernel(ctx context.Context, node string) (string, error) {
	text, err := d.sh(ctx, node, `ip -o link | cut -d: -f2 | cut -d@ -f1 | sort
		ip rule; ip -6 rule; ip route show table all | sort
		for t in $(nft list tables | grep enichain | cut -d' ' -f3); do nft list table inet $t; done
		ls /run/netns /var/lib/cni/results 2>/dev/null`)
	if err != nil {
		return "", err
	}
	p, err := d.pool(ctx, node)
	return fmt.Sprintf("%s\nleases: %d\nwaiting: %d", text, p.Leases, p.Waiting), err
}

// onePod adds a pod with a host port and shows what each stage took.
func (d *demo) onePod(ctx context.Context) error {
	d.chapter("One pod, four stages", "vpclab pod add web --node node-1 --port 8080:80")
	web, err := d.addOne(ctx, "web", podOptions{node: "node-1", ports: []string{"8080:80"}})
	if err != nil {
		return err
	}
	lines, err := d.flights(ctx, "node-1", web.Container)
	if err != nil {
		return err
	}
	did := map[string]string{
		"eni-ipam": web.Addresses[0], "routed-veth": "eth0 in the pod ⇄ a link of the node", "snat": "leaves the VPC as the node",
		"portmap-compat": "node-1:8080 → pod:80",
	}
	var sum time.Duration
	for _, f := range lines {
		took := time.Duration(f.Took) * time.Microsecond
		sum += took
		d.say("%-15s %6.1f ms %-12s %s", f.Stage, millis(took), strings.Repeat("▇", min(12, 1+int(took.Milliseconds()))), did[f.Stage])
	}
	d.check(len(lines) == 4, "%d stages, %.1f ms of their own time, %.1f ms with starting and ending them; no daemon was asked",
		len(lines), millis(sum), millis(web.Took))
	return nil
}

func millis(t time.Duration) float64 { return float64(t.Microseconds()) / 1000 }

// flights are the runs of the stages for one ADD, from the node's flight record.
func (d *demo) flights(ctx context.Context, node, container string) ([]stages.Flight, error) {
	text, err := d.sh(ctx, node, "cat /run/enichain/flight.jsonl")
	if err != nil {
		return nil, err
	}
	var all []stages.Flight
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		var f stages.Flight
		if err := json.Unmarshal(lines.Bytes(), &f); err != nil {
			return nil, fmt.Errorf("cannot read the flight record: %w: %s", err, lines.Text())
		}
		if f.Container == container && f.Command == "ADD" {
			all = append(all, f)
		}
	}
	return all, lines.Err()
}

// burst asks for more pods at once than the node holds.
func (d *demo) burst(ctx context.Context) error {
	d.chapter("Nine pods at once on node-1: more than it holds", "vpclab pod add burst --count 9 --node node-1")
	began := time.Now()
	results, err := d.add(ctx, "burst", podOptions{node: "node-1", count: 9})
	if err != nil {
		return err
	}
	took := time.Since(began)
	if err := d.timeline(ctx, began, "node-1"); err != nil {
		return err
	}
	ran, waited, longest := 0, 0, time.Duration(0)
	for _, r := range results {
		if r.Error != "" {
			d.say("%s: %s", r.Name, r.Error)
			continue
		}
		ran++
		flights, err := d.flights(ctx, "node-1", r.Container)
		if err != nil {
			return err
		}
		for _, f := range flights {
			if f.Wait > 0 {
				waited++
				longest = max(longest, time.Duration(f.Wait)*time.Microsecond)
			}
		}
	}
	d.say("%d had an address at once, %d waited with a ticket, the longest %s", ran-waited, waited, longest.Round(10*time.Millisecond))
	d.check(ran == 9, "9 pods asked, %d run after %s; nobody saw a failure", ran, took.Round(10*time.Millisecond))
	if err := d.secondary(ctx, "shop", "8081:80"); err != nil {
		return err
	}
	if _, err := d.addOne(ctx, "far", podOptions{node: "node-2"}); err != nil {
		return err
	}
	_, refilled, err := d.eventually(ctx, time.Minute, func() (bool, error) {
		p, err := d.pool(ctx, "node-1")
		return p.free() >= 4, err
	})
	if err != nil {
		return err
	}
	if err := d.nodeLine(ctx, "node-1"); err != nil {
		return err
	}
	d.check(refilled, "the warm pool is full again")
	return nil
}

// secondary starts a pod of node-1 on an interface other than the first. An address of the first that has cooled
// meanwhile would be taken before: then the pod ends, the address cools again, and the next try gets another.
func (d *demo) secondary(ctx context.Context, name, port string) error {
	for try := 1; ; try++ {
		if _, err := d.addOne(ctx, name, podOptions{node: "node-1", ports: []string{port}}); err != nil {
			return err
		}
		pods, err := d.pods(ctx)
		if err != nil || pods[name].device > 0 || try == 5 {
			return err
		}
		if err := d.remove(ctx, name); err != nil {
			return err
		}
	}
}

// podOf is a pod of the lab and the device index of its interface.
type podOf struct {
	podResult
	device int
}

// pods are all pods by name.
func (d *demo) pods(ctx context.Context) (map[string]podOf, error) {
	list, err := listPods(ctx, d.state, d.view)
	if err != nil {
		return nil, err
	}
	var dumped dump
	if err := ask(ctx, d.state, http.MethodGet, "/v1/dump", nil, &dumped); err != nil {
		return nil, err
	}
	all := map[string]podOf{}
	for _, p := range list {
		found := podOf{p, -1}
		for _, i := range dumped.Interfaces {
			holds := slices.ContainsFunc(i.Addresses(), func(a netip.Addr) bool { return a.String() == found.address() })
			if holds && i.Attachment != nil {
				found.device = i.Attachment.Device
			}
		}
		all[p.Name] = found
	}
	return all, nil
}

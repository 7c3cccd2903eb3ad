package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/enichain/enichain/conflists"
)

func (d *demo) fault(ctx context.Context, kind, argument string) error {
	return ask(ctx, d.state, http.MethodPost, "/v1/faults", faultRequest{Kind: kind, Argument: argument}, nil)
}

func (d *demo) mend(ctx context.Context) error {
	return ask(ctx, d.state, http.MethodDelete, "/v1/faults", nil, nil)
}

// deadDaemons kills every daemon and adds a pod.
func (d *demo) deadDaemons(ctx context.Context) error {
	d.chapter("Accident: kill -9 every enichaind, reconciler and bus too", "vpclab fault set kill all=enichaind")
	if err := d.fault(ctx, faultKill, "all=enichaind"); err != nil {
		return err
	}
	for _, node := range []string{"node-1", "node-2"} {
		p, err := d.addOne(ctx, "late-"+node, podOptions{node: node})
		d.check(err == nil, "a pod on %s all the same: %s in %.1f ms%s", node, strings.Join(p.Addresses, " "), millis(p.Took),
			because(err))
	}
	if err := d.mend(ctx); err != nil {
		return err
	}
	took, ok, err := d.eventually(ctx, time.Minute, func() (bool, error) { return d.atWork(ctx), nil })
	d.check(ok, "all daemons are back, agents on the bus and a reconciler in charge, after %s", took.Round(10*time.Millisecond))
	return err
}

// atWork tells whether every agent is on the bus and the reconciler leads.
func (d *demo) atWork(ctx context.Context) bool {
	for _, n := range append(d.view.byRole(roleNode), d.view.byRole(roleControl)...) {
		var s statusOf
		if d.inside(ctx, n.Name, "status", &s) != nil {
			return false
		}
		if s.Agent != nil && !s.Agent.Connected || s.Reconciler != nil && !s.Reconciler.Leading {
			return false
		}
	}
	return true
}

// flushedRules deletes every routing rule, main and default with them, as restarting network services do.
func (d *demo) flushedRules(ctx context.Context) error {
	d.chapter("Accident: ip rule flush, as a restarting networkd does", "vpclab exec node-1 -- ip rule flush")
	before, err := d.sh(ctx, "node-1", "ip rule")
	if err != nil {
		return err
	}
	began := time.Now()
	left, err := d.sh(ctx, "node-1", "ip rule flush; ip rule")
	if err != nil {
		return err
	}
	after := ""
	_, mended, err := d.eventually(ctx, 10*time.Second, func() (bool, error) {
		after, err = d.sh(ctx, "node-1", "ip rule")
		return after == before, err
	})
	if err != nil {
		return err
	}
	meanwhile := fmt.Sprintf("%d right after the flush", len(lines(left)))
	if left == before { // the daemon may be quicker than a list on a busy machine
		meanwhile = "all back before one could look"
	}
	d.check(mended, "%d rules before, %s, %d again %s later", len(lines(before)), meanwhile, len(lines(after)),
		time.Since(began).Round(time.Millisecond))
	pods, err := d.pods(ctx)
	if err != nil {
		return err
	}
	return d.askAll(ctx, []questionOf{{"node-1/shop", "http://" + pods["far"].address(), "far on node-2", pods["shop"].address(), "far"}})
}

// lines of a text, empty ones apart.
func lines(text string) []string {
	return slices.DeleteFunc(strings.Split(text, "\n"), func(line string) bool { return strings.TrimSpace(line) == "" })
}

// fullSubnet asks for more pods than are left, in a subnet without a free address.
func (d *demo) fullSubnet(ctx context.Context) error {
	d.chapter("Accident: subnet-b is full, and node-2 is asked for more", "vpclab fault set subnet-full subnet-b")
	var p poolView
	_, _, err := d.eventually(ctx, time.Minute, func() (ok bool, err error) { // the reconciler has just come back
		p, err = d.pool(ctx, "node-2")
		return p.free() >= 4, err
	})
	if err := errorOr(err, d.fault(ctx, "subnet-full", "subnet-b")); err != nil {
		return err
	}
	list, err := d.variant("impatient", `"type": "eni-ipam"`, `"type": "eni-ipam", "wait": "6s"`)
	if err != nil {
		return err
	}
	d.say("node-2 has %d warm; %d pods are asked for, each willing to wait 6 s (default 20 s)", p.free(), p.free()+2)
	results, err := d.add(ctx, "late", podOptions{node: "node-2", count: p.free() + 2, list: list})
	if err != nil {
		return err
	}
	said, ran := "", 0
	for _, r := range results {
		if r.Error == "" {
			ran++
		} else {
			said = r.Error
		}
	}
	d.say("the last pod says:")
	d.say("  %s", said)
	full := strings.Contains(said, "POOL_EMPTY") && strings.Contains(said, "subnet-") && strings.Contains(said, "10.110.20.0/24")
	d.check(ran == p.free(), "%d pods run, with the addresses that were there", ran)
	d.check(full, "the error names the subnet")
	if err := d.remove(ctx, "late"); err != nil {
		return err
	}
	_, back, err := d.eventually(ctx, time.Minute, func() (bool, error) {
		now, err := d.pool(ctx, "node-2")
		return now.free() >= p.free(), err
	})
	d.check(back, "as soon as other pods end, their addresses are there, after 5 s of cooling")
	return errorOr(err, d.mend(ctx))
}

// remove ends the pods that a name means.
func (d *demo) remove(ctx context.Context, name string) error {
	pods, err := listPods(ctx, d.state, d.view)
	if err != nil {
		return err
	}
	orders, err := chosen(pods, []string{name}, "", false)
	if err != nil {
		return err
	}
	results, err := onNodes(ctx, d.state, d.view, "del", orders)
	return errorOr(err, firstFailure(results))
}

// variant writes the flagship list with one thing changed.
func (d *demo) variant(name, old, changed string) (string, error) {
	text := strings.Replace(conflists.Flagship, old, changed, 1)
	if text == conflists.Flagship {
		return "", fmt.Errorf("the list has no %s", old)
	}
	path := filepath.Join(d.state.dir, name+".conflist")
	return path, os.WriteFile(path, []byte(text), 0o600)
}

// otherStage swaps one stage for upstream's.
func (d *demo) otherStage(ctx context.Context) error {
	d.chapter("Swap a stage: portmap-compat for upstream portmap", "one word in the list")
	list, err := d.variant("upstream-portmap", `"portmap-compat"`, `"portmap"`)
	if err != nil {
		return err
	}
	p, err := d.addOne(ctx, "swapped", podOptions{node: "node-2", ports: []string{"8082:80"}, list: list})
	if err != nil {
		return err
	}
	node, err := d.view.node("node-2")
	if err != nil {
		return err
	}
	other, err := d.view.node("node-1")
	if err != nil {
		return err
	}
	return d.askAll(ctx, []questionOf{
		{"internet", "http://" + node.Public + ":8082", "node-2:8082 → " + p.Name, internetAddress, p.Name},
		{"internet", "http://" + other.Public + ":8080", "node-1:8080 → web, as before", internetAddress, "web"},
	})
}

// emptied ends every pod and looks what is left.
func (d *demo) emptied(ctx context.Context) error {
	d.chapter("Every pod ends", "vpclab pod del --all")
	pods, err := listPods(ctx, d.state, d.view)
	if err != nil {
		return err
	}
	orders, err := chosen(pods, nil, "", true)
	if err != nil {
		return err
	}
	results, err := onNodes(ctx, d.state, d.view, "del", orders)
	if err != nil {
		return err
	}
	for _, r := range results {
		if r.Error != "" {
			d.say("%s: %s", r.Name, r.Error)
		}
	}
	d.check(firstFailure(results) == nil, "%d pods ended", len(results))
	began := time.Now()
	took, back, err := d.eventually(ctx, 3*time.Minute, func() (bool, error) {
		for _, n := range d.view.byRole(roleNode) {
			p, err := d.pool(ctx, n.Name)
			if err != nil || p.free() < 4 || p.interfaces() != 1 || p.Leases > 0 {
				return false, err
			}
		}
		return true, nil
	})
	if err != nil {
		return err
	}
	if err := d.timeline(ctx, began, "node-1"); err != nil {
		return err
	}
	for _, n := range d.view.byRole(roleNode) {
		if err := d.nodeLine(ctx, n.Name); err != nil {
			return err
		}
	}
	d.check(back, "the pools are at their target, and the spare interfaces were given back, after %s", took.Round(100*time.Millisecond))
	return d.compare(ctx)
}

// compare looks at each node's kernel once more.
func (d *demo) compare(ctx context.Context) error {
	for _, n := range d.view.byRole(roleNode) {
		diff := ""
		_, same, err := d.eventually(ctx, 10*time.Second, func() (bool, error) {
			after, err := d.kernel(ctx, n.Name)
			diff = lineDiff(d.before[n.Name], after)
			return diff == "", err
		})
		if err != nil {
			return err
		}
		d.check(same, "%s is as it was before its first pod: not a link, rule, route, nft object, namespace or lease more%s", n.Name, diff)
	}
	return nil
}

// lineDiff names the lines that only one of two texts has.
func lineDiff(before, after string) string {
	a, b := strings.Split(before, "\n"), strings.Split(after, "\n")
	var diff string
	for _, line := range a {
		if !slices.Contains(b, line) {
			diff += "\n      - " + line
		}
	}
	for _, line := range b {
		if !slices.Contains(a, line) {
			diff += "\n      + " + line
		}
	}
	return diff
}

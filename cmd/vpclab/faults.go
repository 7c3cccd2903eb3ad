package main

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/enichain/enichain/test/lab/vpc"
	"github.com/enichain/enichain/test/lab/wire"
)

// Faults that are the lab's own; the others are the world's.
const (
	faultKill  = "kill"  // NODE=enichaind
	faultFlush = "flush" // NODE=rules|routes|nft
	faultBus   = "bus"   // NODE=down
	faultLoss  = "loss"  // NODE=10%
)

// faultRequest is what 'fault set' asks.
type faultRequest struct {
	Kind     string        `json:"kind"`
	Argument string        `json:"argument"`
	For      time.Duration `json:"for"` // 0: until cleared
}

// faultView is an active fault.
type faultView struct {
	Kind   string    `json:"kind"`
	Target string    `json:"target"`
	Value  string    `json:"value"`
	Until  time.Time `json:"until,omitzero"`
}

// labFaults are the active faults of the lab's own.
type labFaults []faultView

func (h *holder) listFaults() []faultView {
	all := []faultView{}
	for _, f := range h.world.Faults(time.Now()) {
		all = append(all, faultView{string(f.Kind), f.Target, f.Value, f.Until})
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return append(all, h.faults...)
}

// setFault breaks something and returns what is broken now.
func (h *holder) setFault(ctx context.Context, r faultRequest) (any, error) {
	until := time.Time{}
	if r.For > 0 {
		until = time.Now().Add(r.For)
	}
	if err := knownFault(r.Kind); err != nil {
		return nil, err
	}
	if !slices.Contains([]string{faultKill, faultFlush, faultBus, faultLoss}, r.Kind) {
		f, err := vpc.ParseFault(r.Kind, r.Argument)
		if err != nil {
			return nil, err
		}
		if err := servedAction(f); err != nil {
			return nil, err
		}
		f.Until = until
		if err := h.world.SetFault(time.Now(), f); err != nil {
			return nil, err
		}
		h.settle(ctx)
		return h.listFaults(), nil
	}
	target, value, ok := strings.Cut(r.Argument, "=")
	nodes := h.targets(target)
	if !ok || len(nodes) == 0 {
		return nil, fmt.Errorf("fault %s needs NODE=%s, not %q", r.Kind, faultValues(r.Kind), r.Argument)
	}
	for _, n := range nodes {
		if err := h.breakNode(ctx, n, r.Kind, value); err != nil {
			return nil, fmt.Errorf("fault %s: %w", r.Kind, err)
		}
		if r.Kind == faultFlush {
			continue // an act, not a state
		}
		h.mu.Lock()
		h.faults = slices.DeleteFunc(h.faults, func(f faultView) bool { return f.Kind == r.Kind && f.Target == n.name })
		h.faults = append(h.faults, faultView{r.Kind, n.name, value, until})
		h.mu.Unlock()
	}
	return h.listFaults(), h.separate(ctx)
}

// knownFault refuses a kind that 'fault ls' does not show.
func knownFault(kind string) error {
	var kinds []string
	for _, row := range examples {
		kinds = append(kinds, row[0])
	}
	if !slices.Contains(kinds, kind) {
		return fmt.Errorf("there is no fault %q; there are %s", kind, strings.Join(kinds, ", "))
	}
	return nil
}

// servedAction refuses a pattern that no action of the lab fits: nothing would ever break.
func servedAction(f vpc.Fault) error {
	switch f.Kind {
	case vpc.FaultThrottle, vpc.FaultLatency, vpc.FaultError, vpc.FaultDeny:
	default:
		return nil
	}
	for _, action := range wire.Actions() {
		if match, _ := path.Match(f.Target, action); match {
			return nil
		}
	}
	return fmt.Errorf("fault %s: the lab serves no action that fits %q; docs/lab.md lists them", f.Kind, f.Target)
}

func faultValues(kind string) string {
	return map[string]string{faultKill: "enichaind", faultFlush: "rules|routes|nft", faultBus: "down", faultLoss: "10%"}[kind]
}

// targets are the machines a fault speaks of: one, or all that run enichaind.
func (h *holder) targets(name string) []*labNode {
	if name == "all" {
		return h.all(roleNode, roleControl)
	}
	if n := h.byName(name); n != nil && n.role != roleOutside {
		return []*labNode{n}
	}
	return nil
}

func (h *holder) breakNode(ctx context.Context, n *labNode, kind, value string) error {
	if kind == faultLoss {
		percent, err := lossOf(value)
		if err != nil {
			return err
		}
		return h.fabric.Loss(ctx, n.name, percent)
	}
	if !slices.Contains(strings.Split(faultValues(kind), "|"), value) {
		return fmt.Errorf("%q on %s: there are %s", value, n.name, faultValues(kind))
	}
	switch kind {
	case faultKill:
		if n.daemon == nil || n.off {
			return fmt.Errorf("%s runs no enichaind", n.name)
		}
		return n.daemon.kill()
	case faultFlush:
		// What restarting network services do. Rules: main and default go with the rest.
		script := map[string]string{"rules": "ip rule flush; ip -6 rule flush", "nft": "nft flush ruleset",
			"routes": "ip route flush table all proto 233; ip -6 route flush table all proto 233"}[value]
		_, err := n.node.Exec(ctx, "sh", "-c", script)
		return err
	case faultBus:
		if h.hub() == nil {
			return errors.New("a lab of one node has its bus inside the daemon; try kill")
		}
	}
	return nil
}

// lossOf reads the part of all packets that is lost, such as "10%".
func lossOf(value string) (float64, error) {
	number, ok := strings.CutSuffix(value, "%")
	percent, err := strconv.ParseFloat(number, 64)
	if !ok || err != nil || !(percent >= 0 && percent <= 100) {
		return 0, fmt.Errorf("%q is no part of all packets: 0%% to 100%%, for example 10%%", value)
	}
	return percent, nil
}

// clearFaults mends and returns how many faults went. Empty kind or target: any.
func (h *holder) clearFaults(ctx context.Context, kind, target string) (any, error) {
	if kind != "" {
		if err := knownFault(kind); err != nil {
			return nil, err
		}
	}
	cleared := h.world.ClearFault(time.Now(), vpc.FaultKind(kind), target)
	cleared += h.mend(func(f faultView) bool {
		return (kind == "" || f.Kind == kind) && (target == "" || f.Target == target)
	})
	if err := h.separate(ctx); err != nil {
		return nil, err
	}
	return map[string]int{"cleared": cleared}, nil
}

// mend ends the lab's own faults that fit.
func (h *holder) mend(fits func(faultView) bool) int {
	h.mu.Lock()
	var gone []faultView
	h.faults = slices.DeleteFunc(h.faults, func(f faultView) bool {
		if fits(f) {
			gone = append(gone, f)
			return true
		}
		return false
	})
	h.mu.Unlock()
	for _, f := range gone {
		switch n := h.byName(f.Target); {
		case n == nil:
		case f.Kind == faultKill && !n.off:
			n.daemon.mend()
		case f.Kind == faultLoss:
			if err := h.fabric.Loss(context.Background(), n.name, 0); err != nil {
				h.log.Error("cannot end the loss of packets", "node", n.name, "error", err)
			}
		}
	}
	return len(gone)
}

// expire mends what was broken for a time only.
func (h *holder) expire(ctx context.Context) {
	now := time.Now()
	if h.mend(func(f faultView) bool { return !f.Until.IsZero() && now.After(f.Until) }) == 0 {
		return
	}
	if err := h.separate(ctx); err != nil {
		h.log.Error("cannot mend a fault", "error", err)
	}
}

// separate makes the router drop what faults of kind bus say: everything between a node and the hub's port.
func (h *holder) separate(ctx context.Context) error {
	script := "table inet faults {}\ndelete table inet faults\n" +
		"table inet faults {\n chain cut {\n  type filter hook forward priority -10;\n"
	h.mu.Lock()
	for _, f := range h.faults {
		for _, n := range h.nodes {
			if f.Kind == faultBus && n.name == f.Target {
				script += fmt.Sprintf("  ip saddr %[1]s tcp dport %[2]s drop\n  ip daddr %[1]s tcp sport %[2]s drop\n", n.primary, busPort)
			}
		}
	}
	h.mu.Unlock()
	cmd := h.fabric.Router().Command(ctx, "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(script + " }\n}\n")
	if words, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot cut or mend the bus: %w: %s", err, words)
	}
	return nil
}

package main

import (
	"fmt"
	"maps"
	"net"
	"os"
	"slices"

	"github.com/nats-io/nkeys"
	"go.yaml.in/yaml/v3"

	"github.com/enichain/enichain/conflists"
)

// busPort is where the hub of a lab with several nodes listens, on the control instance (NATS's own port).
const busPort = "4222"

// Files of a node.
const (
	configFile   = "/etc/enichain/enichaind.yaml"
	conflistFile = "/etc/enichain/05-enichain.conflist"
	seedFile     = "/etc/enichain/bus.seed"
	usersFile    = "/etc/enichain/bus.users"
	confDir      = "/etc/cni/net.d"
)

// busKey is a node's identity on the bus.
type busKey struct{ public, seed string }

func (h *holder) makeKeys() error {
	for _, n := range h.all(roleNode, roleControl) {
		pair, err := nkeys.CreateUser()
		if err != nil {
			return fmt.Errorf("cannot make a key for %s: %w", n.name, err)
		}
		public, err := pair.PublicKey()
		if err != nil {
			return fmt.Errorf("cannot make a key for %s: %w", n.name, err)
		}
		seed, err := pair.Seed()
		if err != nil {
			return fmt.Errorf("cannot make a key for %s: %w", n.name, err)
		}
		h.keys[n.instance] = busKey{public, string(seed)}
	}
	return nil
}

// configure writes what a node's enichaind reads.
func (h *holder) configure(n *labNode) error {
	text, err := yaml.Marshal(overlay(h.nodeConfig(n), h.Plan.Enichaind))
	if err != nil {
		return err
	}
	files := map[string][]byte{configFile: text, conflistFile: []byte(conflists.Flagship)}
	if n.role == roleControl {
		files[usersFile] = h.users()
	}
	if h.hub() != nil {
		files[seedFile] = []byte(h.keys[n.instance].seed + "\n")
	}
	for name, content := range files {
		if err := os.WriteFile(n.node.Path(name), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// users is the hub's file: who may speak for which instance.
func (h *holder) users() []byte {
	var lines []byte
	for _, id := range slices.Sorted(maps.Keys(h.keys)) {
		lines = fmt.Appendln(lines, id, h.keys[id].public)
	}
	return lines
}

// hub is the control instance; nil in a lab of one node, whose daemon runs all.
func (h *holder) hub() *labNode { return h.byName(control) }

// section is a part of a YAML file.
type section = map[string]any

// nodeConfig is enichaind.yaml for a machine: one daemon with all roles in a lab of one node; otherwise agents, and
// reconciler and bus on the control instance.
func (h *holder) nodeConfig(n *labNode) section {
	c := section{
		"cluster": h.Plan.Name,
		"log":     section{"level": "info", "format": "json"},
	}
	hub := h.hub()
	switch {
	case n.role == roleControl:
		c["roles"] = []string{"reconciler", "bus"}
		c["bus"] = section{"listen": net.JoinHostPort(n.primary.String(), busPort), "users": usersFile}
	case hub != nil:
		c["roles"] = []string{"agent"}
		c["bus"] = section{"urls": []string{"nats://" + net.JoinHostPort(hub.primary.String(), busPort)}, "credentials": seedFile}
	default:
		c["roles"] = []string{"agent", "reconciler", "bus"}
	}
	if n.role != roleControl {
		c["cni"] = section{"confDir": confDir, "conflist": conflistFile, "binDir": binDir()}
	}
	if n.role == roleControl || hub == nil {
		c["pools"] = []any{section{
			"name": "default",
			"mode": "secondary", // single addresses, so that a few pods make interfaces come and go
			"warm": section{"free": 4},
			// An hour of a cluster's life in minutes: one wants to see it.
			"cooldown": "10s",
			"release":  section{"window": "30s", "minAge": "30s"},
		}}
	}
	return c
}

// overlay lays b over a: sections merge, anything else is replaced.
func overlay(a, b section) section {
	out := maps.Clone(a)
	for _, key := range slices.Sorted(maps.Keys(b)) {
		below, ok := out[key].(section)
		above, isSection := b[key].(section)
		if ok && isSection {
			out[key] = overlay(below, above)
			continue
		}
		out[key] = b[key]
	}
	return out
}

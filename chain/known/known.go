// Package known is what other people's CNI plugins need and add: the contracts that they would declare if they declared
// any. What it says of the reference plugins was read in their sources (containernetworking/plugins v1.9.1, cni v1.3.1)
// and is tried with their binaries by this package's tests; what it says of the others comes from their sources and
// documentation alone.
package known

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/enichain/enichain/chain/contract"
)

// Of is the contract of a plugin under a configuration, and the CNI versions it speaks, oldest first. A configuration
// that is no JSON object is read as an empty one. ok is false for a type that nobody here knows; no answer is the same
// as that of a type spelled otherwise, for a type is a file's name. The contract's V is 0: no stage declared it.
func Of(pluginType string, config json.RawMessage) (c contract.Contract, versions []string, ok bool) {
	p, ok := plugins()[pluginType]
	if !ok {
		return contract.Contract{}, nil, false
	}
	c = p.declare(read(config))
	return c, since(p.since), true
}

// Types are the plugins that Of knows, in alphabetical order.
func Types() []string {
	var types []string
	for t := range plugins() {
		types = append(types, t)
	}
	slices.Sort(types)
	return types
}

// plugin is one binary: the first version it speaks, and what it declares under a configuration.
type plugin struct {
	since   string
	declare func(config) contract.Contract
}

func plugins() map[string]plugin {
	all := map[string]plugin{}
	for _, family := range []map[string]plugin{addresses(), interfaces(), chained(), products()} {
		for name, p := range family {
			all[name] = p
		}
	}
	return all
}

// since lists the versions from one on, as a plugin lists them.
func since(first string) []string {
	versions := []string{"0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"}
	return versions[slices.Index(versions, first):]
}

// config is a stage's configuration as far as a contract depends on it.
type config map[string]json.RawMessage

func read(raw json.RawMessage) config {
	c := config{}
	if json.Unmarshal(raw, &c) != nil {
		return config{}
	}
	return c
}

// under is the object in a key; anything else is an empty one.
func (c config) under(key string) config { return read(c[key]) }

// has says whether a key is there with something in it: not null, false, 0, "", [] or {}.
func (c config) has(key string) bool {
	switch strings.TrimSpace(string(c[key])) {
	case "", "null", "false", "0", `""`, "[]", "{}":
		return false
	}
	return true
}

func (c config) text(key string) string {
	var s string
	if json.Unmarshal(c[key], &s) != nil {
		return ""
	}
	return s
}

// list are the objects in a key.
func (c config) list(key string) []config {
	var items []json.RawMessage
	if json.Unmarshal(c[key], &items) != nil {
		return nil
	}
	var objects []config
	for _, item := range items {
		objects = append(objects, read(item))
	}
	return objects
}

// delegates says whether ipam.type names somebody.
func (c config) delegates() bool { return c.under("ipam").text("type") != "" }

// capable says whether a capability is switched on for this stage.
func (c config) capable(name string) bool { return c.under("capabilities").has(name) }

// keys makes a contract's keys of lines "name: kind".
func keys(lines ...string) map[string]string {
	m := map[string]string{}
	for _, line := range lines {
		name, kind, _ := strings.Cut(line, ": ")
		m[name] = kind
	}
	return m
}

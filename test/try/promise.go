package try

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/containernetworking/cni/libcni"

	"github.com/enichain/enichain/chain"
	"github.com/enichain/enichain/chain/contract"
)

// promise is what the contracts of a list's stages say of a pod, once all have run.
type promise struct {
	facts   map[contract.Fact]bool
	changes map[contract.Aspect]bool
	gc      bool // every stage has the verb GC
	hairpin bool // with host ports, the pod reaches itself by them
	// needsNetns are the stages whose DEL is known to fail without the namespace.
	needsNetns map[string]bool
}

// promises follows the stages in their order; one that discards what came before it takes the facts with it.
func promises(ctx context.Context, list *libcni.NetworkConfigList, contracts chain.Contracts) promise {
	p := promise{facts: map[contract.Fact]bool{}, changes: map[contract.Aspect]bool{}, gc: true, hairpin: true,
		needsNetns: map[string]bool{}}
	for _, plugin := range list.Plugins {
		if inside := contracts.Of(ctx, plugin.Network.Type, plugin.Bytes).Stages; inside != nil {
			for _, m := range chain.Members(plugin.Network.Type, plugin.Bytes) {
				d := delegateOf(m.Config)
				called, ok := inside[d]
				if !ok && d != "" {
					called = contracts.Of(ctx, d, m.Config).Contract
				}
				p.follow(inside[m.Type], called)
			}
			continue
		}
		of := contracts.Of(ctx, plugin.Network.Type, plugin.Bytes)
		p.needsNetns[plugin.Network.Type] = slices.Contains(of.DelFails, contract.Netns)
		var config struct {
			IPAM        json.RawMessage `json:"ipam"`
			HairpinMode bool            `json:"hairpinMode"`
		}
		readable := json.Unmarshal(plugin.Bytes, &config) == nil
		// Where br_netfilter is loaded, as kube-proxy wants it, a bridge's port sends nothing back where it came from.
		p.hairpin = p.hairpin && (plugin.Network.Type != "bridge" || config.HairpinMode)
		var called contract.Contract
		if d := plugin.Network.IPAM.Type; d != "" && readable {
			called = contracts.Of(ctx, d, config.IPAM).Contract
		}
		p.follow(of.Contract, called)
		p.gc = p.gc && !of.Foreign() && (of.Verbs == nil || slices.Contains(of.Verbs, "GC"))
	}
	return p
}

// follow goes one stage on; called is its delegate's contract.
func (p promise) follow(of, called contract.Contract) {
	if of.Previous == contract.Discards {
		clear(p.facts)
	}
	all := []contract.Contract{of}
	if of.Delegates != contract.NoDelegate {
		all = append(all, called)
	}
	for _, c := range all {
		for _, f := range c.Adds {
			p.facts[f] = true
		}
		for _, a := range c.Changes {
			p.changes[a] = true
		}
	}
}

func delegateOf(config []byte) string {
	var c struct {
		IPAM struct {
			Type string `json:"type"`
		} `json:"ipam"`
	}
	_ = json.Unmarshal(config, &c) // an "ipam" of another form names nobody
	return c.IPAM.Type
}

// withFamilies tells eni-ipam and host-local, as a stage or as a delegate, which address families to give.
func withFamilies(config json.RawMessage, families []string) (json.RawMessage, error) {
	if families == nil {
		return config, nil
	}
	var all map[string]any
	if err := json.Unmarshal(config, &all); err != nil {
		return nil, err
	}
	entries := []any{all}
	if inside, ok := all[contract.FusedKey].([]any); ok && all["type"] == contract.Fused {
		entries = inside
	}
	for _, e := range entries {
		entry, _ := e.(map[string]any)
		tell(entry, families)
		if ipam, ok := entry["ipam"].(map[string]any); ok {
			tell(ipam, families)
		}
	}
	return json.Marshal(all)
}

// other are the ranges that host-local gets where its own have no address of a family.
var other = map[string]string{"ipv4": "10.66.0.0/24", "ipv6": "2001:db8:66::/64"}

func tell(config map[string]any, families []string) {
	switch config["type"] {
	case "eni-ipam":
		if ipam, ok := config["ipam"].(map[string]any); ok && ipam["type"] == nil { // its options may stand there
			config = ipam
		}
		config["families"] = families
	case "host-local":
		if _, ok := config["ipam"].(map[string]any); ok {
			return // first in the list: its options stand under "ipam", which is told next
		}
		config["ranges"] = rangesOf(config, families)
		delete(config, "subnet")
	}
}

// rangesOf keeps host-local's own ranges of the families wanted, and brings one for a family that has none.
func rangesOf(config map[string]any, families []string) []any {
	var kept []any
	has := map[string]bool{}
	sets, _ := config["ranges"].([]any)
	if subnet, ok := config["subnet"]; ok {
		sets = append(sets, []any{map[string]any{"subnet": subnet}})
	}
	for _, set := range sets {
		f := "ipv4"
		if ranges, ok := set.([]any); ok && len(ranges) > 0 {
			if r, ok := ranges[0].(map[string]any); ok && isSix(r["subnet"]) {
				f = "ipv6"
			}
		}
		if slices.Contains(families, f) {
			kept, has[f] = append(kept, set), true
		}
	}
	for _, f := range families {
		if !has[f] {
			kept = append(kept, []any{map[string]any{"subnet": other[f]}})
		}
	}
	return kept
}

func isSix(subnet any) bool {
	text, _ := subnet.(string)
	return slices.Contains([]byte(text), ':')
}

// dataDirs are the folders that a stage or its delegate is told to keep addresses in.
func dataDirs(config []byte) []string {
	var c struct {
		DataDir string `json:"dataDir"`
		IPAM    struct {
			DataDir string `json:"dataDir"`
		} `json:"ipam"`
	}
	if json.Unmarshal(config, &c) != nil {
		return nil
	}
	return slices.DeleteFunc([]string{c.DataDir, c.IPAM.DataDir}, func(s string) bool { return s == "" })
}

package generation

import (
	"bytes"
	"cmp"
	"encoding/json"
	"maps"
	"slices"
)

// whereabouts are the keys of known plugins that say where or how an effect is kept: with another value, DEL looks for it
// in the wrong place. All other keys of theirs may change without a stage becoming another one.
var whereabouts = map[string][]string{
	"bandwidth":      {},
	"bridge":         {"ipam", "ipMasq", "ipMasqBackend"},
	"dummy":          {"ipam"},
	"eni-ipam":       {"poolFile"},
	"fastpath":       {},
	"firewall":       {"backend", "firewalldZone", "iptablesAdminChainName", "ingressPolicy"},
	"host-device":    {"ipam"},
	"host-local":     {"ipam"},
	"ipvlan":         {"ipam"},
	"loopback":       {},
	"macvlan":        {"ipam"},
	"portmap":        {"backend"},
	"portmap-compat": {"backend"},
	"ptp":            {"ipam", "ipMasq", "ipMasqBackend"},
	"routed-veth":    {"ipam"},
	"sbr":            {},
	"snat":           {},
	"static":         {},
	"tuning":         {"dataDir"},
	"vlan":           {"ipam"},
	"vrf":            {},
}

// whereaboutsOfAddresses are the same for plugins that give addresses, in the "ipam" of their stage.
var whereaboutsOfAddresses = map[string][]string{
	"dhcp":       {"daemonSocketPath"},
	"eni-ipam":   {"poolFile"},
	"host-local": {"dataDir"},
	"static":     {},
}

// settles says whether DEL by this list does for an attachment what DEL of that stage would have done: it has one of the
// same type that looks for its effects in the same place. Of plugins that are not known, every key may say where.
func (l List) settles(s Stage) bool {
	return slices.ContainsFunc(l.Stages, func(own Stage) bool {
		return own.Type == s.Type && bytes.Equal(place(own), place(s))
	})
}

// place is what of a stage's configuration says where its effects are, in one form for equal values.
func place(s Stage) []byte {
	var whole map[string]any
	if json.Unmarshal(s.Config, &whole) != nil {
		return s.Config
	}
	for _, key := range []string{"name", "cniVersion", "capabilities"} {
		delete(whole, key)
	}
	if keys, known := whereabouts[s.Type]; known {
		maps.DeleteFunc(whole, func(key string, _ any) bool { return !slices.Contains(keys, key) })
	}
	if ipam, ok := whole["ipam"].(map[string]any); ok {
		kind, _ := ipam["type"].(string)
		if keys, known := whereaboutsOfAddresses[kind]; known {
			maps.DeleteFunc(ipam, func(key string, _ any) bool { return key != "type" && !slices.Contains(keys, key) })
		}
	}
	text, _ := json.Marshal(whole) // of what was JSON before
	return text
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

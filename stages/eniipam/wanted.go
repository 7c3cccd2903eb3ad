package eniipam

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/enichain/enichain/ipam/store"
	"github.com/enichain/enichain/stages"
)

// wanted are the addresses that a runtime or a person asks for by name: by capability "ips", by args.cni.ips, or by IP
// in CNI_ARGS; the first that is given counts (CNI conventions, "Dynamic plugin fields"). At most one per family.
func wanted(r *stages.Request) ([]netip.Addr, error) {
	if raw, ok := r.Member("runtimeConfig"); ok {
		var given map[string]json.RawMessage
		if json.Unmarshal(raw, &given) == nil && len(given["ipRanges"]) > 0 && string(given["ipRanges"]) != "null" {
			return nil, stages.Errorf(stages.Config, "runtimeConfig.ipRanges: addresses come from the node's network interfaces; leave the capability out")
		}
	}
	var texts []string
	where := "runtimeConfig.ips"
	if _, err := r.RuntimeConfig(capabilityIPs, &texts); err != nil {
		return nil, err
	}
	if len(texts) == 0 {
		where = "args.cni.ips"
		var args struct { // all but this is somebody else's
			CNI struct {
				IPs json.RawMessage `json:"ips"`
			} `json:"cni"`
		}
		raw, ok := r.Member("args")
		if ok && json.Unmarshal(raw, &args) == nil && len(args.CNI.IPs) > 0 && json.Unmarshal(args.CNI.IPs, &texts) != nil {
			return nil, stages.Errorf(stages.Config, `args.cni.ips: want a list of addresses such as ["10.0.1.23"], got %s`, compact(args.CNI.IPs))
		}
	}
	if ip := r.Args["IP"]; len(texts) == 0 && ip != "" {
		where = "CNI_ARGS IP"
		texts = strings.Split(ip, ",")
	}
	var out []netip.Addr
	for i, text := range texts {
		host, _, _ := strings.Cut(strings.TrimSpace(text), "/")
		a, err := netip.ParseAddr(host)
		if err != nil {
			return nil, stages.Errorf(stages.Config, "%s[%d]: want an address such as 10.0.1.23, got %s", where, i, strconv.Quote(text))
		}
		a = a.Unmap()
		if slices.ContainsFunc(out, func(b netip.Addr) bool { return a.Is4() == b.Is4() }) {
			return nil, stages.Errorf(stages.Config, "%s[%d]: %s is a second address of its family; a pod has one", where, i, a)
		}
		out = append(out, a)
	}
	slices.SortFunc(out, func(a, b netip.Addr) int { return int(store.FamilyOf(a)) - int(store.FamilyOf(b)) })
	return out, nil
}

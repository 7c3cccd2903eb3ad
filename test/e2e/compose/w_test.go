package compose

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/enichain/enichain/test/need"
)

// wanted is a composition that must work, W1 to W16 of docs/compositions.md.
type wanted struct {
	name   string
	stages []Variant
}

// named are variants by their names, which must be there.
func named(t *testing.T, names ...string) []Variant {
	t.Helper()
	var all []Variant
	for _, name := range names {
		i := slices.IndexFunc(Variants(), func(v Variant) bool { return v.Name == name })
		if i < 0 {
			t.Fatalf("no variant %q", name)
		}
		all = append(all, Variants()[i])
	}
	return all
}

func mustWork(t *testing.T) []wanted {
	w := func(name string, names ...string) wanted { return wanted{name, named(t, names...)} }
	tuning := Variant{Name: "tuning all", Type: "tuning",
		Single: `"mac": "02:fe:00:00:00:01", "mtu": 1400, "sysctl": { "net.core.somaxconn": "4096", "net.ipv4.conf.IFNAME.arp_filter": "1" }`}
	w7 := w("W7", "eni-ipam", "routed-veth")
	w7.stages = append(w7.stages, tuning)
	w14 := w("W14", "ptp+host-local masq", "tuning sysctl", "firewall", "portmap-compat nftables")
	return []wanted{
		w("W1", "eni-ipam", "routed-veth", "snat", "portmap-compat nftables"),
		w("W2", "eni-ipam", "routed-veth"),
		w("W3", "eni-ipam", "routed-veth", "portmap iptables"),
		w("W4", "eni-ipam", "routed-veth", "portmap nftables"),
		w("W5", "eni-ipam", "routed-veth", "bandwidth"),
		w("W6", "eni-ipam", "routed-veth", "firewall"),
		w7,
		w("W8", "eni-ipam", "routed-veth", "sbr"),
		w("W9", "host-local", "routed-veth", "portmap-compat nftables"),
		w("W10", "routed-veth+host-local", "snat inside"),
		w("W11", "routed-veth+eni-ipam", "portmap-compat nftables"),
		w("W12", "ptp+eni-ipam", "snat", "portmap-compat nftables"),
		w("W13", "bridge+eni-ipam", "firewall same-bridge", "portmap-compat nftables"),
		w14,
		w("W15", "ptp+host-local", "bandwidth", "portmap-compat nftables"),
		w("W16", "eni-ipam", "ipvlan", "portmap-compat nftables"),
		w("W17", "eni-ipam", "routed-veth", "snat", "portmap-compat nftables", "fastpath"),
	}
}

// versions are those that every composition is tried on.
func versions() []string { return []string{"0.4.0", "1.0.0", "1.1.0"} }

func TestMustWork(t *testing.T) {
	need.NetAdmin(t)
	path := bins(t)
	var jobs []job
	var names []string
	for _, w := range mustWork(t) {
		if i := slices.IndexFunc(w.stages, func(v Variant) bool { return unrunnable(v) != "" }); i >= 0 {
			t.Logf("%s is not tried here: %s", w.name, unrunnable(w.stages[i]))
			continue
		}
		for _, dual := range []bool{false, true} {
			for _, version := range versions() {
				patient := version == versions()[len(versions())-1] // nothing of that is a question of the version
				jobs = append(jobs, job{Text: List("w", version, dual, w.stages...), Version: version, Path: path, Patient: patient})
				names = append(names, fmt.Sprintf("%s/%s/%s", w.name, version, families(dual)))
			}
		}
	}
	trials(t, 0, jobs, func(i int, o outcome) {
		if o.Err != "" {
			t.Errorf("%s: %s", names[i], o.Err)
			return
		}
		for _, why := range unexplained(o.Broken, Lint(t.Context(), jobs[i].Text, composer(t).Contracts).Problems) {
			t.Errorf("%s: %s", names[i], why)
		}
		t.Logf("%-22s %s", names[i], o.Took.Round(time.Millisecond))
	})
}

func families(dual bool) string {
	if dual {
		return "dual-stack"
	}
	return "IPv4"
}

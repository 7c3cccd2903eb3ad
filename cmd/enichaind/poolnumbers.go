package main

import (
	"context"
	"time"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/reconcile"
)

// inFamily is one pool's addresses of one family on this node.
type inFamily struct {
	pool   string
	family string
}

// pools tells a node's own pools.
func pools(gauge emitter, s ipam.Snapshot) {
	counts, enis, names := map[inFamily]map[string]int{}, map[string]int{}, map[string]bool{}
	for _, e := range s.ENIs {
		names[e.Pool] = true
		enis[e.Pool]++
		for family, states := range states(e) {
			key := inFamily{e.Pool, family}
			if counts[key] == nil {
				counts[key] = map[string]int{}
			}
			for state, n := range states {
				counts[key][state] += n
			}
		}
	}
	waiting := map[string]int{}
	for _, p := range s.Pools {
		names[p.Name] = true
		waiting[p.Name] = p.Pods()
	}
	for key, states := range counts {
		slots := 0
		for state, n := range states {
			gauge("pool_addresses", "Addresses of the pool by state; leased has the lost ones in it.", float64(n),
				"pool", key.pool, "family", key.family, "state", state)
			if state != "lost" && state != string(ipam.Held) {
				slots += n
			}
		}
		gauge("pool_slots", "Addresses that the pool has on this node in any state, those that are gone apart.", float64(slots),
			"pool", key.pool, "family", key.family)
	}
	for name := range names {
		gauge("enis", "Network interfaces of the pool.", float64(enis[name]), "pool", name, "state", "attached")
		gauge("pods_waiting", "Pods that wait for an address.", float64(waiting[name]), "pool", name)
	}
}

// states are an interface's addresses by family and state. IPv6 is told where there is any.
func states(e ipam.ENISummary) map[string]map[string]int {
	told := func(f ipam.Family) map[string]int {
		c := e.Counts(f)
		return map[string]int{"pending": c.Pending, "free": c.Free, "leased": c.Leased, "lost": c.Lost, "cooling": c.Cooling,
			"fenced": e.CountFenced(f), "held": c.Held}
	}
	all := map[string]map[string]int{"ipv4": told(ipam.IPv4)}
	if e.IPv6 != (ipam.Counts{}) || e.CountFenced(ipam.IPv6) > 0 {
		all["ipv6"] = told(ipam.IPv6)
	}
	return all
}

// fileNumbers tells what only the pool file knows: how many pods may have addresses here, as it was told last, and for
// how long pods have had theirs.
func (d *daemon) fileNumbers(gauge emitter) {
	state, now, err := d.readPool(context.Background())
	if err != nil {
		return // there is none yet; the agent says so
	}
	oldest := map[string]float64{}
	for _, l := range state.Leases {
		if l.At > 0 && l.Users == 0 { // neither of before the file, nor a bridge's gateway
			oldest[l.Pool] = max(oldest[l.Pool], time.Duration(now.Boot-l.At).Seconds())
		}
	}
	for pool, seconds := range oldest {
		gauge("lease_age_seconds_oldest", "How long the oldest lease of the pool has lasted.", seconds, "pool", pool)
	}
	for _, p := range state.Meta.Pools {
		if state.Meta.Most > 0 {
			gauge("pool_ceiling", "Most pods that may have addresses on this node, of all pools together.", float64(state.Meta.Most),
				"pool", p.Name)
		}
	}
}

// gather tells of the source of demand, if there is one.
func (s *demandState) gather(gauge emitter) {
	total, fault := s.told()
	for pool, n := range total {
		gauge("demand_pods", "Pods that are bound to a node and have no address yet, by the source of demand.", float64(n),
			"pool", pool)
	}
	gauge("demand_source_fault", "1 while the source of demand cannot be read.", number(fault != ""))
}

// fleet tells of every node from one place, so that nodes need no port.
func fleet(gauge emitter, p reconcile.Picture) {
	for _, n := range p.Nodes {
		node := string(n.Instance)
		for _, pool := range n.Pools {
			for state, count := range pool.Counts {
				gauge("node_pool_addresses", "Addresses of a node by pool, in its leading family, and state.", float64(count),
					"node", node, "pool", pool.Name, "state", string(state))
			}
			gauge("node_pool_ceiling", "Most addresses that a pool may have on a node; 0 = not known.", float64(pool.Ceiling),
				"node", node, "pool", pool.Name)
			gauge("node_pods_waiting", "Pods of a node that wait for addresses of a pool.", float64(pool.Waiting),
				"node", node, "pool", pool.Name)
		}
		gauge("node_silent_seconds", "Since a node's newest snapshot.", n.Silent.Seconds(), "node", node)
	}
	for _, s := range p.Subnets {
		gauge("subnet_free_addresses", "Free addresses of a subnet.", float64(s.Free), "subnet", string(s.ID), "zone", s.Zone)
		if s.Refused != "" {
			gauge("subnet_blocked_seconds", "Until a subnet is asked again.", s.Blocked.Seconds(),
				"subnet", string(s.ID), "reason", s.Refused)
		}
		if s.Fragmented > 0 {
			gauge("subnet_blocked_seconds", "Until a subnet is asked again.", s.Fragmented.Seconds(),
				"subnet", string(s.ID), "reason", ipam.WhyFragmented)
		}
	}
	gauge("orphan_enis", "Network interfaces of ours that no node has.", float64(p.Orphans))
}

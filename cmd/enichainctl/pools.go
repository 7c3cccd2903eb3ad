package main

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/store"
)

// poolState is one pool of this node: what was supplied of it, and what it has.
type poolState struct {
	ipam.SuppliedPool
	enis    []store.ENI // in rank order
	four    store.Counts
	six     store.Counts
	tickets []store.Ticket
}

// poolStates are the pools that this node may have, in the configuration's order; then those that it has interfaces of,
// or that pods wait for, and that nobody told of.
func poolStates(s store.State) []poolState {
	var all []poolState
	at := func(name string) *poolState {
		i := slices.IndexFunc(all, func(p poolState) bool { return p.Name == name })
		if i < 0 {
			all = append(all, poolState{SuppliedPool: ipam.SuppliedPool{Name: name}})
			i = len(all) - 1
		}
		return &all[i]
	}
	for _, p := range s.Meta.Pools {
		at(p.Name).SuppliedPool = p
	}
	for _, e := range s.ENIs {
		p := at(e.Pool)
		p.enis = append(p.enis, e)
		p.four = plus(p.four, e.Counts, 1)
		p.four = plus(p.four, e.Counts6, -1)
		p.six = plus(p.six, e.Counts6, 1)
	}
	for _, t := range s.Tickets {
		p := at(t.Pool)
		p.tickets = append(p.tickets, t)
	}
	return all
}

// plus adds d times b to a.
func plus(a, b store.Counts, d int) store.Counts {
	a.Pending += d * b.Pending
	a.Free += d * b.Free
	a.Leased += d * b.Leased
	a.Lost += d * b.Lost
	a.Cooling += d * b.Cooling
	a.Fenced += d * b.Fenced
	a.Held += d * b.Held
	return a
}

// lead is the counts of the family that the pool's targets are about.
func (p poolState) lead() store.Counts {
	if ipam.Lead(p.Families) == ipam.IPv6 {
		return p.six
	}
	return p.four
}

// lines say what the pool has, one family a line; IPv4 goes without saying.
func (p poolState) lines() []string {
	has := func(f ipam.Family, c store.Counts) bool {
		return slices.Contains(p.Families, f) || c != (store.Counts{})
	}
	var lines []string
	if has(ipam.IPv4, p.four) || !has(ipam.IPv6, p.six) {
		lines = append(lines, counts(p.four))
	}
	if has(ipam.IPv6, p.six) {
		lines = append(lines, "IPv6: "+counts(p.six))
	}
	return lines
}

// whys are the pools that cannot grow, the empty ones first.
func whys(all []poolState) []poolState {
	var out []poolState
	for _, p := range all {
		if p.Why != nil {
			out = append(out, p)
		}
	}
	slices.SortStableFunc(out, func(a, b poolState) int {
		return cmp.Compare(min(a.lead().Free, 1), min(b.lead().Free, 1))
	})
	return out
}

// retry says when the reconciler tries again for a pool; "" where that is not known, or over.
func (a *app) retry(w *ipam.Why, heard time.Time) string {
	at := heard.Add(time.Duration(w.RetryIn) * time.Second)
	if w.RetryIn == 0 || at.Before(a.clock().Wall) {
		return ""
	}
	return ", next try at " + a.hour(at)
}

// poolForm is one pool in the answers of status and pool.
type poolForm struct {
	Pool     string        `json:"pool"`
	Families []ipam.Family `json:"families"` // 4, 6
	Counts   countsForm    `json:"counts"`   // IPv4
	IPv6     countsForm    `json:"ipv6"`
	Target   int           `json:"target"` // free addresses to keep, of the first family
	High     int           `json:"high"`   // free addresses above which some are given back
	Cooldown float64       `json:"cooldown"`
	Waiting  int           `json:"waiting"`
	Why      *ipam.Why     `json:"why,omitempty"`
}

func (p poolState) form() poolForm {
	f := poolForm{Pool: p.Name, Families: p.Families, Counts: newCountsForm(p.four), IPv6: newCountsForm(p.six), Target: p.Low, High: p.High,
		Cooldown: p.Cooldown.Seconds(), Waiting: len(p.tickets), Why: p.Why}
	if f.Families == nil {
		f.Families = []ipam.Family{}
	}
	return f
}

// poolNamed is the pool of a name, or an error that has the names there are.
func poolNamed(all []poolState, name string) ([]poolState, error) {
	i := slices.IndexFunc(all, func(p poolState) bool { return p.Name == name })
	if i >= 0 {
		return all[i : i+1], nil
	}
	var names []string
	for _, p := range all {
		names = append(names, p.Name)
	}
	do := "there are: " + handful(names)
	if len(names) == 0 {
		do = "there is none yet"
	}
	return nil, &failure{code: exitWrong, err: fmt.Errorf("no pool %q on this node", name), do: do}
}

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/enichain/enichain/test/lab/fabric"
	"github.com/enichain/enichain/test/lab/vpc"
)

// view is a lab as 'up', 'exec' and the demo see it.
type view struct {
	Lab      string       `json:"lab"`
	Endpoint string       `json:"endpoint"`
	VPC      string       `json:"vpc"`
	Subnets  []subnetView `json:"subnets"`
	Nodes    []nodeView   `json:"nodes"`
	Waits    bool         `json:"waits"` // for daemons
}

type subnetView struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	CIDR string `json:"cidr"`
	Zone string `json:"zone"`
	Free int    `json:"free"`
}

type nodeView struct {
	Name     string `json:"name"`
	Role     string `json:"role"`
	Instance string `json:"instance"`
	State    string `json:"state"` // of the instance; empty of hosts outside
	Type     string `json:"type"`
	Subnet   string `json:"subnet"`
	Address  string `json:"address"`
	Public   string `json:"public"`
	PID      int    `json:"pid"` // of the anchor, inside the lab; 0 while the machine is off
	Daemon   string `json:"daemon"`
	List     string `json:"list"` // that the node has published for pods; empty: none yet
}

// ready tells whether every node has published a list.
func (v view) ready() bool {
	for _, n := range v.Nodes {
		if n.Role == roleNode && n.List == "" {
			return false
		}
	}
	return true
}

// node finds a machine by name or instance id.
func (v view) node(name string) (nodeView, error) {
	names := ""
	for _, n := range v.Nodes {
		if n.Name == name || n.Instance == name {
			return n, nil
		}
		names += " " + n.Name
	}
	return nodeView{}, fail(exitUsage, "lab %s has no %q; it has%s", v.Lab, name, names)
}

// byRole are the machines of a role that are on.
func (v view) byRole(role string) []nodeView {
	var all []nodeView
	for _, n := range v.Nodes {
		if n.Role == role && n.PID != 0 {
			all = append(all, n)
		}
	}
	return all
}

// api is what the subcommands outside ask the holder, over the control socket.
func (h *holder) api() http.Handler {
	m := http.NewServeMux()
	get := func(path string, answer func(*http.Request) (any, error)) {
		m.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			a, err := answer(r)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			json.NewEncoder(w).Encode(a)
		})
	}
	get("GET /v1/lab", func(r *http.Request) (any, error) { return h.view(r.URL.Query().Has("free")), nil })
	get("GET /v1/dump", func(*http.Request) (any, error) { return h.dump() })
	get("GET /v1/counts", func(r *http.Request) (any, error) { return h.counts(r.URL.Query().Get("since")) })
	get("GET /v1/journal", func(*http.Request) (any, error) { return h.world.Journal(0), nil })
	get("GET /v1/drops", func(*http.Request) (any, error) { return h.fabric.Drops(), nil })
	get("GET /v1/dropped", func(*http.Request) (any, error) { return h.fabric.Dropped(), nil })
	get("GET /v1/faults", func(*http.Request) (any, error) { return h.listFaults(), nil })
	get("POST /v1/faults", func(r *http.Request) (any, error) {
		var f faultRequest
		if err := json.NewDecoder(r.Body).Decode(&f); err != nil {
			return nil, fmt.Errorf("cannot read the fault: %w", err)
		}
		return h.setFault(r.Context(), f)
	})
	get("DELETE /v1/faults", func(r *http.Request) (any, error) {
		return h.clearFaults(r.Context(), r.URL.Query().Get("kind"), r.URL.Query().Get("target"))
	})
	m.HandleFunc("GET /v1/drops/follow", h.followDrops)
	return m
}

// followDrops sends a line for each drop until the client leaves.
func (h *holder) followDrops(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	lines, flush := json.NewEncoder(w), http.NewResponseController(w)
	follow := h.fabric.Follow(ctx)
	flush.Flush()
	for d := range follow {
		if lines.Encode(d) != nil || flush.Flush() != nil {
			return
		}
	}
}

// inspector is the holder's own name as a caller of EC2.
const inspector = "vpclab"

// counts are the calls of everybody else: all, or those since a time ago (RFC 3339).
func (h *holder) counts(since string) (all []vpc.Count, err error) {
	if since == "" {
		all = h.world.Counts()
	} else {
		var from time.Time
		if from, err = time.Parse(time.RFC3339Nano, since); err != nil {
			return nil, fmt.Errorf("cannot count calls since %q: %w", since, err)
		}
		if all, err = h.world.CountsSince(from); err != nil {
			return nil, err
		}
	}
	return slices.DeleteFunc(all, func(c vpc.Count) bool { return c.Caller == inspector }), nil
}

// view gathers what there is now; with the free addresses of the subnets only if asked, since that costs a call, and
// the account's calls are rationed.
func (h *holder) view(free bool) view {
	v := view{Lab: h.Plan.Name, VPC: h.Plan.VPC.String(), Waits: !h.Flags.NoDaemons}
	v.Subnets = slices.Clone(h.subnets)
	if free {
		h.countFree(v.Subnets)
	}
	for _, n := range h.all() {
		i, _ := h.world.Instance(n.instance)
		v.Nodes = append(v.Nodes, n.view(i))
	}
	return v
}

func (h *holder) countFree(subnets []subnetView) {
	r, err := h.world.Call(time.Now(), inspector, vpc.DescribeSubnets{})
	if err != nil {
		return // throttled by a fault: the numbers stay 0
	}
	out, _ := r.Output.(vpc.DescribeSubnetsOutput)
	for _, s := range out.Subnets {
		for i := range subnets {
			if subnets[i].ID == s.ID {
				subnets[i].Free = s.Free
			}
		}
	}
}

func (n *labNode) view(i vpc.Instance) nodeView {
	state := i.State
	v := nodeView{Name: n.name, Role: n.role, Instance: n.instance, State: string(state), Type: firstOf(i.Type, n.kind), Subnet: n.subnet, Address: n.primary.String(),
		PID: n.node.PID(), Daemon: "-"}
	if n.public.IsValid() {
		v.Public = n.public.String()
	}
	if n.daemon != nil {
		v.Daemon = n.daemon.status()
	}
	if state == vpc.Stopped || state == vpc.Terminated { // there is no machine to look into
		v.PID, v.Daemon = 0, v.State
		return v
	}
	if lists, _ := fs.Glob(os.DirFS(n.node.Path(confDir)), "*.conflist"); len(lists) > 0 {
		v.List = filepath.Join(confDir, lists[0])
	}
	return v
}

// dump is the whole VPC in a stable order.
type dump struct {
	View       view                          `json:"view"`
	Interfaces []vpc.NetworkInterface        `json:"interfaces"`
	Links      map[string][]fabric.Interface `json:"links"` // by node
	Dropped    map[fabric.Kind]int           `json:"dropped"`
	Faults     []faultView                   `json:"faults"`
	Counts     []vpc.Count                   `json:"counts"`
}

func (h *holder) dump() (any, error) {
	counts, err := h.counts("")
	if err != nil {
		return nil, err
	}
	d := dump{View: h.view(true), Interfaces: h.world.NetworkInterfaces(time.Now()), Links: map[string][]fabric.Interface{},
		Dropped: h.fabric.Dropped(), Faults: h.listFaults(), Counts: counts}
	for _, n := range h.all() {
		d.Links[n.name] = h.fabric.Attached(n.name)
	}
	return d, nil
}

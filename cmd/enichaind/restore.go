package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/enichain/enichain/chain/generation"
	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/agent"
	"github.com/enichain/enichain/stages"
	"github.com/enichain/enichain/stages/fastpath"
	"github.com/enichain/enichain/stages/portmapcompat"
	"github.com/enichain/enichain/stages/snat"
)

// restorer puts back what others took of the stages that keep something in nftables, for the attachments that live. What
// each of them had stands in the runtime's cache of results. It serves one goroutine.
type restorer struct {
	cache  *generation.Cache // the runtime's cached results
	lists  generation.Store
	stages []restoredStage
	known  map[string]recalled // by file name
	taken  map[string][]string // stages that pods live without, by the entry's key
	said   string              // errors of the last look: one that stays is told once
}

type restoredStage struct {
	name string // "type" in the list
	stages.Restorer
}

func newRestorer(lists generation.Store) *restorer {
	return &restorer{cache: generation.NewCache(lists.Results), lists: lists.Remembering(), known: map[string]recalled{}, stages: []restoredStage{
		{"snat", &snat.Restorer{}}, {"portmap-compat", &portmapcompat.Restorer{}},
		{"fastpath", &fastpath.Restorer{}}}}
}

// recalled is one attachment's requests by stage, and the file they are from.
type recalled struct {
	entry    *generation.Entry
	netns    string
	wire     string // MAC of the host's end, where routed-veth made it
	requests map[string]*stages.Request
}

// restore looks at every stage. again asks for another look a second later.
func (x *restorer) restore(ctx context.Context) (what []string, again bool, err error) {
	if err := x.read(); err != nil {
		return nil, false, err
	}
	wires, err := upLinks()
	if err != nil {
		return nil, false, err
	}
	var errs error
	for _, s := range x.stages {
		more, doubt, err := s.Restore(ctx, time.Now(), x.live(s.name, wires))
		what, again, errs = append(what, more...), again || doubt, errors.Join(errs, err)
	}
	said := ""
	if errs != nil {
		said = errs.Error()
	}
	if said == x.said {
		errs = nil
	}
	x.said = said
	return what, again, errs
}

// upLinks are the MACs of links that are up.
func upLinks() (map[string]bool, error) {
	links, err := whole(netlink.LinkList)
	if err != nil {
		return nil, fmt.Errorf("cannot list links: %w", err)
	}
	up := map[string]bool{}
	for _, l := range links {
		up[l.Attrs().HardwareAddr.String()] = l.Attrs().RawFlags&unix.IFF_UP != 0
	}
	return up, nil
}

// live are the requests of attachments whose pods are there, the newest first: what two want is the newest's. wires are
// the links that are up; one of routed-veth's that is not among them is ending.
func (x *restorer) live(stage string, wires map[string]bool) []*stages.Request {
	var files []string
	for name, r := range x.known {
		if r.requests[stage] != nil && !slices.Contains(x.taken[r.entry.Key()], stage) && isNetns(r.netns) && (r.wire == "" || wires[r.wire]) {
			files = append(files, name)
		}
	}
	slices.SortFunc(files, func(a, b string) int {
		if order := x.known[b].entry.At.Compare(x.known[a].entry.At); order != 0 {
			return order
		}
		return strings.Compare(a, b)
	})
	requests := make([]*stages.Request, 0, len(files))
	for _, name := range files {
		requests = append(requests, x.known[name].requests[stage])
	}
	return requests
}

// isNetns says whether a network namespace stands at path; one that is gone leaves an empty file or none.
func isNetns(path string) bool {
	var fs unix.Statfs_t
	return path != "" && unix.Statfs(path, &fs) == nil && fs.Type == unix.NSFS_MAGIC
}

// read takes over new and changed files of the cache and forgets those that are gone.
func (x *restorer) read() error {
	entries, err := x.cache.Read()
	if err != nil {
		return err
	}
	for name, e := range entries {
		if was, ok := x.known[name]; !ok || was.entry != e {
			r := x.recall(e)
			r.entry = e
			x.known[name] = r
		}
	}
	for name := range x.known {
		if entries[name] == nil {
			delete(x.known, name)
		}
	}
	x.taken, err = x.lists.Taken()
	return err
}

// recall makes the requests of our stages in a cached result's list. Files that are no such thing have none: the folder
// is the runtime's, and other networks' entries are in it as well.
func (x *restorer) recall(e *generation.Entry) (r recalled) {
	if !e.OK {
		return r
	}
	list, err := generation.ParseList(e.Cached.Config)
	if err != nil {
		return r
	}
	a := stages.Attachment(e.Cached.Attachment)
	args := map[string]string{}
	for _, pair := range e.Cached.Args {
		args[pair[0]] = pair[1]
	}
	r = recalled{netns: e.Cached.Netns, requests: map[string]*stages.Request{}}
	for _, plugin := range list.Stages {
		if plugin.Type == "routed-veth" {
			r.wire = agent.OwnerMAC(ipam.Attachment(a))
		}
		if !slices.ContainsFunc(x.stages, func(s restoredStage) bool { return s.name == plugin.Type }) {
			continue
		}
		config, err := e.Cached.Configuration(plugin.Config)
		if err != nil {
			continue
		}
		if request, err := stages.Recall(a, e.Cached.Netns, args, config); err == nil {
			r.requests[plugin.Type] = request
		}
	}
	return r
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/agent"
	"github.com/enichain/enichain/stages"
	"github.com/enichain/enichain/stages/portmapcompat"
	"github.com/enichain/enichain/stages/snat"
)

// restorer puts back what others took of the stages that keep something in nftables, for the attachments that live. What
// each of them had stands in the runtime's cache of results. It serves one goroutine.
type restorer struct {
	folder string // the runtime's cached results
	stages []restoredStage
	known  map[string]recalled // by file name
	said   string              // errors of the last look: one that stays is told once
}

type restoredStage struct {
	name string // "type" in the list
	stages.Restorer
}

func newRestorer(folder string) *restorer {
	return &restorer{folder: folder, known: map[string]recalled{}, stages: []restoredStage{
		{"snat", &snat.Restorer{}}, {"portmap-compat", &portmapcompat.Restorer{}}}}
}

// recalled is one attachment's requests by stage, and the file they are from.
type recalled struct {
	at       time.Time
	size     int64
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
	links, err := netlink.LinkList()
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
		if r.requests[stage] != nil && isNetns(r.netns) && (r.wire == "" || wires[r.wire]) {
			files = append(files, name)
		}
	}
	slices.SortFunc(files, func(a, b string) int {
		if order := x.known[b].at.Compare(x.known[a].at); order != 0 {
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

// read takes over new and changed files of the folder and forgets those that are gone.
func (x *restorer) read() error {
	entries, err := os.ReadDir(x.folder)
	if errors.Is(err, fs.ErrNotExist) {
		entries, err = nil, nil
	}
	if err != nil {
		return fmt.Errorf("cannot read the runtime's cached results: %w", err)
	}
	there := map[string]bool{}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() {
			continue // gone meanwhile: its pod ended
		}
		there[e.Name()] = true
		if was, ok := x.known[e.Name()]; ok && was.at.Equal(info.ModTime()) && was.size == info.Size() {
			continue
		}
		text, err := os.ReadFile(filepath.Join(x.folder, e.Name()))
		if err != nil {
			continue
		}
		r := x.recall(text)
		r.at, r.size = info.ModTime(), info.Size()
		x.known[e.Name()] = r
	}
	for name := range x.known {
		if !there[name] {
			delete(x.known, name)
		}
	}
	return nil
}

// attachmentFile is libcni's form of a cached result, kind cniCacheV1.
type attachmentFile struct {
	Kind           string                     `json:"kind"`
	ContainerID    string                     `json:"containerId"`
	Config         []byte                     `json:"config"` // base64 of the list
	IfName         string                     `json:"ifName"`
	NetworkName    string                     `json:"networkName"`
	Netns          string                     `json:"netns"`
	CniArgs        [][2]string                `json:"cniArgs"`
	CapabilityArgs map[string]json.RawMessage `json:"capabilityArgs"`
	Result         json.RawMessage            `json:"result"`
}

// recall makes the requests of our stages in a cached result's list. Files that are no such thing have none: the folder
// is the runtime's, and other networks' entries are in it as well.
func (x *restorer) recall(text []byte) (r recalled) {
	var f attachmentFile
	if json.Unmarshal(text, &f) != nil || !strings.HasPrefix(f.Kind, "cniCache") {
		return r
	}
	var list struct {
		Plugins []map[string]json.RawMessage `json:"plugins"`
	}
	if json.Unmarshal(f.Config, &list) != nil {
		return r
	}
	var result struct {
		CNIVersion json.RawMessage `json:"cniVersion"`
	}
	if json.Unmarshal(f.Result, &result) != nil {
		return r
	}
	a := stages.Attachment{Network: f.NetworkName, Container: f.ContainerID, IfName: f.IfName}
	args := map[string]string{}
	for _, pair := range f.CniArgs {
		args[pair[0]] = pair[1]
	}
	r = recalled{netns: f.Netns, requests: map[string]*stages.Request{}}
	for _, plugin := range list.Plugins {
		kind := word(plugin["type"])
		if kind == "routed-veth" {
			r.wire = agent.OwnerMAC(ipam.Attachment(a))
		}
		if !slices.ContainsFunc(x.stages, func(s restoredStage) bool { return s.name == kind }) {
			continue
		}
		config, err := f.configuration(plugin, result.CNIVersion)
		if err != nil {
			continue
		}
		if request, err := stages.Recall(a, f.Netns, args, config); err == nil {
			r.requests[kind] = request
		}
	}
	return r
}

// configuration is what a runtime sends a plugin of the list with CHECK (CNI specification, section 4). The version is
// the result's.
func (f *attachmentFile) configuration(plugin map[string]json.RawMessage, version json.RawMessage) ([]byte, error) {
	name, err := json.Marshal(f.NetworkName)
	if err != nil {
		return nil, err
	}
	var capable map[string]bool
	if raw, ok := plugin["capabilities"]; ok {
		if err := json.Unmarshal(raw, &capable); err != nil {
			return nil, err
		}
	}
	supplied := map[string]json.RawMessage{}
	for capability, value := range f.CapabilityArgs {
		if capable[capability] {
			supplied[capability] = value
		}
	}
	whole := map[string]json.RawMessage{}
	for key, value := range plugin {
		if key != "capabilities" {
			whole[key] = value
		}
	}
	if len(supplied) > 0 {
		if whole["runtimeConfig"], err = json.Marshal(supplied); err != nil {
			return nil, err
		}
	}
	whole["name"], whole["cniVersion"], whole["prevResult"] = name, version, f.Result
	return json.Marshal(whole)
}

func word(raw json.RawMessage) (text string) {
	_ = json.Unmarshal(raw, &text) // a type that is no string is no plugin of ours
	return text
}

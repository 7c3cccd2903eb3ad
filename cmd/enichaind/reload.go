package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"
)

// mostConfig bounds the configuration file, in bytes.
const mostConfig = 4 << 20

// inForce is the configuration that holds, and how it stands to the file.
type inForce struct {
	mu     sync.Mutex // guards all below
	config *Config    // nil: the one that the daemon began with
	state  ConfigState
}

// ConfigState is how the configuration in force stands to its file.
type ConfigState struct {
	File    string    `json:"file,omitempty"`
	Taken   time.Time `json:"taken,omitzero"`    // when its last change took effect
	Changes uint64    `json:"changes"`           // that did
	Refused uint64    `json:"refused"`           // that had faults
	Faults  []string  `json:"faults,omitempty"`  // of the file as it is now: it changes nothing
	Restart []string  `json:"restart,omitempty"` // keys that differ there and need a restart
}

// now is the configuration in force.
func (d *daemon) now() Config {
	d.inForce.mu.Lock()
	defer d.inForce.mu.Unlock()
	if d.inForce.config == nil {
		return d.config
	}
	return *d.inForce.config
}

func (d *daemon) configState() ConfigState {
	d.inForce.mu.Lock()
	defer d.inForce.mu.Unlock()
	s := d.inForce.state
	s.Faults, s.Restart = slices.Clone(s.Faults), slices.Clone(s.Restart)
	return s
}

// followConfig takes over changes of the configuration file until ctx ends.
func (d *daemon) followConfig(ctx context.Context) error {
	if d.source.file == "" {
		return nil
	}
	last := d.source.text
	watchedFile{path: d.source.file, most: mostConfig}.follow(ctx, func(r reading) {
		if r.err == nil && bytes.Equal(r.text, last) && len(d.configState().Faults) == 0 {
			return
		}
		last = r.text
		next, err := parse(r.text, d.source.over)
		if err = cmp.Or(r.err, err); err != nil {
			d.refuse(err)
			return
		}
		d.take(ctx, next)
	})
	return nil
}

// refuse keeps the configuration in force although the file says something else.
func (d *daemon) refuse(err error) {
	list := []string{err.Error()}
	if faults := (Faults{}); errors.As(err, &faults) {
		list = faults
	}
	d.inForce.mu.Lock()
	d.inForce.state.Faults = list
	d.inForce.state.Refused++
	d.inForce.mu.Unlock()
	d.log.Error("the changed configuration is not taken: the one before stays in force", "file", d.source.file, "faults", list)
}

// take puts in force what may change while the daemon runs, and says what has to wait for its next start.
func (d *daemon) take(ctx context.Context, next Config) {
	before := d.now()
	after := before.with(next)
	changed, restart := differences(before, after), differences(after, next)
	d.inForce.mu.Lock()
	s := &d.inForce.state
	mended := len(s.Faults) > 0
	s.Faults, s.Restart = nil, restart
	if len(changed) > 0 {
		d.inForce.config = &after
		s.Taken = time.Now().UTC()
		s.Changes++
	}
	d.inForce.mu.Unlock()
	if mended {
		d.log.Info("the configuration has no faults any more", "file", d.source.file)
	}
	if len(changed) > 0 {
		d.log.Info("the configuration has changed", "file", d.source.file, "keys", changed)
		d.act(ctx, changed, after)
	}
	if len(restart) > 0 {
		d.log.Warn("keys of the configuration have changed that need a restart", "file", d.source.file, "keys", restart)
	}
}

// with is c with those keys of next that take effect at once: in default.yaml they are marked (live).
func (c Config) with(next Config) Config {
	c.Node.Resync = next.Node.Resync
	c.Pool.MaxPods = next.Pool.MaxPods
	c.Kernel.Repair, c.Kernel.RepairDelay = next.Kernel.Repair, next.Kernel.RepairDelay
	c.CNI.Conflist, c.CNI.ReadyWhen = next.CNI.Conflist, next.CNI.ReadyWhen
	c.Flight.Max = next.Flight.Max
	c.Log.Level = next.Log.Level
	region, endpoint := c.Reconciler.EC2.Region, c.Reconciler.EC2.Endpoint
	c.Reconciler = next.Reconciler
	c.Reconciler.EC2.Region, c.Reconciler.EC2.Endpoint = region, endpoint
	c.Pools = next.Pools
	return c
}

// act carries out a change. Keys that are read whenever they are needed take no doing.
func (d *daemon) act(ctx context.Context, changed []string, c Config) {
	has := func(prefixes ...string) bool {
		return slices.ContainsFunc(changed, func(key string) bool {
			return slices.ContainsFunc(prefixes, func(p string) bool { return key == p || strings.HasPrefix(key, p+".") })
		})
	}
	if has("log") && d.level != nil {
		d.level.Set(levelOf(c.Log))
	}
	if has("node", "pool", "kernel") {
		d.agentRounds.anew()
	}
	if cloud := d.ec2.Load(); cloud != nil && has("reconciler.ec2") {
		if err := cloud.Retune(c.ec2Options()); err != nil {
			d.log.Error("the paces of EC2's actions stay as they were", "error", err) // cannot be: validate has asked the same
		}
	}
	if has("cni") {
		d.listRounds.anew()
	}
	if has("reconciler.demand") {
		d.demandRounds.anew()
	}
	shell := d.reconciler.Load()
	switch {
	case has("reconciler.dryRun", "reconciler.resync", "reconciler.cleanup", "reconciler.tags"):
		d.reconcilerRounds.anew() // with everything that has changed
	case has("pools") && shell != nil:
		ctx, cancel := context.WithTimeout(ctx, askLimit)
		defer cancel()
		if err := shell.SetPools(ctx, d.policy(c)); err != nil {
			d.log.Error("the pools' policy stays as it was", "error", err)
		}
	}
}

// differences are the paths of the keys in which two configurations differ, in order. A list is one key.
func differences(a, b Config) []string {
	var all []string
	var walk func(a, b reflect.Value, path string)
	walk = func(a, b reflect.Value, path string) {
		if a.Kind() == reflect.Struct {
			for i := range a.NumField() {
				walk(a.Field(i), b.Field(i), strings.TrimPrefix(path+"."+a.Type().Field(i).Tag.Get("yaml"), "."))
			}
			return
		}
		empty := (a.Kind() == reflect.Slice || a.Kind() == reflect.Map) && a.Len()+b.Len() == 0
		if !empty && !reflect.DeepEqual(a.Interface(), b.Interface()) {
			all = append(all, path)
		}
	}
	walk(reflect.ValueOf(a), reflect.ValueOf(b), "")
	slices.Sort(all)
	return all
}

package main

import (
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// validate finds what is well formed and still cannot be.
func (c Config) validate() Faults {
	var f Faults
	check := func(ok bool, format string, args ...any) {
		if !ok {
			f = append(f, fmt.Sprintf(format, args...))
		}
	}
	known := []string{RoleAgent, RoleReconciler, RoleBus}
	check(len(c.Roles) > 0, "roles is empty, but must name at least one of %s", strings.Join(known, ", "))
	for _, r := range c.Roles {
		check(slices.Contains(known, r), "roles has %q, but must be of %s", r, strings.Join(known, ", "))
	}
	check(!c.Has(RoleReconciler) || c.Cluster != "", "cluster is empty, but the reconciler needs it: it is the tag by which it knows its own network interfaces")
	for path, file := range map[string]string{
		"pool.file": c.Pool.File, "pool.ledger": c.Pool.Ledger, "socket": c.Socket, "cni.confDir": c.CNI.ConfDir,
		"cni.results": c.CNI.Results, "cni.generations": c.CNI.Generations, "flight.file": c.Flight.File, "bus.store": c.Bus.Store,
	} {
		check(filepath.IsAbs(file), "%s is %q, but must be an absolute path", path, file)
	}
	check(c.CNI.Conflist == "" || filepath.IsAbs(c.CNI.Conflist), "cni.conflist is %q, but must be an absolute path or empty", c.CNI.Conflist)
	for _, dir := range filepath.SplitList(c.CNI.BinDir) {
		check(filepath.IsAbs(dir), "cni.binDir has %q, but must have absolute paths", dir)
	}
	check(c.CNI.BinDir != "", "cni.binDir is empty, but stages that were taken out of a list clean up from there")
	within := func(path string, n, least, most int) {
		check(n >= least && n <= most, "%s is %d, but must be %d..%d", path, n, least, most)
	}
	within("pool.maxPods", c.Pool.MaxPods, 0, 100_000)
	within("cni.readyWhen", c.CNI.ReadyWhen, 0, 1000)
	lasts := func(path string, d Duration, least, most time.Duration) {
		check(time.Duration(d) >= least && time.Duration(d) <= most, "%s is %s, but must be %s..%s", path, time.Duration(d), least, most)
	}
	lasts("kernel.repairDelay", c.Kernel.RepairDelay, time.Millisecond, 10*time.Second)
	lasts("cni.grace", c.CNI.Grace, time.Second, time.Hour)
	lasts("reconciler.resync", c.Reconciler.Resync, time.Second, time.Hour)
	lasts("reconciler.cleanup.minAge", c.Reconciler.Cleanup.MinAge, time.Second, 24*time.Hour)
	within("reconciler.cleanup.perRound", c.Reconciler.Cleanup.PerRound, 0, 1000)
	lasts("bus.retain.age", c.Bus.Retain.Age, time.Minute, 90*24*time.Hour)
	share := c.Reconciler.EC2.Share
	check(share >= 0.1 && share <= 1, "reconciler.ec2.share is %g, but must be 0.1..1", share)
	check(slices.Contains([]string{"debug", "info", "warn", "error"}, c.Log.Level), "log.level is %q, but must be debug, info, warn or error", c.Log.Level)
	check(slices.Contains([]string{"json", "text"}, c.Log.Format), "log.format is %q, but must be json or text", c.Log.Format)
	f = append(f, c.validateBus()...)
	check(len(c.Pools) == 1, "pools has %d entries, but this release serves exactly 1", len(c.Pools))
	for i, p := range c.Pools {
		f = append(f, p.validate(fmt.Sprintf("pools[%d]", i))...)
	}
	slices.Sort(f)
	return f
}

// validateBus judges what the roles read: with the role bus that is listen, users, store and retain, without it urls and
// credentials. The others may stand there for the daemons that read them.
func (c Config) validateBus() Faults {
	var f Faults
	for i, u := range c.Bus.URLs {
		if !strings.HasPrefix(u, "nats://") && !strings.HasPrefix(u, "tls://") {
			f = append(f, fmt.Sprintf("bus.urls[%d] is %q, but must begin with nats:// or tls://", i, u))
		}
	}
	if !c.Has(RoleBus) {
		if len(c.Bus.URLs) == 0 {
			f = append(f, "bus.urls is empty, but without the role bus this daemon needs a hub to connect to")
		}
		if c.Has(RoleAgent) && c.Has(RoleReconciler) && c.Bus.Credentials != "" {
			f = append(f, "bus.credentials speak for one user of the hub, but roles agent and reconciler are two: run a daemon for each")
		}
		return f
	}
	if c.Bus.Listen == "" {
		if c.Bus.Users != "" {
			f = append(f, "bus.users names a file, but without bus.listen nobody can come")
		}
		return f
	}
	if _, _, err := net.SplitHostPort(c.Bus.Listen); err != nil {
		f = append(f, fmt.Sprintf("bus.listen is %q, but must be host:port", c.Bus.Listen))
	}
	if c.Bus.Users == "" {
		f = append(f, "bus.users is empty, but a hub that listens must know its nodes' keys")
	}
	return f
}

func (p Policy) validate(path string) Faults {
	var f Faults
	check := func(ok bool, format string, args ...any) {
		if !ok {
			f = append(f, path+"."+fmt.Sprintf(format, args...))
		}
	}
	check(p.Name != "", "name is empty, but lists choose their pool by it")
	for key, n := range map[string]int{"warm.free": p.Warm.Free, "warm.minimum": p.Warm.Minimum, "warm.enis": p.Warm.ENIs,
		"warm.maximum": p.Warm.Maximum, "enis.max": p.ENIs.Max} {
		check(n >= 0 && n <= 100_000, "%s is %d, but must be 0..100000", key, n)
	}
	check(p.Warm.Maximum == 0 || p.Warm.Minimum <= p.Warm.Maximum, "warm.minimum is %d, above warm.maximum %d", p.Warm.Minimum, p.Warm.Maximum)
	check(p.Release.AtOnce >= 1 && p.Release.AtOnce <= 16, "release.atOnce is %d, but must be 1..16", p.Release.AtOnce)
	check(p.Warm.Free == 0 || p.Warm.ENIs == 0, "warm has free: %d and enis: %d, but only one of them may be set", p.Warm.Free, p.Warm.ENIs)
	check(p.Cooldown >= 0 && time.Duration(p.Cooldown) <= 24*time.Hour, "cooldown is %s, but must be 0s..24h", time.Duration(p.Cooldown))
	for key, d := range map[string]Duration{"release.window": p.Release.Window, "release.minAge": p.Release.MinAge} {
		check(time.Duration(d) >= time.Second && time.Duration(d) <= 24*time.Hour, "%s is %s, but must be 1s..24h", key, time.Duration(d))
	}
	for _, id := range p.Subnets.IDs {
		check(strings.HasPrefix(id, "subnet-"), "subnets.ids has %q, but a subnet's id begins with subnet-", id)
	}
	for _, id := range p.SecurityGroups.IDs {
		check(strings.HasPrefix(id, "sg-"), "securityGroups.ids has %q, but a security group's id begins with sg-", id)
	}
	return f
}

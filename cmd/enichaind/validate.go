package main

import (
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/enichain/enichain/ipam"
)

// judge collects what is wrong with the keys below a path.
type judge struct {
	below  string // "" or a path and its dot
	faults Faults
}

func (j *judge) check(ok bool, format string, args ...any) {
	if !ok {
		j.faults = append(j.faults, j.below+fmt.Sprintf(format, args...))
	}
}

func (j *judge) within(path string, n, least, most int) {
	j.check(n >= least && n <= most, "%s is %d, but must be %d..%d", path, n, least, most)
}

func (j *judge) lasts(path string, d Duration, least, most time.Duration) {
	given := time.Duration(d)
	j.check(given >= least && given <= most, "%s is %s, but must be %s..%s", path, plain(given), plain(least), plain(most))
}

// plain is a duration as people write it: 24h, not 24h0m0s.
func plain(d time.Duration) string {
	return strings.Replace(strings.Replace(d.String(), "h0m0s", "h", 1), "m0s", "m", 1)
}

func (j *judge) oneOf(path, word string, words ...string) {
	last := len(words) - 1
	j.check(slices.Contains(words, word), "%s is %q, but must be %s or %s", path, word, strings.Join(words[:last], ", "), words[last])
}

// validate finds what is well formed and still cannot be.
func (c Config) validate() Faults {
	var j judge
	known := []string{RoleAgent, RoleReconciler, RoleBus}
	j.check(len(c.Roles) > 0, "roles is empty, but must name at least one of %s", strings.Join(known, ", "))
	for _, r := range c.Roles {
		j.check(slices.Contains(known, r), "roles has %q, but must be of %s", r, strings.Join(known, ", "))
	}
	c.validateFiles(&j)
	j.lasts("node.resync", c.Node.Resync, 5*time.Second, 10*time.Minute)
	j.within("pool.maxPods", c.Pool.MaxPods, 0, 100_000)
	j.oneOf("pool.supply", c.Pool.Supply, supplyReconciler, supplyIMDS)
	j.check(!c.byIMDS() || !c.Has(RoleBus) && !c.Has(RoleReconciler),
		"pool.supply is imds, which is for a daemon with the role agent alone, but roles has others")
	j.lasts("kernel.repairDelay", c.Kernel.RepairDelay, time.Millisecond, 10*time.Second)
	j.within("cni.readyWhen", c.CNI.ReadyWhen, 0, 1000)
	j.lasts("cni.grace", c.CNI.Grace, time.Second, time.Hour)
	j.check(c.Metrics.Listen == "" || isHostPort(c.Metrics.Listen), "metrics.listen is %q, but must be host:port or empty", c.Metrics.Listen)
	j.oneOf("log.level", c.Log.Level, "debug", "info", "warn", "error")
	j.oneOf("log.format", c.Log.Format, "json", "text")
	c.validateBus(&j)
	c.validateReconciler(&j)
	j.check(len(c.Pools) > 0, "pools is empty, but pods need at least one")
	for i, p := range c.Pools {
		j.faults = append(j.faults, p.validate(fmt.Sprintf("pools[%d]", i))...)
	}
	j.faults = append(j.faults, c.validateFleet()...)
	slices.Sort(j.faults)
	return j.faults
}

func (c Config) validateFiles(j *judge) {
	for path, file := range map[string]string{
		"pool.file": c.Pool.File, "pool.ledger": c.Pool.Ledger, "socket": c.Socket, "cni.confDir": c.CNI.ConfDir,
		"cni.results": c.CNI.Results, "cni.generations": c.CNI.Generations, "flight.file": c.Flight.File, "bus.store": c.Bus.Store,
	} {
		j.check(filepath.IsAbs(file), "%s is %q, but must be an absolute path", path, file)
	}
	for path, file := range map[string]string{"cni.conflist": c.CNI.Conflist, "reconciler.demand.file": c.Reconciler.Demand.File} {
		j.check(file == "" || filepath.IsAbs(file), "%s is %q, but must be an absolute path or empty", path, file)
	}
	for _, dir := range filepath.SplitList(c.CNI.BinDir) {
		j.check(filepath.IsAbs(dir), "cni.binDir has %q, but must have absolute paths", dir)
	}
	j.check(c.CNI.BinDir != "", "cni.binDir is empty, but stages that were taken out of a list clean up from there")
}

func (c Config) validateReconciler(j *judge) {
	r := c.Reconciler
	j.check(!c.Has(RoleReconciler) || c.Cluster != "",
		"cluster is empty, but the reconciler needs it: it is the tag by which it knows its own network interfaces")
	j.lasts("reconciler.resync", r.Resync, time.Second, time.Hour)
	j.lasts("reconciler.cleanup.every", r.Cleanup.Every, 0, 24*time.Hour)
	j.lasts("reconciler.cleanup.minAge", r.Cleanup.MinAge, time.Second, 24*time.Hour)
	j.within("reconciler.cleanup.perRound", r.Cleanup.PerRound, 0, 1000)
	j.check(r.EC2.Share >= 0.1 && r.EC2.Share <= 1, "reconciler.ec2.share is %g, but must be 0.1..1", r.EC2.Share)
	j.faults = append(j.faults, under("reconciler.", c.ec2Options().Validate(), "ec2.share")...)
}

// validateBus judges what the roles read: with the role bus that is listen, users, store and retain, without it urls and
// credentials. The others may stand there for the daemons that read them.
func (c Config) validateBus(j *judge) {
	j.lasts("bus.retain.age", c.Bus.Retain.Age, time.Minute, 90*24*time.Hour)
	for i, u := range c.Bus.URLs {
		j.check(strings.HasPrefix(u, "nats://") || strings.HasPrefix(u, "tls://"),
			"bus.urls[%d] is %q, but must begin with nats:// or tls://", i, u)
	}
	if !c.Has(RoleBus) {
		j.check(len(c.Bus.URLs) > 0 || c.byIMDS(), "bus.urls is empty, but without the role bus this daemon needs a hub to connect to")
		j.check(!c.Has(RoleAgent) || !c.Has(RoleReconciler) || c.Bus.Credentials == "",
			"bus.credentials speak for one user of the hub, but roles agent and reconciler are two: run a daemon for each")
		return
	}
	if c.Bus.Listen == "" {
		j.check(c.Bus.Users == "", "bus.users names a file, but without bus.listen nobody can come")
		return
	}
	j.check(isHostPort(c.Bus.Listen), "bus.listen is %q, but must be host:port", c.Bus.Listen)
	j.check(c.Bus.Users != "", "bus.users is empty, but a hub that listens must know its nodes' keys")
}

func isHostPort(text string) bool {
	_, _, err := net.SplitHostPort(text)
	return err == nil
}

// validateFleet asks the reconciler what it thinks of its part: it knows best what goes together.
func (c Config) validateFleet() Faults {
	return under("", c.reconcileConfig().Validate(), "cluster", "resync", "orphans")
}

// under takes over the faults that another part found, each below a path; those of keys that were judged here are left out.
func under(path string, err error, judged ...string) Faults {
	if err == nil {
		return nil
	}
	all := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		all = joined.Unwrap()
	}
	var f Faults
	for _, one := range all {
		text := one.Error()
		if slices.ContainsFunc(judged, func(key string) bool { return strings.HasPrefix(text, key) }) {
			continue
		}
		if strings.HasPrefix(text, "tags: ") {
			text = "reconciler." + text
		}
		f = append(f, path+text)
	}
	return f
}

func (p Policy) validate(path string) Faults {
	j := judge{below: path + "."}
	j.check(p.Name != "", "name is empty, but lists choose their pool by it")
	for key, n := range map[string]int{"warm.free": p.Warm.Free, "warm.minimum": p.Warm.Minimum, "warm.enis": p.Warm.ENIs,
		"warm.prefixes": p.Warm.Prefixes, "warm.maximum": p.Warm.Maximum, "enis.max": p.ENIs.Max} {
		j.check(n <= 100_000, "%s is %d, but must be 0..100000", key, n) // the reconciler refuses those below 0
	}
	j.check(p.Release.AtOnce >= 1, "release.atOnce is %d, but must be 1..16", p.Release.AtOnce)
	j.lasts("cooldown", p.Cooldown, 0, 24*time.Hour)
	j.lasts("release.window", p.Release.Window, time.Second, 24*time.Hour)
	j.lasts("release.minAge", p.Release.MinAge, time.Second, 24*time.Hour)
	j.check(p.Mode != "", "mode is empty, but must be auto, prefix or secondary")
	j.check(len(p.Families) > 0, "families is empty, but must have ipv4, ipv6 or both")
	for _, family := range p.Families {
		_, known := families()[family]
		j.check(known, "families has %q, but must have ipv4, ipv6 or both", family)
	}
	return j.faults
}

// families are the words for them.
func families() map[string]ipam.Family {
	return map[string]ipam.Family{"ipv4": ipam.IPv4, "ipv6": ipam.IPv6}
}

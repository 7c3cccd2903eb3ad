package eniipam

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/store"
	"github.com/enichain/enichain/stages"
)

// liveness is how often a waiting ADD looks whether the agent still lives.
const liveness = 5 * time.Second

// silence is the age of the agent's heartbeat from which nobody waits for it (protocol i6).
const silence = 90 * time.Second

type agentIs int

const (
	agentWell    agentIs = iota
	agentAway            // nobody holds the lock, but for no longer than a restart takes
	agentAbsent          // it was never here
	agentDead            // nobody holds the lock, and for longer than a restart takes
	agentHanging         // the lock is held and not touched
)

// agentState reads the agent's lock file: held as long as the process lives, touched every 30 s as long as it works.
func agentState(path string) agentIs {
	f, err := os.Open(path)
	if err != nil {
		return agentAbsent
	}
	defer f.Close()
	info, err := f.Stat()
	fresh := err != nil || time.Since(info.ModTime()) < silence
	held := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB) != nil
	switch {
	case held && fresh:
		return agentWell
	case held:
		return agentHanging
	case fresh:
		return agentAway
	}
	return agentDead
}

// hopeless is true when nobody will fill the pool while this ADD could wait for it. An agent that is being restarted is
// given the time for it.
func hopeless(path string) bool {
	a := agentState(path)
	return a != agentWell && a != agentAway
}

// emptyHanded is the error of an ADD without an address: what for whom, numbers, cause and since when, next try. It
// ends in the pod's event.
func (q *queue) emptyHanded() error {
	waited := ""
	if d := time.Since(q.began); d >= time.Second {
		waited = fmt.Sprintf(" after %d s", int(d.Seconds()))
	}
	if q.elsewhere() {
		return stages.Errorf(stages.PoolEmpty, "no address for %s: %s needs the primary network interface, and %s", whom(q.r), q.caller(), q.primary())
	}
	cause, next := q.cause()
	if q.last.Prefix && q.last.Prefixes == 0 {
		return stages.Errorf(stages.PoolEmpty, "no address for %s%s: a bridge needs a delegated prefix of the primary network interface as its "+
			"subnet, and it has none that pods may use: pool %q has to be of mode prefix or auto, or use routed-veth; %s; %s",
			whom(q.r), waited, q.last.Pool, cause, next)
	}
	return stages.Errorf(stages.PoolEmpty, "no address for %s%s: %s; %s; %s", whom(q.r), waited, q.numbers(), cause, next)
}

// elsewhere says that the request is for the primary interface, and that is not for the pool's pods: no waiting changes it.
func (q *queue) elsewhere() bool {
	e := q.last
	return e != nil && e.Primary && e.PrimaryPool != "" && (e.PrimaryPool != e.Pool || e.PrimaryClosed)
}

func (q *queue) primary() string {
	e := q.last
	if e.PrimaryPool != e.Pool {
		return fmt.Sprintf("that is of pool %q, not %q; say \"pool\": %q, or use routed-veth", e.PrimaryPool, e.Pool, e.PrimaryPool)
	}
	return fmt.Sprintf("pods may not use that: pool %q has usePrimary: false; change that, or use routed-veth", e.Pool)
}

func (q *queue) caller() string {
	if q.conf.caller == "" {
		return fmt.Sprintf("scope %q", q.conf.Scope)
	}
	return q.conf.caller
}

// wrongFamily is the error of an ADD that asks a pool for what it never has.
func (q *queue) wrongFamily(e *store.FamilyError) error {
	var has []string
	for _, f := range e.Has {
		has = append(has, strconv.Quote(familyName(f)))
	}
	wants, only := familyName(e.Wants), "["+strings.Join(has, ", ")+"]"
	must, _ := q.conf.families()
	change := fmt.Sprintf("say families: %s", only)
	if len(must) > 1 {
		change += fmt.Sprintf(", or optional: [%q]", wants)
	}
	return stages.Errorf(stages.Config, "no address for %s: families: it asks for %q, and pool %q has %s alone; %s here, or give the pool families %s in enichaind's configuration",
		whom(q.r), wants, e.Pool, only, change, `["ipv4", "ipv6"]`)
}

// numbers say how the pool stands, in the family that is missing.
func (q *queue) numbers() string {
	f, c := q.missing()
	all := c.Free + c.Leased + c.Cooling + c.Pending + c.Fenced
	kind := ""
	if f == store.IPv6 {
		kind = " IPv6 addresses"
	}
	parts := []string{fmt.Sprintf("%d of %d%s leased", c.Leased, all, kind)}
	for _, p := range []struct {
		n    int
		what string
	}{{c.Cooling, "cooling"}, {c.Pending, "not ready yet"}, {c.Fenced, "given up"}, {c.Held, "held back"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.what))
		}
	}
	if c.Free > 0 {
		parts = append(parts, fmt.Sprintf("%d free that it cannot use", c.Free))
	}
	if q.last.Ahead > 0 {
		parts = append(parts, fmt.Sprintf("%d waiting before it", q.last.Ahead))
	}
	scope := inPool(q.last.Pool)
	if q.last.Primary {
		scope += " on the primary interface"
	}
	return strings.Join(parts, ", ") + scope
}

// inPool names a pool that is not the usual one.
func inPool(pool string) string {
	if pool == "default" {
		return ""
	}
	return " in pool " + strconv.Quote(pool)
}

// missing is the family that the request must have and that has nothing free, the first one where none stands out, and
// how it stands.
func (q *queue) missing() (store.Family, store.Counts) {
	must, _ := q.conf.families()
	counts := func(f store.Family) store.Counts {
		c, c6 := q.last.Counts, q.last.Counts6
		if f == store.IPv6 {
			return c6
		}
		return store.Counts{Pending: c.Pending - c6.Pending, Free: c.Free - c6.Free, Leased: c.Leased - c6.Leased,
			Cooling: c.Cooling - c6.Cooling, Fenced: c.Fenced - c6.Fenced, Held: c.Held - c6.Held}
	}
	for _, f := range must {
		if c := counts(f); c.Free == 0 {
			return f, c
		}
	}
	return must[0], counts(must[0])
}

// cause is why there is no address, and what happens next.
func (q *queue) cause() (cause, next string) {
	e := q.last
	next = "the runtime tries again"
	path := agentLock(q.conf.PoolFile)
	switch agentState(path) {
	case agentAway:
		return "enichaind does not run, last seen at " + since(path) + ", so that nobody fills the pool", next
	case agentAbsent:
		return "enichaind does not run on this node, so that nobody fills the pool", "start it"
	case agentDead:
		return "enichaind has not run since " + since(path), "start it"
	case agentHanging:
		return "enichaind hangs since " + since(path), "restart it"
	}
	switch {
	case e.Mute != nil:
		cause = "enichaind cannot reach the bus"
		if e.Mute.Bus != "" {
			cause += " " + e.Mute.Bus
		}
		cause += " since " + e.Mute.Since.Local().Format(time.TimeOnly)
		next = "it goes on trying; next try in 10 s at most, or when any pod here ends"
	case !e.Supplied:
		cause = "the reconciler has not said yet what this node has"
	case e.Why != nil:
		cause = e.Why.Text
		if cause == "" {
			cause = e.Why.Code
		}
		if !e.Why.Since.IsZero() {
			cause += " since " + e.Why.Since.Local().Format(time.TimeOnly)
		}
		if e.Why.RetryIn > 0 {
			next = fmt.Sprintf("next try %s, or when any pod here ends", q.tryIn(e))
		}
	case !e.Known && e.Here == 0 && len(e.Others) > 0:
		cause = fmt.Sprintf("pool %q is not here: %s", e.Pool, ipam.PoolsHere(e.Others))
		next = "name one of those, or see that the pool's nodes: in enichaind's configuration fit this one"
	default:
		cause = "the reconciler was asked for more and has not answered yet"
		if e.Here == 0 && !e.Primary {
			cause = fmt.Sprintf("pool %q has no network interface on this node yet; the reconciler was asked for one", e.Pool)
		}
		if e.Heard.IsZero() {
			break
		}
		cause += "; its last word came at " + e.Heard.Local().Format(time.TimeOnly)
		next = "it is asked again within a minute, or when any pod here ends"
	}
	return cause, next
}

// tryIn counts the reconciler's pause from when it told of it.
func (q *queue) tryIn(e *store.EmptyError) string {
	left := time.Duration(e.Why.RetryIn)*time.Second - q.stage.now().Wall.Sub(e.Heard)
	if left <= 0 {
		return "now"
	}
	return fmt.Sprintf("in %d s", int((left+time.Second-1)/time.Second))
}

func since(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return "a while"
	}
	return info.ModTime().Local().Format(time.TimeOnly)
}

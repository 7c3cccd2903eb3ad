package eniipam

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

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
	if q.undelegated() {
		return stages.Errorf(stages.PoolEmpty, "no address for %s: a bridge needs a delegated prefix of the primary network interface as its "+
			"subnet, and it has none that pods may use; delegate a /28 to it, or use routed-veth", whom(q.r))
	}
	cause, next := q.cause()
	return stages.Errorf(stages.PoolEmpty, "no address for %s%s: %s; %s; %s", whom(q.r), waited, q.numbers(), cause, next)
}

// undelegated says that the request is for delegated prefixes and there is none: waiting brings none.
func (q *queue) undelegated() bool { return q.last != nil && q.last.Prefix && q.last.Prefixes == 0 }

// numbers say how the pool stands.
func (q *queue) numbers() string {
	c := q.last.Counts
	all := c.Free + c.Leased + c.Cooling + c.Pending + c.Fenced
	parts := []string{fmt.Sprintf("%d of %d leased", c.Leased, all)}
	for _, p := range []struct {
		n    int
		what string
	}{{c.Cooling, "cooling"}, {c.Pending, "not ready yet"}, {c.Fenced, "given up"}, {c.Held, "held back"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.what))
		}
	}
	if c.Free > 0 {
		use := "that it cannot use"
		if q.conf.wants("ipv6") && c.Free6 == 0 {
			use = "and none of them IPv6"
		}
		parts = append(parts, fmt.Sprintf("%d free %s", c.Free, use))
	}
	if q.last.Ahead > 0 {
		parts = append(parts, fmt.Sprintf("%d waiting before it", q.last.Ahead))
	}
	scope := ""
	if q.last.Pool != "default" {
		scope = " in pool " + strconv.Quote(q.last.Pool)
	}
	if q.last.Primary {
		scope += " on the primary interface"
	}
	return strings.Join(parts, ", ") + scope
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
	case e.ENIs == 0 && e.Counts.Leased+e.Counts.Pending == 0 && len(e.Others) > 0:
		cause = fmt.Sprintf("this node has no pool %q, but %s", e.Pool, strings.Join(e.Others, ", "))
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
	default:
		cause = "the reconciler was asked for more and has not answered yet"
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

package generation

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// World is everything that a decision rests on.
type World struct {
	Now   time.Time
	Boot  string
	Grace time.Duration   // how long an ADD may still be under way with a list that was replaced
	Rules map[string]Rule // by network that the store knows
	// Cache is the runtime's cache, by name of the file; nil when it cannot be read: then nothing has ended.
	Cache    map[string]*Entry
	Evidence map[string]Evidence // by the birth's key: of those that may have ended
}

// Rule is what the runtime goes by for one network.
type Rule struct {
	Network
	// Known: the runtime's folder could be read, and understood as far as this network goes. If not, nothing is decided.
	Known   bool
	Current *InFolder // what it has for the network; nil: no list of that name
	Since   int       // the generation under which all living births were last seen in the cache; 0: not known
	Settled time.Time // since when this daemon knows which generation is the newest, by a clock that nobody sets
	Absent  time.Time // since when the folder is known to have no list of that name
}

// pool is the plugin whose leases are evidence.
const pool = "eni-ipam"

// Evidence is what else tells whether a pod lives.
type Evidence struct {
	Netns     Finding   // its network namespace, the very one
	GoneSince time.Time // since when Netns is known to be Gone
	Lease     Finding   // its address in the node's pool
	Interface Finding   // its interface there, with the wire's other end up
}

// Finding is one piece of evidence; the zero value is none.
type Finding int

// What can be found.
const (
	Unknown Finding = iota
	There
	Gone
)

// Plan is what is to be done, in this order.
type Plan struct {
	Record []*Entry // births to write down
	End    []Birth  // births that are over, with what is left to be done for them
	Revive []Birth  // births that were taken for over, and are not
	Clean  []Cleaning
	Forget []Birth   // births of which nothing is left
	Wait   []Waiting // births that may be over: what speaks against it
	Retire []Retirement
	Since  map[string]int // networks of which every living birth was seen, and under which generation
	Again  time.Time      // look again then, even if nothing happens; zero: no need
}

// Cleaning is an ended birth, and those of its departed stages that get their DEL now.
type Cleaning struct {
	Birth  Birth
	Stages []int
}

// Waiting is a birth whose attachment is gone from the runtime's cache while its pod seems to live.
type Waiting struct {
	Birth Birth
	Why   string
}

// Retirement is the end of a generation that has no pods any more.
type Retirement struct {
	Generation Generation
	Collect    []Stage // its stages that no list has any more: they get a GC that says no attachment is valid
}

// DefaultGrace is more than twice what kubelet lets a runtime have for a pod's sandbox (runtimeRequestTimeout, 2 min).
const DefaultGrace = 5 * time.Minute

// lookAgain is after how long a pod that seems to live without being in the cache is looked at again.
const lookAgain = 5 * time.Second

// Plan decides. It is the same for the same world, and nothing is left to do in the world that it leads to.
func (w World) Plan() Plan {
	p := Plan{Since: map[string]int{}}
	if w.Cache == nil {
		return p
	}
	for _, name := range sortedKeys(w.Rules) {
		r := w.Rules[name]
		seen := true
		for _, b := range r.Births {
			seen = w.judge(&p, r, b) && seen
		}
		w.record(&p, r)
		if last := r.newest(); seen && r.Known && last != nil && len(r.Faults) == 0 && last.Number != r.Since {
			p.Since[name] = last.Number
		}
		w.retire(&p, r)
	}
	return p
}

// record finds attachments that are in the cache and have no birth yet.
func (w World) record(p *Plan, r Rule) {
	have := map[string]bool{}
	for _, b := range r.Births {
		have[b.key()] = true
	}
	for _, name := range sortedKeys(w.Cache) {
		if e := w.Cache[name]; e.OK && e.Cached.Network == r.Name && !have[e.Key()] {
			p.Record = append(p.Record, e)
		}
	}
}

// judge decides about one birth; false when it is not known whether it lives.
func (w World) judge(p *Plan, r Rule, b Birth) (seen bool) {
	e := w.Cache[b.File]
	same := e != nil && (e.ID == b.ID || !e.OK) // half a file is somebody's who writes it
	switch {
	case b.Ended != nil && same && r.Current != nil && !w.lost(b):
		b.Ended = nil
		p.Revive = append(p.Revive, b)
		return true
	case b.Ended != nil:
		w.proceed(p, r, b)
		return true
	case same && r.Known && w.lost(b) && (r.Current == nil || !w.forgotten(b).After(w.Now)):
		if r.Current == nil {
			w.end(p, r, b, all(b)) // no list of that name is there: nobody will ever tell its stages
		} else {
			w.end(p, r, b, r.departed(b))
		}
		return true
	case same:
		w.watch(p, r, b)
		return true
	case !r.Known:
		return false
	case e != nil: // the container was added again; that there is a second birth is proof of the first one's end
		w.end(p, r, b, r.departed(b))
		return true
	}
	if over, why := w.over(b, r); !over {
		p.Wait = append(p.Wait, Waiting{b, why})
		p.again(w.Now.Add(lookAgain))
		return false
	}
	w.end(p, r, b, r.departed(b))
	return true
}

func all(b Birth) (stages []int) {
	for i := range b.Stages {
		stages = append(stages, i)
	}
	return stages
}

// runs says whether the cached attachment's list runs a plugin.
func (e *Entry) runs(plugin string) bool {
	l, err := ParseList(e.Cached.Config)
	return err != nil || l.Runs(plugin)
}

// departed are the stages of a birth that at least one of the lists lacked which may have deleted it, by their place.
func (r Rule) departed(b Birth) (stages []int) {
	if r.Current == nil {
		return all(b)
	}
	lists := []List{r.Current.List}
	for _, g := range r.Generations {
		if g.Number >= max(r.Since, b.Seen) {
			lists = append(lists, g.List.with(r.Current.DropIns))
		}
	}
	for i, s := range b.Stages {
		if slices.ContainsFunc(lists, func(l List) bool { return !l.settles(s) }) {
			stages = append(stages, i)
		}
	}
	return stages
}

// lost says whether the birth's pod has certainly ended though its attachment is in the cache: the namespace was seen,
// and is not there any more.
func (w World) lost(b Birth) bool {
	return b.Boot != w.Boot || b.Netns != Namespace{} && w.Evidence[b.key()].Netns == Gone
}

// forgotten is from when on a lost birth counts as one that its runtime will never delete: containerd 2 gives up a
// sandbox whose DEL failed, and keeps its cached result for ever.
func (w World) forgotten(b Birth) time.Time {
	if since := w.Evidence[b.key()].GoneSince; !since.IsZero() {
		return since.Add(w.Grace)
	}
	return w.Now.Add(w.Grace)
}

// watch looks at a birth in the cache again where the end of its namespace matters, which nobody tells.
func (w World) watch(p *Plan, r Rule, b Birth) {
	switch v := w.Evidence[b.key()]; {
	case r.Current == nil:
		p.again(w.Now.Add(lookAgain))
	case v.Netns == Gone && !v.GoneSince.IsZero():
		p.again(v.GoneSince.Add(w.Grace))
	}
}

// over says whether a birth whose attachment the runtime's cache has no more is over. A file that is gone may have been
// taken by an administrator: nothing is done to a pod that lives.
func (w World) over(b Birth, r Rule) (over bool, why string) {
	v := w.Evidence[b.key()]
	if slices.ContainsFunc(r.departed(b), func(i int) bool { return slices.Contains(b.Stages[i].Types(), pool) }) {
		v.Lease = Unknown // nobody but us will give it back
	}
	switch {
	case b.Boot != w.Boot, v.Netns == Gone, v.Lease == Gone:
		return true, ""
	case v.Lease == There && v.Netns == There:
		return false, "its network namespace and its address are still there"
	case v.Lease == There:
		return false, "its address is still leased"
	case v.Interface == Gone:
		return true, ""
	case v.Interface == There:
		return false, "its interface is still there"
	}
	return false, fmt.Sprintf("it cannot be told whether its pod lives: nothing is known of %s", b.Cached.Netns)
}

// end closes a birth; its departed stages have their turn at once.
func (w World) end(p *Plan, r Rule, b Birth, departed []int) {
	slices.Sort(departed)
	slices.Reverse(departed)
	departed = slices.DeleteFunc(departed, func(i int) bool { return slices.Contains(b.Done, i) })
	b.Ended = &Ended{At: w.Now, Left: departed}
	p.End = append(p.End, b)
	w.proceed(p, r, b)
}

// proceed is what an ended birth needs now.
func (w World) proceed(p *Plan, r Rule, b Birth) {
	due := slices.DeleteFunc(slices.Clone(b.Ended.Left), func(i int) bool { return w.readded(r, b, b.Stages[i]) })
	e := w.Cache[b.File]
	switch {
	case b.done() && r.Current != nil && e != nil && (e.ID == b.ID || !e.OK):
		// It would be written down again. The runtime may still delete it one day.
	case b.done(), b.Boot != w.Boot && b.Ended.Tries > 0:
		// A reboot took what stages keep in the kernel. One try was for what some keep in files.
		p.Forget = append(p.Forget, b)
	case len(due) == 0:
	case b.Ended.Next.After(w.Now) && !b.Ended.Next.After(w.Now.Add(mostBackoff)): // or else the clock was set back
		p.again(b.Ended.Next)
	default:
		p.Clean = append(p.Clean, Cleaning{b, due})
	}
}

// readded says whether the same interface of the same container was added once more, and lives with a plugin that the
// stage runs: a DEL of the earlier one may take what the later one has, and waits for its end.
func (w World) readded(r Rule, b Birth, s Stage) bool {
	if e := w.Cache[b.File]; e != nil && e.ID != b.ID && (!e.OK || slices.ContainsFunc(s.Types(), e.runs)) {
		return true
	}
	return slices.ContainsFunc(r.Births, func(other Birth) bool {
		return other.File == b.File && other.ID != b.ID && other.Ended == nil && slices.ContainsFunc(s.Types(), List{Stages: other.Stages}.Runs)
	})
}

// inherited says whether an interface of that name is another attachment's by now, in the birth's own namespace: a plugin
// that is told the namespace would take it, as ptp and bridge go by the name alone.
func (w World) inherited(b Birth) bool {
	e := w.Cache[b.File]
	return e != nil && e.ID != b.ID && (!e.OK || e.Cached.Netns == b.Cached.Netns)
}

const mostBackoff = 5 * time.Minute

// Backoff is the pause after so many failed tries.
func Backoff(tries int) time.Duration {
	const first = time.Second
	return min(first<<min(max(tries-1, 0), 20), mostBackoff)
}

// retire gives up generations that have neither pods nor pods on their way. The oldest goes first: what it does to its
// stages may need that no older list has them.
func (w World) retire(p *Plan, r Rule) {
	if !r.Known || len(r.Faults) > 0 || w.unrecorded(r) {
		return
	}
	remain := r.Generations
	for len(remain) > 0 {
		g := remain[0]
		from, replaced := r.Absent, r.Current == nil
		if len(remain) > 1 {
			from, replaced = remain[1].Installed, true
			if r.Settled.After(from) {
				from = r.Settled
			}
		}
		if !replaced || slices.ContainsFunc(r.Births, func(b Birth) bool { return !b.done() && r.Of(b) == g.Number }) {
			return
		}
		if due := from.Add(w.Grace); due.After(w.Now) {
			p.again(due)
			return
		}
		remain = remain[1:]
		end := Retirement{Generation: g}
		if r.Recorded { // else the cache may be another runtime's, and hide pods that live
			end.Collect = r.unused(g.List, remain)
		}
		p.Retire = append(p.Retire, end)
	}
}

// unrecorded says whether the cache has, or may have, an attachment of the network without a birth. GC would take from
// it what it has, since no birth speaks for it.
func (w World) unrecorded(r Rule) bool {
	have := map[string]bool{}
	for _, b := range r.Births {
		have[b.key()] = true
	}
	for name, e := range w.Cache {
		half := !e.OK && strings.HasPrefix(name, r.Name+"-")
		if half || e.OK && e.Cached.Network == r.Name && !have[e.Key()] {
			return true
		}
	}
	return false
}

// unused are the stages of a list whose plugin is in none of the remaining lists and births of the network.
func (r Rule) unused(l List, remain []Generation) (stages []Stage) {
	used := func(plugin string) bool {
		return r.Current != nil && r.Current.List.Runs(plugin) ||
			slices.ContainsFunc(remain, func(g Generation) bool { return g.List.Runs(plugin) }) ||
			slices.ContainsFunc(r.Births, func(b Birth) bool { return !b.done() && List{Stages: b.Stages}.Runs(plugin) })
	}
	for _, s := range slices.Backward(l.Stages) {
		if !slices.ContainsFunc(s.Types(), used) {
			stages = append(stages, s)
		}
	}
	return stages
}

func (p *Plan) again(at time.Time) {
	if p.Again.IsZero() || at.Before(p.Again) {
		p.Again = at
	}
}

// Taken are the addresses of attachments in the cache other than the birth's own: what a departed stage did for such an
// address is the new owner's business.
func (w World) Taken(b Birth) map[netip.Addr]bool {
	taken := map[netip.Addr]bool{}
	for _, e := range w.Cache {
		if e.OK && (e.Name != b.File || e.ID != b.ID) {
			for _, a := range e.Cached.Addresses() {
				taken[a] = true
			}
		}
	}
	return taken
}

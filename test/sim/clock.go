package sim

import (
	"container/heap"
	"hash/fnv"
	"iter"
	"math/rand/v2"
	"time"
)

// start is the wall clock's reading at the beginning of a run.
var start = time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)

// clock is virtual time: a heap of events, and processes that sleep in it.
type clock struct {
	now   time.Duration
	queue events
	seq   int
	procs []func() // stop
}

type event struct {
	at  time.Duration
	seq int
	do  func()
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].seq < e[j].seq
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	last := len(*e) - 1
	x := (*e)[last]
	(*e)[last].do = nil
	*e = (*e)[:last]
	return x
}

// wall is the time that people read.
func (c *clock) wall() time.Time { return start.Add(c.now) }

// after lets something happen later; of two at one instant the one that was said first.
func (c *clock) after(d time.Duration, do func()) {
	c.seq++
	heap.Push(&c.queue, event{c.now + max(d, 0), c.seq, do})
}

// next does the next event that is due by end, and says whether there was one.
func (c *clock) next(end time.Duration) bool {
	if len(c.queue) == 0 || c.queue[0].at > end {
		return false
	}
	e := heap.Pop(&c.queue).(event)
	c.now = max(c.now, e.at)
	e.do()
	return true
}

// sleep is how a process lets time pass; false = the run is over, return.
type sleep func(time.Duration) bool

// spawn starts a process: a function that is run between its sleeps. It is no goroutine that could run beside others.
func (c *clock) spawn(do func(sleep)) {
	next, stop := iter.Pull(func(yield func(time.Duration) bool) { do(yield) })
	c.procs = append(c.procs, stop)
	var turn func()
	turn = func() {
		if d, more := next(); more {
			c.after(d, turn)
		}
	}
	c.after(0, turn)
}

// close ends all processes.
func (c *clock) close() {
	for _, stop := range c.procs {
		stop()
	}
	c.procs, c.queue = nil, nil
}

// source is the random source of one part of a run: what one part draws does not change what others draw.
func source(seed uint64, part string) *rand.Rand {
	h := fnv.New64a()
	_, _ = h.Write([]byte(part))
	return rand.New(rand.NewPCG(seed, h.Sum64()))
}

// between is a random time.
func between(r *rand.Rand, least, most time.Duration) time.Duration {
	if most <= least {
		return least
	}
	return least + time.Duration(r.Int64N(int64(most-least)+1))
}

// chance is true with a probability; it draws nothing where that is 0.
func chance(r *rand.Rand, p float64) bool { return p > 0 && r.Float64() < p }

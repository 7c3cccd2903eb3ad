package sim

import (
	"bytes"
	"math/rand/v2"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/enichain/enichain/ipam/agent"
	"github.com/enichain/enichain/ipam/reconcile"
	"github.com/enichain/enichain/ipam/record"
)

func randOf(seed [2]uint64) *rand.Rand { return rand.New(rand.NewPCG(seed[0], seed[1])) }

// recording keeps every step of every core.
type recording struct {
	text   bytes.Buffer
	writer *record.Writer
}

// startRecording begins to keep the steps; cores that run already are not in it.
func (f *fleet) startRecording() *recording {
	f.recording = &recording{}
	f.recording.writer = record.NewWriter(&f.recording.text)
	return f.recording
}

func (f *fleet) beginRecord(n *node, seed [2]uint64, options agent.Options) {
	if f.recording != nil {
		must(f.recording.writer.Begin(record.Agent, string(n.id), &seed, options))
	}
}

func (f *fleet) recordAgent(n *node, now agent.Now, in agent.Input, out []agent.Effect) {
	if f.recording != nil {
		must(f.recording.writer.Step(record.Agent, string(n.id), now, in, out))
	}
}

func (f *fleet) beginReconcileRecord(l *leader) {
	if f.recording != nil {
		must(f.recording.writer.Begin(record.Reconcile, l.name, nil, f.cfg))
	}
}

func (f *fleet) recordReconcile(l *leader, now reconcile.Now, in reconcile.Input, out []reconcile.Effect) {
	if f.recording != nil {
		must(f.recording.writer.Step(record.Reconcile, l.name, now, in, out))
	}
}

// stopwatch measures the CPU time of a core's steps: that of their thread, so that neither other runs beside this one
// nor a busy machine count. It has no part in what happens.
type stopwatch struct {
	on    bool
	begun time.Duration
	took  []time.Duration
}

func (s *stopwatch) start() {
	if s.on {
		runtime.LockOSThread()
		s.begun = threadTime()
	}
}

func (s *stopwatch) stop() {
	if s.on {
		s.took = append(s.took, threadTime()-s.begun)
		runtime.UnlockOSThread()
	}
}

func threadTime() time.Duration {
	var t unix.Timespec
	must(unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t))
	return time.Duration(t.Nano())
}

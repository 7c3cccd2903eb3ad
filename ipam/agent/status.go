package agent

import (
	"maps"
	"sync"
	"time"

	"github.com/enichain/enichain/ipam"
)

// Status is what the daemon tells people about its agent.
type Status struct {
	Connected  bool          `json:"connected"`            // to the bus
	Snapshot   ipam.Snapshot `json:"snapshot"`             // as the pool file last stood
	Published  time.Time     `json:"published,omitzero"`   // when the stream last acknowledged a snapshot
	Acked      uint64        `json:"acked"`                // newest seq that it acknowledged
	Publishes  int           `json:"publishes"`            // snapshots that it acknowledged
	Failures   int           `json:"failures"`             // snapshots that it did not
	Repairs    int           `json:"repairs"`              // times that something was missing in the kernel
	LastRepair string        `json:"lastRepair,omitempty"` // what that was, and who took it
	RepairedAt time.Time     `json:"repairedAt,omitzero"`
	// MTURefused says, by an interface's small number, why its link did not take its MTU when it was last prepared.
	MTURefused  map[int]string `json:"mtuRefused,omitempty"`
	LastWarning string         `json:"lastWarning,omitempty"`
	WarnedAt    time.Time      `json:"warnedAt,omitzero"`
}

// statusBoard keeps the status for readers of other goroutines.
type statusBoard struct {
	mu sync.Mutex // guards s
	s  Status
}

func (b *statusBoard) read() Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.s
}

func (b *statusBoard) note(now Now, connected bool, in Input, out []Effect) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := &b.s
	s.Connected = connected
	switch {
	case in.Pool != nil && in.Pool.Err == "":
		s.Snapshot = in.Pool.Snapshot
	case in.Start != nil:
		s.Snapshot = in.Start.Pool.Snapshot
	case in.Published != nil && in.Published.Err == "":
		s.Published, s.Acked = now.Wall, in.Published.Seq
		s.Publishes++
	case in.Published != nil:
		s.Failures++
	case in.Prepared != nil && in.Prepared.Err == "":
		s.refused(in.Prepared.N, in.Prepared.MTU)
	}
	for _, e := range out {
		if e.Forget != nil {
			s.refused(*e.Forget, "")
		}
		for _, r := range e.Append {
			if r.Verb == ipam.KernelRepaired {
				s.Repairs++
				s.LastRepair, s.RepairedAt = r.Cause, now.Wall
			}
		}
	}
}

// refused notes why a link did not take its MTU; "": it has it. Readers keep the map they were given.
func (s *Status) refused(n int, why string) {
	if s.MTURefused[n] == why {
		return
	}
	all := map[int]string{}
	maps.Copy(all, s.MTURefused)
	all[n] = why
	if why == "" {
		delete(all, n)
	}
	s.MTURefused = all
}

func (b *statusBoard) say(now Now, level, text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if level != "info" {
		b.s.LastWarning, b.s.WarnedAt = text, now.Wall
	}
}

package agent

import (
	"time"

	"github.com/enichain/enichain/ipam"
)

// floor is the least (free − waiting) over a sliding window (docs/protocol.md, part B, 11): nothing above it was needed
// at any moment of the window. It is kept in slots, so that its size does not depend on what happens; the oldest slot
// counts whole, so the window is never shorter than asked for.
type floor struct {
	window time.Duration
	since  ipam.Instant // start of the observation
	slot   int64        // number of the newest slot
	least  [floorSlots]int
	last   int // the newest value: it holds until there is another
}

// floorSlots is how many parts a window has; the window is rounded up by one of them.
const floorSlots = 21

func (f *floor) width() ipam.Instant { return max(ipam.Instant(f.window)/(floorSlots-1), 1) }

// sample takes a value that holds from now on. Another window starts the observation anew.
func (f *floor) sample(now Now, window time.Duration, value int) {
	if window != f.window {
		*f = floor{window: window, since: now.Boot}
		f.slot = int64(now.Boot / f.width())
		f.least[f.slot%floorSlots] = value
		f.last = value
		return
	}
	f.roll(now)
	at := f.slot % floorSlots
	f.least[at] = min(f.least[at], value)
	f.last = value
}

// roll opens the slots up to now; the last value held in all of them.
func (f *floor) roll(now Now) {
	to := int64(now.Boot / f.width())
	from := max(f.slot+1, to-floorSlots+1)
	for slot := from; slot <= to; slot++ {
		f.least[slot%floorSlots] = f.last
	}
	f.slot = max(f.slot, to)
}

// value is 0 until a whole window has been seen.
func (f *floor) value(now Now) int {
	if f.window == 0 || now.Boot < f.since+ipam.Instant(f.window) {
		return 0
	}
	f.roll(now)
	least := f.last
	for slot := f.slot; slot > f.slot-floorSlots && slot >= int64(f.since/f.width()); slot-- {
		least = min(least, f.least[slot%floorSlots])
	}
	return least
}

// at is when the floor may rise by time alone: at the next slot, while it is below the newest value; 0 = it may not.
func (f *floor) at(now Now) ipam.Instant {
	if f.window == 0 {
		return 0
	}
	if full := f.since + ipam.Instant(f.window); now.Boot < full {
		return full
	}
	if f.value(now) >= f.last {
		return 0
	}
	return ipam.Instant(f.slot+1) * f.width()
}

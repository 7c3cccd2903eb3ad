package agent

import "sync"

// inbox is where what happens outside waits for the loop. It never blocks those who put, and does not grow: two reasons
// to look are one, and of many supplies the newest few are kept.
type inbox struct {
	mu    sync.Mutex // guards queue
	queue []Input
	some  chan struct{} // has an element when queue may have one
}

// inboxSupplies is how many supplies may wait; the core keeps only the newest anyway.
const inboxSupplies = 16

func newInbox() *inbox { return &inbox{some: make(chan struct{}, 1)} }

func (b *inbox) put(in Input) {
	b.mu.Lock()
	defer b.mu.Unlock()
	supplies, oldest := 0, 0
	for i, old := range b.queue {
		if in.Bell && old.Bell || in.Wake != nil && old.Wake != nil && *in.Wake == *old.Wake {
			return
		}
		if in.Supply != nil && old.Supply != nil {
			if supplies++; supplies == 1 {
				oldest = i
			}
		}
	}
	if supplies >= inboxSupplies {
		b.queue = append(b.queue[:oldest], b.queue[oldest+1:]...)
	}
	b.queue = append(b.queue, in)
	select {
	case b.some <- struct{}{}:
	default:
	}
}

func (b *inbox) take() []Input {
	b.mu.Lock()
	defer b.mu.Unlock()
	taken := b.queue
	b.queue = nil
	return taken
}

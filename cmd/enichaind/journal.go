package main

import (
	"sync"
	"time"

	"github.com/enichain/enichain/bus"
)

const (
	journalSize  = 200 // events that a new listener may ask for
	listenerRoom = 256 // events that a slow listener may lag behind before it loses some
)

// journal keeps the newest events and passes new ones on.
type journal struct {
	mu        sync.Mutex // guards all below
	events    []bus.Event
	listeners map[chan bus.Event]bool
	lost      uint64 // events that listeners were too slow for
}

func newJournal() *journal { return &journal{listeners: map[chan bus.Event]bool{}} }

func (j *journal) add(e bus.Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.events) == journalSize {
		j.events = append(j.events[:0:0], j.events[1:]...)
	}
	j.events = append(j.events, e)
	for l := range j.listeners {
		select {
		case l <- e:
		default:
			j.lost++
		}
	}
}

// newest are the events at and after since, oldest first.
func (j *journal) newest(since time.Time) []bus.Event {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.after(since)
}

func (j *journal) after(since time.Time) []bus.Event {
	found := []bus.Event{}
	for _, e := range j.events {
		if !e.At.Before(since) {
			found = append(found, e)
		}
	}
	return found
}

// listen returns the events since a time and a channel of all that follow; none is lost or repeated between the two.
func (j *journal) listen(since time.Time) (past []bus.Event, follow <-chan bus.Event, stop func()) {
	j.mu.Lock()
	defer j.mu.Unlock()
	c := make(chan bus.Event, listenerRoom)
	j.listeners[c] = true
	return j.after(since), c, func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		delete(j.listeners, c)
	}
}

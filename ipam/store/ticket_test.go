package store_test

import (
	"testing"
	"time"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/store"
	"github.com/enichain/enichain/ipam/store/storetest"
)

// An ADD that waits in vain ends at its ticket's deadline, and so might a tick: the ADD, which knows the cause, has the
// word. For one that was killed the tick has it.
func TestWaiterHasTheLastWord(t *testing.T) {
	p := storetest.New(t, storetest.ENI(0, 1))
	p.Lease(storetest.Request("holder"))
	for _, c := range []string{"waits", "killed"} {
		p.Do(func(tx *store.Tx) error {
			tx.Ticket(p.Now, storetest.Request(c), p.Now.After(20*time.Second))
			return nil
		})
	}
	p.Pass(20 * time.Second)
	p.Do(func(tx *store.Tx) error { tx.Drop(p.Now, storetest.Request("waits"), "no subnet has room"); return nil })
	next := ipam.Instant(0)
	p.Do(func(tx *store.Tx) error { next = tx.Next(p.Now); return nil })
	p.Pass(time.Duration(next - p.Now.Boot))
	causes := map[string]string{}
	p.Do(func(tx *store.Tx) error {
		all, _ := tx.Outbox(0, 0)
		for _, r := range all {
			if r.Verb == ipam.PodGaveUp {
				causes[r.Container] = r.Cause
			}
		}
		return nil
	})
	want(t, "causes", map[string]string{"waits": "no subnet has room", "killed": "its ADD ended without a word"}, causes)
}

// A transaction sees the tickets that it gives and ends, though it has read the queue before.
func TestQueueWithinOneTransaction(t *testing.T) {
	p := storetest.New(t, storetest.ENI(0, 1))
	var seen []int
	p.Do(func(tx *store.Tx) error {
		count := func() { seen = append(seen, len(tx.Tickets())) }
		count()
		for _, c := range []string{"a", "b", "a"} {
			tx.Ticket(p.Now, storetest.Request(c), p.Now.After(20*time.Second))
			count()
		}
		tx.Drop(p.Now, storetest.Request("a"), "deleted")
		count()
		return nil
	})
	want(t, "tickets", []int{0, 1, 2, 2, 1}, seen)
}

package store

import (
	"bytes"

	"github.com/enichain/enichain/ipam"
)

// record puts an edge into the outbox: a ring of OutboxSize, whose oldest record makes room and is counted.
func (t *Tx) record(now Now, r ipam.Record) {
	t.meta.LastRecord++
	t.dirty = true
	r.N, r.At, r.Boot = t.meta.LastRecord, now.Wall, t.meta.Boot
	t.put(bucketOutbox, number(r.N), &r)
	if r.N <= OutboxSize {
		return
	}
	old := number(r.N - OutboxSize)
	if t.b.Bucket(bucketOutbox).Get(old) != nil {
		t.delete(bucketOutbox, old)
		t.meta.Dropped++
	}
}

// Append puts a record of the agent's own into the outbox. N, At and Boot are set here.
func (t *Tx) Append(now Now, r ipam.Record) { t.record(now, r) }

// Outbox are up to limit records after number after, oldest first; limit 0 means all. dropped counts those that the ring lost before
// anybody acknowledged them, since the file was made.
func (t *Tx) Outbox(after uint64, limit int) (records []ipam.Record, dropped uint64) {
	c := t.b.Bucket(bucketOutbox).Cursor()
	for k, v := c.Seek(number(after + 1)); k != nil && (limit == 0 || len(records) < limit); k, v = c.Next() {
		var r ipam.Record
		if t.decode(v, &r) {
			records = append(records, r)
		}
	}
	return records, t.meta.Dropped
}

// Acknowledge removes the records up to and with number n: they were published.
func (t *Tx) Acknowledge(n uint64) {
	var old [][]byte
	t.each(bucketOutbox, nil, func(k, _ []byte) bool {
		if be(k) > n {
			return false
		}
		old = append(old, bytes.Clone(k))
		return true
	})
	for _, k := range old {
		t.delete(bucketOutbox, k)
	}
}

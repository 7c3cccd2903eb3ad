package bus

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/enichain/enichain/ipam"
)

// maxPayload is the most bytes of a message. The largest supply, 49 secondary addresses on each of 15 interfaces, is
// below 16 KiB; a snapshot is below 4 KiB (docs/protocol.md, B12).
const maxPayload = 64 << 10

// envelope is a CloudEvent in structured JSON (cloudevents.io, version 1.0), one line; its id is the Nats-Msg-Id.
type envelope struct {
	SpecVersion string          `json:"specversion"`
	ID          string          `json:"id"`
	Source      string          `json:"source"`
	Type        string          `json:"type"`
	Subject     string          `json:"subject,omitempty"`
	Time        time.Time       `json:"time"`
	ContentType string          `json:"datacontenttype"`
	Data        json.RawMessage `json:"data"`
}

// The types of CloudEvents; an event's is io.enichain.<verb>.v1.
const (
	typeSnapshot = "io.enichain.pool.v1"
	typeSupply   = "io.enichain.supply.v1"
)

func eventType(v ipam.Verb) string { return "io.enichain." + string(v) + ".v1" }

func nodeSource(node ipam.InstanceID) string { return "/node/" + string(node) }

// seal encodes a message. Time is for people: nothing is decided by it.
func seal(e envelope, data any) ([]byte, error) {
	raw, err := json.Marshal(data)
	if err != nil {
		return nil, fmt.Errorf("cannot encode %s: %w", e.ID, err)
	}
	e.SpecVersion, e.ContentType, e.Data = "1.0", "application/json", raw
	out, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("cannot encode %s: %w", e.ID, err)
	}
	if len(out) > maxPayload {
		return nil, fmt.Errorf("cannot send %s: %d bytes, the bus takes %d", e.ID, len(out), maxPayload)
	}
	return out, nil
}

// open decodes a message whose type begins with prefix.
func open(raw []byte, prefix string, into any) (envelope, error) {
	var e envelope
	if err := json.Unmarshal(raw, &e); err != nil {
		return e, fmt.Errorf("cannot decode a message: %w", err)
	}
	if e.SpecVersion != "1.0" || !strings.HasPrefix(e.Type, prefix) {
		return e, fmt.Errorf("cannot decode message %q: CloudEvents %q of type %q, want 1.0 of %s", e.ID, e.SpecVersion, e.Type, prefix)
	}
	if err := json.Unmarshal(e.Data, into); err != nil {
		return e, fmt.Errorf("cannot decode message %q: %w", e.ID, err)
	}
	return e, nil
}

// Event is something that happened on a node, for people and tools.
type Event struct {
	ID       string // <inc>/<n>: the same event twice has the same
	Instance ipam.InstanceID
	ipam.Record
}

// MarshalJSON is the event's CloudEvent, as it stands on the bus.
func (e Event) MarshalJSON() ([]byte, error) {
	return seal(envelope{ID: e.ID, Source: nodeSource(e.Instance), Type: eventType(e.Verb), Subject: e.Pod, Time: e.At.UTC()}, e.Record)
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (e *Event) UnmarshalJSON(raw []byte) error {
	env, err := open(raw, "io.enichain.", &e.Record)
	if err != nil {
		return err
	}
	e.ID, e.Instance = env.ID, ipam.InstanceID(strings.TrimPrefix(env.Source, "/node/"))
	return nil
}

// EventID is the id of the record n of a node's incarnation.
func EventID(inc ipam.Inc, n uint64) string { return string(inc) + "/" + strconv.FormatUint(n, 10) }

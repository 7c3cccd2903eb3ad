// Package bus carries enichain's messages: a node's snapshot up, its supply down, and events for whoever watches. It
// is a hint channel and a last-value cache, never the truth: every loss on it is a delay (docs/protocol.md, part A).
package bus

import (
	"fmt"
	"strings"

	"github.com/enichain/enichain/ipam"
)

// All subjects begin here. Nodes publish under node.<id>, and under nothing else.
const root = "enichain.v1."

// The streams and the bucket. Each is disposable.
const (
	StreamState  = "ENI_STATE"  // one message per node: its newest snapshot
	StreamEvents = "ENI_EVENTS" // a bounded history of events
	BucketLeases = "ENI_LEASES" // one key per leadership
)

// SnapshotSubject is where a node's snapshot stands.
func SnapshotSubject(node ipam.InstanceID) string {
	return root + "node." + string(node) + ".state.pool"
}

// EventSubject is where a node tells an event: …evt.pod.added.
func EventSubject(node ipam.InstanceID, verb ipam.Verb) string {
	return root + "node." + string(node) + ".evt." + string(verb)
}

// SupplySubject is where a node hears its supply. It stands outside node.<id>: no node may publish there.
func SupplySubject(node ipam.InstanceID) string { return root + "supply." + string(node) }

const (
	allSnapshots = root + "node.*.state.pool"
	allEvents    = root + "node.*.evt.>"
)

// nodeToken is the place of the instance id in a subject below node.
const nodeToken = 3

// nodeOf reads the instance id from a subject: the hub's permissions vouch for it, nothing vouches for the payload's.
func nodeOf(subject string) ipam.InstanceID {
	tokens := strings.Split(subject, ".")
	if len(tokens) <= nodeToken {
		return ""
	}
	return ipam.InstanceID(tokens[nodeToken])
}

// checkInstance refuses an id that would be more or less than one token of a subject.
func checkInstance(id ipam.InstanceID) error {
	if id == "" {
		return fmt.Errorf("instance id is empty")
	}
	if strings.ContainsFunc(string(id), func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_')
	}) {
		return fmt.Errorf("instance id %q has other characters than letters, digits, '-' and '_'", id)
	}
	return nil
}

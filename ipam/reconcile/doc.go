// Package reconcile makes EC2 have what the nodes' pools need: the one place where EC2 is changed.
//
// Core decides; it is a step machine without goroutines, clocks or randomness, so that a run can be replayed from its
// inputs. Shell feeds it from a Bus and carries its effects to a Cloud and back. Rules and names are those of
// docs/protocol.md, part A.
package reconcile

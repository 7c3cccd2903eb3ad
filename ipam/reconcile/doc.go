// Package reconcile makes EC2 have what the nodes' pools need: the one place where EC2 is changed.
//
// Core decides; it is a step machine without goroutines, clocks or randomness, so that a run can be replayed from its
// inputs. Shell feeds it from a Bus and carries its effects to a Cloud and back. Rules and names are those of
// docs/protocol.md, part A.
//
// Whose an address is: on interfaces that the reconciler made, pods'. On a primary interface it cannot be told in general,
// since what a launch template, an earlier leader or somebody's script asked for looks the same in EC2's list, and the
// reconciler remembers nothing beyond its own life. So an address of the primary interface is pods', too, unless
//
//   - the interface bears TagLeave with that address: it stays where it is, is told to no node and counts as a place in use,
//   - the interface bears TagNoManage: all of it is left alone, or
//   - no pool of the node has UsePrimary: the same, until one has.
//
// The interface's own primary addresses are never pods', and a node refuses addresses that its kernel has.
package reconcile

//go:build race

package sim

// slow says that the race detector looks on: one thread has nothing to race with, and is ten times as slow.
const slow = true

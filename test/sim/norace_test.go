//go:build !race

package sim

// slow says that the race detector looks on.
const slow = false

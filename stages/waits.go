package stages

import "time"

// Waits adds up, for the flight record, what a call spent waiting for others.
type Waits struct {
	Lock time.Duration // the pool file's lock
	Pool time.Duration // an address, with a ticket in hand
}

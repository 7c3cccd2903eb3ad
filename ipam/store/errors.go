package store

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/enichain/enichain/ipam"
)

// Reason is why a pool file is not ready.
type Reason string

// The reasons of a NotReadyError.
const (
	Missing   Reason = "there is no such file"
	Empty     Reason = "the file is empty"
	OtherBoot Reason = "the file is of another boot"
)

// NotReadyError says that the agent has yet to make the pool file of this boot.
type NotReadyError struct {
	Path   string
	Reason Reason
}

func (e *NotReadyError) Error() string {
	return fmt.Sprintf("cannot use pool file %s: %s; enichaind makes it when it starts", e.Path, e.Reason)
}

// LockedError names the process that kept the lock longer than we may wait. PID is 0 when it wrote nothing.
type LockedError struct {
	Path    string
	PID     int
	Command string
	Age     time.Duration // since it took the lock
	Waited  time.Duration
}

func (e *LockedError) Error() string {
	holder := "a process that did not leave its name"
	if e.PID != 0 {
		holder = fmt.Sprintf("pid %d (%s) for %s", e.PID, e.Command, e.Age.Round(10*time.Millisecond))
	}
	return fmt.Sprintf("cannot lock %s within %s: held by %s", e.Path, e.Waited.Round(10*time.Millisecond), holder)
}

// SchemaError says that the file was written by a version that this program cannot read.
type SchemaError struct {
	Path      string
	Found     int
	Low, High int // what this program reads
}

func (e *SchemaError) Error() string {
	return fmt.Sprintf("cannot read pool file %s: it has schema %d, this program reads %d to %d", e.Path, e.Found, e.Low, e.High)
}

// DamagedError says that the file's pages or records make no sense. The agent moves it aside and makes a new one.
type DamagedError struct {
	Path  string
	Cause string
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("cannot read pool file %s: it is damaged (%s); enichaind moves it aside and makes a new one", e.Path, e.Cause)
}

// EmptyError says that no address can be leased now, and how the pool stands. It is an answer, not a failure of the
// transaction: a caller that wants to wait takes a ticket in the same transaction and returns nil.
type EmptyError struct {
	Pool     string
	Primary  bool     // only the primary interface was asked for
	Counts   Counts   // of the pool's interfaces, or of the primary one
	Counts6  Counts   // of Counts, the IPv6 ones
	ENIs     int      // interfaces that could have served
	Here     int      // interfaces of the pool on this node, ready or not
	Known    bool     // the reconciler told of this pool
	Prefix   bool     // only delegated prefixes were asked for
	Prefixes int      // delegated prefixes on the interfaces that could have served
	Others   []string // names of this node's other pools
	// PrimaryPool is whose the primary interface is, "" while nobody told; PrimaryClosed: pods may not use it.
	PrimaryPool   string
	PrimaryClosed bool
	Ahead         int          // live tickets before this caller
	NextCool      ipam.Instant // when the next cooling address ends its time; 0 = none cools
	Why           *ipam.Why    // what keeps the pool from growing, as last told by the reconciler
	Supplied      bool         // any supply was ever accepted
	Heard         time.Time    // when the last one was; wall clock, for people
	Mute          *Mute        // the agent cannot reach the bus
}

func (e *EmptyError) Error() string {
	return fmt.Sprintf("cannot lease an address of pool %q: %d leased, %d cooling, %d pending, %d fenced, %d held, %d ahead",
		e.Pool, e.Counts.Leased, e.Counts.Cooling, e.Counts.Pending, e.Counts.Fenced, e.Counts.Held, e.Ahead)
}

// FamilyError says that a pool has no addresses of a family, and never will have as it is configured.
type FamilyError struct {
	Pool  string
	Has   []Family
	Wants Family
}

func (e *FamilyError) Error() string {
	return fmt.Sprintf("cannot lease an IPv%d address of pool %q: it has IPv%d alone", e.Wants, e.Pool, e.Has[0])
}

// UnavailableError says why an address that was asked for by name cannot be had here.
type UnavailableError struct {
	Address netip.Addr
	Why     string
}

func (e *UnavailableError) Error() string {
	return fmt.Sprintf("cannot lease %s: %s", e.Address, e.Why)
}

// RefusedError says why a whole supply was not accepted; nothing was changed.
type RefusedError struct{ Why string }

func (e *RefusedError) Error() string { return "cannot accept supply: " + e.Why }

// Refusal is a part of an accepted supply that was left out. Address is invalid when the whole interface is meant.
type Refusal struct {
	ENI     ipam.ENIID
	Address netip.Addr
	Reason  string
}

func (r Refusal) String() string {
	if r.Address.IsValid() {
		return fmt.Sprintf("%s %s: %s", r.ENI, r.Address, r.Reason)
	}
	return fmt.Sprintf("%s: %s", r.ENI, r.Reason)
}

// WishError says why a release wish was not followed; nothing was changed.
type WishError struct {
	ENI ipam.ENIID
	Why string
}

func (e *WishError) Error() string {
	return fmt.Sprintf("cannot fence addresses of %s: %s", e.ENI, e.Why)
}

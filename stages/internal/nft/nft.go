// Package nft writes and reads nf_tables: our own tables of the family inet, each change one transaction that can be
// bound to a generation of the ruleset, elements that are refused where they exist already, and owners in comments.
// It knows just the expressions that the stages' rulesets need; their names and order read like nft's own language.
package nft

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/enichain/enichain/stages/internal/nfnl"
)

// The refusals a caller can act on.
var (
	ErrExist      = errors.New("exists already")                      // an element added by Create, a chain of another hook
	ErrNotExist   = errors.New("is not there")                        // what is read or deleted, or the table around it
	ErrGeneration = errors.New("the ruleset changed in the meantime") // a batch bound by At: read again, try again
	ErrBusy       = errors.New("is in use")                           // a chain or set that a rule still names
)

// Error is the kernel's refusal of one message of a batch, or of one request.
type Error struct {
	What string // for example "create element of set hairpin in table enichain-portmap-compat"
	Err  error  // one of the above, or the errno
	Text string // the kernel's own words, often empty
}

// Error says what could not be done and why.
func (e *Error) Error() string {
	s := "cannot " + e.What + ": " + e.Err.Error()
	if e.Text != "" {
		s += " (" + e.Text + ")"
	}
	return s
}

// Unwrap is the reason.
func (e *Error) Unwrap() error { return e.Err }

// Conn is a socket to nf_tables in one network namespace. It serves one goroutine.
type Conn struct {
	nl      *nfnl.Conn
	unbound *Batch // of Transact, until its first question
}

// Open opens a socket in the current thread's network namespace.
func Open() (*Conn, error) {
	nl, err := nfnl.Open()
	if err != nil {
		return nil, err
	}
	return &Conn{nl: nl}, nil
}

// Over uses a socket that the caller has open, and goes on using, for both.
func Over(nl *nfnl.Conn) *Conn { return &Conn{nl: nl} }

// Close closes the socket; 5 to 10 ms after a deletion, else at once.
func (c *Conn) Close() error { return c.nl.Close() }

// Commit does all of b or nothing of it. Errors of several messages are joined; each is an *Error.
func (c *Conn) Commit(b *Batch) error {
	err := c.nl.Batch(unix.NFNL_SUBSYS_NFTABLES, b.generation, b.messages)
	if err == nil {
		return nil
	}
	faults := []error{err}
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		faults = several.Unwrap()
	}
	for i, one := range faults {
		var fault *nfnl.Fault
		if !errors.As(one, &fault) {
			return fmt.Errorf("cannot change table %s: %w", b.Table, one)
		}
		what := "change table " + b.Table
		if fault.Index >= 0 && fault.Index < len(b.what) {
			what = b.what[fault.Index] + " in table " + b.Table
		}
		faults[i] = &Error{What: what, Err: reason(fault.Errno), Text: fault.Text}
	}
	return errors.Join(faults...)
}

func reason(e unix.Errno) error {
	switch e {
	case unix.EEXIST:
		return ErrExist
	case unix.ENOENT:
		return ErrNotExist
	case unix.ERESTART:
		return ErrGeneration
	case unix.EBUSY:
		return ErrBusy
	}
	return e
}

package routedveth

import (
	"fmt"

	"github.com/enichain/enichain/stages/internal/link"
)

// MTUError says that a network interface's link refuses its MTU: its driver cannot, or what is loaded onto it. Packets pass
// on, up to the size that it has.
type MTUError struct {
	Link     string // its name
	Is, Want int    // bytes
	Err      error  // the kernel's
}

func (e *MTUError) Error() string {
	return fmt.Sprintf("link %s has MTU %d and refuses %d: %v", e.Link, e.Is, e.Want, e.Err)
}

func (e *MTUError) Unwrap() error { return e.Err }

// wrongMTU says in words that the link has another MTU than it should; "" when it is right.
func wrongMTU(l link.Link, e ENI) string {
	if e.MTU == 0 || e.MTU == l.MTU {
		return ""
	}
	return fmt.Sprintf("link %s has MTU %d, not %d", l.Name, l.MTU, e.MTU)
}

// setMTU is a message of its own: the kernel goes no further in one of which it refuses a part, and a refused MTU alone
// wakes nobody who listens to changes of links.
func setMTU(c *link.Conn, l link.Link, e ENI) error {
	if wrongMTU(l, e) == "" {
		return nil
	}
	if err := c.Do(link.SetLink(l.Index, link.Change{MTU: &e.MTU})); err != nil {
		return &MTUError{Link: l.Name, Is: l.MTU, Want: e.MTU, Err: err}
	}
	return nil
}

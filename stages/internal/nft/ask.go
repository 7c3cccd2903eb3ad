package nft

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/enichain/enichain/stages/internal/nfnl"
)

// Question is what Ask sends together with others; only *Answer is one.
type Question interface {
	asked() (what string, m nfnl.Message)
	answered(m nfnl.Map, err error)
}

// Answer is a question for one object and, once it was asked, the object or why there is none: ErrNotExist, say.
type Answer[T any] struct {
	Value T
	Err   error

	what    string
	message nfnl.Message
	read    func(nfnl.Map) (T, error)
}

func question[T any](what string, command uint16, a nfnl.Attrs, read func(nfnl.Map) (T, error)) *Answer[T] {
	return &Answer[T]{what: what, message: request(command, 0, a), read: read}
}

// In has the question mean a table of one family, somebody else's: ours are of the family inet.
func (a *Answer[T]) In(f Family) *Answer[T] {
	a.message.Family = uint8(f)
	return a
}

func (a *Answer[T]) asked() (string, nfnl.Message) { return a.what, a.message }

func (a *Answer[T]) answered(m nfnl.Map, err error) {
	if a.Err = err; err == nil {
		a.Value, a.Err = a.read(m)
	}
}

func request(command, flags uint16, a nfnl.Attrs) nfnl.Message {
	return nfnl.Message{Type: unix.NFNL_SUBSYS_NFTABLES<<8 | command, Flags: flags, Family: unix.NFPROTO_INET, Attrs: a}
}

// Ask sends questions in one piece. An error is one of the socket; what the kernel says stands in each question. Within
// Transact the first is preceded by that for the generation.
func (c *Conn) Ask(questions ...Question) error {
	b := c.unbound
	c.unbound = nil
	generation := AskGeneration()
	if b != nil {
		questions = append([]Question{generation}, questions...)
	}
	if len(questions) == 0 {
		return nil
	}
	messages := make([]nfnl.Message, len(questions))
	for i, q := range questions {
		_, messages[i] = q.asked()
	}
	err := c.nl.Ask(messages, func(i int, a nfnl.Answer, err error) {
		var m nfnl.Map
		if err == nil {
			m, err = nfnl.Parse(a.Attrs)
		}
		if err != nil {
			what, _ := questions[i].asked()
			err = refused(what, err)
		}
		questions[i].answered(m, err)
	})
	if err != nil {
		what, _ := questions[0].asked()
		return refused(what, err)
	}
	if b != nil {
		b.At(generation.Value)
	}
	return generation.Err
}

// answer asks one question.
func answer[T any](c *Conn, q *Answer[T]) (T, error) {
	if err := c.Ask(q); err != nil {
		return q.Value, err
	}
	return q.Value, q.Err
}

// refused says what could not be read.
func refused(what string, err error) error {
	var fault *nfnl.Fault
	if errors.As(err, &fault) {
		return &Error{What: "read " + what, Err: reason(fault.Errno), Text: fault.Text}
	}
	return fmt.Errorf("cannot read %s: %w", what, err)
}

// dump asks for a list; restart forgets what was read of one that changed meanwhile.
func (c *Conn) dump(what string, command uint16, a nfnl.Attrs, restart func(), each func(nfnl.Map) error) error {
	if err := c.Ask(); err != nil { // for the generation
		return err
	}
	var err error
	for range dumps {
		restart()
		err = c.nl.Request(request(command, unix.NLM_F_DUMP, a), func(answer nfnl.Answer) error {
			m, err := nfnl.Parse(answer.Attrs)
			if err != nil {
				return err
			}
			return each(m)
		})
		if err == nil {
			return nil
		}
		if !errors.Is(err, nfnl.ErrInterrupted) {
			break
		}
	}
	return refused(what, err)
}

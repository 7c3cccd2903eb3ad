package stages

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Token is the first word of every error that leaves a stage: what programs and people grep for.
type Token string

// The tokens. A token without a stage's name is one that any stage may use.
const (
	Config       Token = "CONFIG"         // the network configuration is wrong
	NoPrevResult Token = "NO_PREVRESULT"  // the stage stands in the wrong place of the list
	Version      Token = "VERSION"        // a cniVersion that we do not speak
	PrevResult   Token = "PREVRESULT"     // a prevResult that cannot be read
	Env          Token = "ENV"            // the CNI_… variables are wrong
	PoolNotReady Token = "POOL_NOT_READY" // no pool file of this boot yet
	PoolEmpty    Token = "POOL_EMPTY"     // no address, though we waited
	PoolLocked   Token = "POOL_LOCKED"    // another process holds the pool file
	ENINotReady  Token = "ENI_NOT_READY"  // the address's network interface is not usable in the kernel yet
	Kernel       Token = "KERNEL"         // the kernel refused, or a file could not be read or written
	IfNameTaken  Token = "IFNAME_TAKEN"   // the container has an interface of that name already
	PortTaken    Token = "PORT_TAKEN"     // another container holds the host port
	PoolSchema   Token = "POOL_SCHEMA"    // the pool file is of a version that we cannot read
	PoolDamaged  Token = "POOL_DAMAGED"   // the pool file is damaged
	Drift        Token = "DRIFT"          // CHECK found less than ADD made
	Delegated    Token = "DELEGATE"       // a delegate failed; the code is its own
	Bug          Token = "BUG"            // a panic; please report it
)

// Code is the CNI error code of a token: the specification's below 100, ours from 100 on. Delegated has none of its
// own; without the delegate's it is an I/O failure.
func (t Token) Code() uint {
	switch t {
	case Version:
		return 1
	case Env:
		return 4
	case PrevResult:
		return 6
	case Config, NoPrevResult:
		return 7
	case PoolNotReady, PoolEmpty, PoolLocked, ENINotReady:
		return 11
	case IfNameTaken:
		return 100
	case PortTaken:
		return 101
	case PoolSchema:
		return 102
	case PoolDamaged:
		return 103
	case Drift:
		return 104
	case Bug:
		return 105
	}
	return 5
}

// Codes of STATUS (CNI specification, section 2, "STATUS").
const (
	CodeUnavailable uint = 50 // ADD cannot work
	CodeLimited     uint = 51 // nor do containers that are attached already work fully
)

// maxText is the most bytes of an error's text: kubelet copies it into an event, whose message is cut at 1 KiB.
const maxText = 300

// Error is what a stage says when it fails: one line that a person can act on, and a code that a runtime can.
type Error struct {
	Token Token
	Code  uint   // CNI error code; 0 stands for the token's
	Text  string // what for whom: numbers; cause with name and since when; next try
	Stage string // in a fused chain: whose error it is; it stands in the error object's details
	cause error
}

// Errorf makes an error with the token's own code; %w keeps a cause for errors.Is and errors.As.
func Errorf(t Token, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Token: t, Code: t.Code(), Text: err.Error(), cause: err}
}

// WithCode returns the same error with another code, for STATUS.
func (e *Error) WithCode(code uint) *Error {
	c := *e
	c.Code = code
	return &c
}

// Error is "TOKEN text" in one line of at most 300 bytes. containerd ends a chain's DEL for good when an error says
// "not found" (or "no such file or directory" where the netns is gone), so neither ever appears in it.
func (e *Error) Error() string {
	line := strings.Join(strings.Fields(string(e.Token)+" "+e.Text), " ")
	line = replaceFold(line, "no such file or directory", "does not exist")
	line = replaceFold(line, "not found", "missing")
	if len(line) <= maxText {
		return line
	}
	const more = "…"
	cut := maxText - len(more)
	for cut > 0 && !utf8.RuneStart(line[cut]) {
		cut--
	}
	return line[:cut] + more
}

// details say which of several stages in one process failed; libcni appends them to the message.
func (e *Error) details() string {
	if e.Stage == "" {
		return ""
	}
	return "stage " + e.Stage
}

// Unwrap is the cause that Errorf was given with %w.
func (e *Error) Unwrap() error { return e.cause }

// asError is err as an *Error: the first one in it gives token and code, the text stays whole. One that names no
// token is the kernel's or a file's.
func asError(err error) *Error {
	var first *Error
	if !errors.As(err, &first) {
		return Errorf(Kernel, "%w", err)
	}
	e := *first
	if err != error(first) {
		e.Text, e.cause = strings.TrimPrefix(err.Error(), string(e.Token)+" "), err
	}
	if e.Code == 0 {
		e.Code = e.Token.Code()
	}
	return &e
}

func replaceFold(s, old, with string) string {
	for from := 0; ; {
		i := strings.Index(strings.ToLower(s[from:]), old)
		if i < 0 {
			return s
		}
		i += from
		if i+len(old) > len(s) { // ToLower may change lengths of exotic letters
			return s
		}
		s = s[:i] + with + s[i+len(old):]
		from = i + len(with)
	}
}

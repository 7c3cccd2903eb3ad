package main

import (
	"fmt"
	"io"
	"time"
)

// news tells people how far something long is: on a terminal in one line, which is gone in the end, and elsewhere, as in
// a log, in one line each ten seconds.
type news struct {
	out      io.Writer
	terminal bool
	began    time.Time
	told     time.Time // when it last said how far it is; at first as began
}

func newNews(out io.Writer) *news {
	now := time.Now()
	return &news{out: out, terminal: terminal(out), began: now, told: now}
}

// progress says line, and for how long this has gone on, if it is time to.
func (n *news) progress(now time.Time, line func() string) {
	begin, end, every := "", "\n", 10*time.Second
	if n.terminal {
		begin, end, every = "\r\x1b[K", "", 200*time.Millisecond
	}
	if now.Sub(n.told) < every {
		return
	}
	n.told = now
	fmt.Fprintf(n.out, "%s%s, %s%s", begin, line(), now.Sub(n.began).Round(time.Second), end)
}

// wipe takes the line off the terminal, before something else is said and in the end.
func (n *news) wipe() {
	if n.terminal {
		fmt.Fprint(n.out, "\r\x1b[K")
	}
}

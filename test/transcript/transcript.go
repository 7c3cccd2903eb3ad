// Package transcript keeps what a program or a logger says, for tests that read along.
package transcript

import (
	"strings"
	"sync"
)

// Log is a writer that may be read while it is written. The zero value is empty and ready.
type Log struct {
	mu   sync.Mutex // guards text
	text strings.Builder
}

// Write keeps p; it never fails.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// String is what was written so far.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

package stages

import (
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Flight is one line of the flight record: what one run of a stage did and how long it took.
type Flight struct {
	T         string `json:"t"` // RFC 3339 with microseconds, UTC: when the run began
	Stage     string `json:"stage"`
	Command   string `json:"cmd"`
	Network   string `json:"net,omitempty"`
	Container string `json:"ctr,omitempty"`
	IfName    string `json:"if,omitempty"`
	Pod       string `json:"pod,omitempty"`
	Took      int64  `json:"took_us"`           // from the process's first line to its answer
	Lock      int64  `json:"lock_us"`           // of it: waiting for the pool file's lock
	Wait      int64  `json:"wait_us,omitempty"` // of it: waiting for an address, with a ticket
	Token     Token  `json:"token,omitempty"`   // the error's; "" is success
	Trace     string `json:"trace,omitempty"`   // the trace id of TRACEPARENT (W3C Trace Context)
}

// record appends one line, in one write, without fsync. It never fails a run: without the folder there is no record.
func (c *call) record(token Token) {
	if c.FlightPath == "" || c.recorded {
		return
	}
	f := openFlight(c.FlightPath)
	if f == nil {
		return
	}
	defer f.Close()
	c.recordTo(f, token)
}

// openFlight is nil where there is no record.
func openFlight(path string) *os.File {
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_APPEND|unix.O_CREAT|unix.O_CLOEXEC, 0o640)
	if err != nil {
		return nil
	}
	return os.NewFile(uintptr(fd), path) // not os.OpenFile: that would set up the poller for it
}

// recordTo appends the line to the record, once.
func (c *call) recordTo(f *os.File, token Token) {
	if f == nil || c.recorded {
		return
	}
	c.recorded = true
	r := c.request
	line, _ := flightTable(&Flight{
		T: c.began.UTC().Format("2006-01-02T15:04:05.000000Z"), Stage: c.name, Command: r.Command,
		Network: r.Network, Container: r.Container, IfName: r.IfName, Pod: r.Pod.String(),
		Took: c.Now().Sub(c.began).Microseconds(), Lock: r.Waited.Lock.Microseconds(), Wait: r.Waited.Pool.Microseconds(),
		Token: token, Trace: traceID(c.Getenv("TRACEPARENT")),
	}).Write()
	_, _ = f.Write(append(line, '\n')) // a full disk costs the record, not the pod
}

// traceID is the second field of version-traceid-parentid-flags.
func traceID(parent string) string {
	fields := strings.Split(parent, "-")
	if len(fields) < 4 || len(fields[1]) != 32 {
		return ""
	}
	return fields[1]
}

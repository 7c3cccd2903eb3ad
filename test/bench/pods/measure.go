package pods

import (
	"syscall"
	"time"
)

// record is what was measured, in order, by ID: SUBJECT/MEASURE. Sample i of all subjects is of the same round.
type record map[string][]float64

func (r record) add(subject, measure string, value float64) {
	id := subject + "/" + measure
	r[id] = append(r[id], value)
}

// verb notes what a verb cost, in milliseconds.
func (r record) verb(subject, verb, suffix string, c cost) {
	r.add(subject, verb+"-wall"+suffix, ms(c.wall))
	r.add(subject, verb+"-cpu"+suffix, ms(c.cpu))
}

// cost is what something took.
type cost struct {
	wall time.Duration
	cpu  time.Duration // user and system time of all children that were waited for, and of theirs
}

// measure runs f and takes the difference. The kernel's accounting is exact in the sum of user and system time
// (getrusage(2), RUSAGE_CHILDREN); the two apart are guessed by ticks.
func measure(f func() error) (cost, error) {
	before, started := childrenCPU(), time.Now()
	err := f()
	return cost{wall: time.Since(started), cpu: childrenCPU() - before}, err
}

func childrenCPU() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_CHILDREN, &usage); err != nil {
		panic(err) // only a wrong argument can cause it
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

package agent

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/enichain/enichain/ipam"
)

func at(d time.Duration) Now { return Now{Boot: ipam.Instant(time.Hour + d)} }

func TestFloor(t *testing.T) {
	type sample struct {
		at    time.Duration
		value int
	}
	for _, tc := range []struct {
		name    string
		samples []sample
		asked   time.Duration
		want    int
	}{
		{"before a window has passed", []sample{{0, 9}}, 59 * time.Second, 0},
		{"one value holds on", []sample{{0, 9}}, 60 * time.Second, 9},
		{"the least of the window", []sample{{0, 9}, {30 * time.Second, 2}, {31 * time.Second, 9}}, 70 * time.Second, 2},
		{"a dip leaves with its slot", []sample{{0, 9}, {30 * time.Second, 2}, {31 * time.Second, 9}}, 95 * time.Second, 9},
		{"a dip within the window stays", []sample{{0, 9}, {30 * time.Second, 2}, {31 * time.Second, 9}}, 89 * time.Second, 2},
		{"more wait than are free", []sample{{0, -3}}, 2 * time.Minute, -3},
		{"long silence", []sample{{0, 4}, {time.Second, 7}}, time.Hour, 7},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var f floor
			for _, s := range tc.samples {
				f.sample(at(s.at), time.Minute, s.value)
			}
			if got := f.value(at(tc.asked)); got != tc.want {
				t.Errorf("floor %d, want %d", got, tc.want)
			}
		})
	}
}

func TestFloorStartsAnewWithAnotherWindow(t *testing.T) {
	var f floor
	f.sample(at(0), time.Minute, 5)
	f.sample(at(2*time.Minute), 10*time.Second, 6)
	if got := f.value(at(2*time.Minute + 9*time.Second)); got != 0 {
		t.Errorf("floor %d before the new window has passed", got)
	}
	if got := f.value(at(2*time.Minute + 10*time.Second)); got != 6 {
		t.Errorf("floor %d, want 6", got)
	}
}

// TestFloorAgainstAList compares the slots with a plain list: never higher than the least of the window, never lower
// than the least of the window and one slot more.
func TestFloorAgainstAList(t *testing.T) {
	const seed = 11
	random := rand.New(rand.NewPCG(seed, 0))
	type sample struct {
		at    time.Duration
		value int
	}
	var f floor
	var all []sample
	now := time.Duration(0)
	least := func(window time.Duration) int {
		low := all[len(all)-1].value
		for i, s := range all {
			if i+1 == len(all) || all[i+1].at > now-window { // it held until the next one
				low = min(low, s.value)
			}
		}
		return low
	}
	for range 3000 {
		now += time.Duration(random.IntN(4000)) * time.Millisecond
		value := random.IntN(50)
		f.sample(at(now), time.Minute, value)
		all = append(all, sample{now, value})
		now += time.Duration(random.IntN(500)) * time.Millisecond
		if now < 2*time.Minute {
			continue
		}
		if got, high, low := f.value(at(now)), least(time.Minute), least(time.Minute+3*time.Second); got > high || got < low {
			t.Fatalf("seed %d: floor %d at %s, want %d to %d", seed, got, now, low, high)
		}
	}
}

// free4 counts the free IPv4 addresses of a snapshot.
func free4(s ipam.Snapshot) (n int) {
	for _, e := range s.ENIs {
		n += e.Free
	}
	return n
}

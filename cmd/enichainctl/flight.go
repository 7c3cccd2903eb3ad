package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/enichain/enichain/stages"
)

// run is one line of the flight record.
type run struct {
	at time.Time
	stages.Flight
}

// runs reads the flight record and the part that was put aside last, oldest first. No record is no error: it may be
// switched off.
func (a *app) runs(since time.Time) ([]run, error) {
	var all []run
	for _, path := range []string{a.flight + ".1", a.flight} {
		f, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, blind(fmt.Errorf("cannot read the flight record: %w", err), "try again as root")
		}
		lines := bufio.NewScanner(f)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			var r run
			if json.Unmarshal(lines.Bytes(), &r.Flight) != nil {
				continue // a line cut short by a full disk
			}
			if r.at, err = time.Parse(time.RFC3339Nano, r.T); err != nil || r.at.Before(since) {
				continue
			}
			all = append(all, r)
		}
		err = lines.Err()
		f.Close()
		if err != nil {
			return nil, blind(fmt.Errorf("cannot read the flight record %s: %w", path, err), "")
		}
	}
	slices.SortStableFunc(all, func(x, y run) int { return x.at.Compare(y.at) })
	return all, nil
}

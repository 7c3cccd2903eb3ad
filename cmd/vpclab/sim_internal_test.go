package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestNews: a seed each second, of which the 15th breaks something.
func TestNews(t *testing.T) {
	const wipe = "\r\x1b[K"
	for _, test := range []struct {
		name     string
		terminal bool
		seeds    int
		want     string
	}{
		{"log", false, 25, "10 of 25 seeds, 0 broken, 10s\n20 of 25 seeds, 1 broken, 20s\n"},
		{"short log", false, 9, ""},
		{"terminal", true, 2, wipe + "1 of 2 seeds, 0 broken, 1s" + wipe + "2 of 2 seeds, 0 broken, 2s" + wipe},
	} {
		t.Run(test.name, func(t *testing.T) {
			var out strings.Builder
			began := time.Unix(1e9, 0)
			n := news{out: &out, terminal: test.terminal, began: began, told: began}
			all := seedsRun{Seeds: test.seeds}
			for all.Done = 1; all.Done <= test.seeds; all.Done++ {
				if all.Done == 15 {
					all.Broken = append(all.Broken, brokenSeed{Seed: 15})
				}
				n.progress(began.Add(time.Duration(all.Done)*time.Second), all.String)
			}
			n.wipe()
			if diff := cmp.Diff(test.want, out.String()); diff != "" {
				t.Errorf("it told (-want +got):\n%s", diff)
			}
		})
	}
}

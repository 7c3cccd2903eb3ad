package try

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/enichain/enichain/test/kernel"
)

// Sections of a state beside the kernel's.
const (
	leaseSection = "lease" // of the pool file
	fileSection  = "file"  // that plugins and libcni keep
)

// state of the node: its kernel, its pool's leases, and the files that plugins keep.
func (t *trial) state() (kernel.State, error) {
	s, err := kernel.Read(t.ctx, "")
	if err != nil {
		return s, err
	}
	leases, err := t.node.Leases(t.ctx)
	if err != nil {
		return s, err
	}
	var lines []string
	for _, l := range leases {
		lines = append(lines, fmt.Sprintf("%s holds %v", l.Attachment, l.Addresses))
	}
	slices.Sort(lines)
	s.Sections = append(s.Sections, kernel.Section{Name: leaseSection, Lines: lines}, kernel.Section{Name: fileSection, Lines: t.files()})
	return s, nil
}

// settling is how long the kernel may take to do what it does later: a namespace's links go some time after it.
const settling = 3 * time.Second

// settled reads the state until it is as wanted, or patience ends.
func (t *trial) settled(want kernel.State) (kernel.State, error) {
	var last kernel.State
	err := t.until(func(s kernel.State) []kernel.Change { last = s; return kernel.Diff(want, s) })
	return last, err
}

// left is what the pods that are gone left on the node: what was neither there before anything nor after the pod to warm
// up, and what was there both times and is there no more.
func (t *trial) left() ([]kernel.Change, error) {
	var left []kernel.Change
	err := t.until(func(s kernel.State) []kernel.Change {
		left = beyond(t.fresh, t.base, s)
		return left
	})
	return left, err
}

// until reads the state until nothing is amiss. Where something is, it waits until nothing moves any more: half a
// second, or all of settling where links are too many, which may still be on their way out.
func (t *trial) until(amiss func(kernel.State) []kernel.Change) error {
	began := time.Now()
	var last kernel.State
	for {
		s, err := t.state()
		if err != nil {
			return err
		}
		changes := amiss(s)
		patience := settling / 6
		for _, c := range changes {
			if c.Section == kernel.Links && c.Added {
				patience = settling
			}
		}
		if len(changes) == 0 || time.Since(began) > patience && len(kernel.Diff(last, s)) == 0 {
			return nil
		}
		last = s
		select {
		case <-t.ctx.Done():
			return t.ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// beyond compares a state with two others: lines that it has more often than either, or less often than both.
func beyond(a, b, now kernel.State) []kernel.Change {
	var out []kernel.Change
	for _, section := range now.Sections {
		in := [3]map[string]int{count(a.Of(section.Name)), count(b.Of(section.Name)), count(section.Lines)}
		said := map[string]bool{}
		for _, line := range slices.Concat(a.Of(section.Name), section.Lines) {
			x, y, z := in[0][line], in[1][line], in[2][line]
			if added := z > max(x, y); !said[line] && (added || z < min(x, y)) {
				out = append(out, kernel.Change{Section: section.Name, Line: line, Added: added})
				said[line] = true
			}
		}
	}
	return out
}

func count(lines []string) map[string]int {
	n := map[string]int{}
	for _, line := range lines {
		n[line]++
	}
	return n
}

// files are those that IPAM plugins keep, by name; libcni's cached results and CNI's locks count, too.
func (t *trial) files() []string {
	roots := []string{cacheDir}
	for _, p := range t.list.Plugins {
		roots = append(roots, dataDirs(p.Bytes)...)
	}
	var all []string
	for _, root := range roots {
		all = append(all, tree(root)...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func tree(root string) (files []string) {
	entries, err := os.ReadDir(root)
	if err != nil {
		return nil
	}
	for _, e := range entries {
		if path := root + "/" + e.Name(); e.IsDir() {
			files = append(files, tree(path)...)
		} else {
			files = append(files, path)
		}
	}
	return files
}

// leftOrGone says what the first of some changes is.
func leftOrGone(changes []kernel.Change) string {
	if changes[0].Added {
		return "left behind"
	}
	return "gone, though it was there before all pods,"
}

// firstOf is the first of some changes, and how many there are more.
func firstOf(changes []kernel.Change) string {
	text := strings.Join(strings.Fields(changes[0].String()), " ")
	if n := len(changes) - 1; n > 0 {
		text += fmt.Sprintf(" (and %d more)", n)
	}
	return text
}

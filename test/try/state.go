package try

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/enichain/enichain/stages/routedveth"
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

// How long the kernel may take to do what it does later. A link whose other end was in a namespace that is gone goes
// with that: one worker of the kernel takes away one after another, for the whole machine.
const (
	settling = 100 * time.Millisecond
	linkGoes = 3 * time.Second
	wireGoes = 30 * time.Second
)

// wires is how many links of the node have their other end in another namespace.
func wires() (int, error) {
	links, err := netlink.LinkList()
	for again := 0; errors.Is(err, netlink.ErrDumpInterrupted) && again < 10; again++ { // a link came or went meanwhile
		links, err = netlink.LinkList()
	}
	if err != nil {
		return 0, fmt.Errorf("cannot list the node's links: %w", err)
	}
	links = slices.DeleteFunc(links, func(l netlink.Link) bool { return l.Attrs().NetNsID == -1 })
	return len(links), nil
}

// severed waits until no more wires are left than there were before a pod, whose namespace has no name any more. A socket
// that still says goodbye keeps the namespace for minutes, and with it a wire that DEL only severed: those the node's
// agent would sweep, and so are they here. Where too many stay, the next look finds them.
func (t *trial) severed(before int) error {
	for began := time.Now(); time.Since(began) < wireGoes; {
		if n, err := wires(); err != nil || n <= before {
			return err
		}
		if time.Since(began) > settling {
			if _, err := routedveth.Sweep(t.ctx); err != nil {
				return err
			}
		}
		if err := t.pause(5 * time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// pause lets the kernel go on.
func (t *trial) pause(d time.Duration) error {
	select {
	case <-t.ctx.Done():
		return t.ctx.Err()
	case <-time.After(d):
		return nil
	}
}

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

// until reads the state until nothing is amiss. Where something is, it waits until nothing moves any more, and longer
// where links are too many, which may still be on their way out.
func (t *trial) until(amiss func(kernel.State) []kernel.Change) error {
	began := time.Now()
	var last kernel.State
	for pause := settling / 2; ; pause = min(2*pause, settling*4) { // a look costs as much as several stages
		s, err := t.state()
		if err != nil {
			return err
		}
		changes, patience := amiss(s), settling
		if slices.ContainsFunc(changes, func(c kernel.Change) bool { return c.Section == kernel.Links && c.Added }) {
			patience = linkGoes
		}
		if len(changes) == 0 || time.Since(began) > patience && len(kernel.Diff(last, s)) == 0 {
			return nil
		}
		last = s
		if err := t.pause(pause); err != nil {
			return err
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

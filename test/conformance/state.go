package conformance

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/enichain/enichain/test/kernel"
)

// picture is all that a plugin may have changed: the kernel's state of the node and of each container, and what is
// reserved outside the kernel.
type picture struct {
	names    []string // of the namespaces; "" is the node
	states   map[string]kernel.State
	reserved []string
}

// change is one line of a picture that came or went.
type change struct {
	netns string // path; "" is the node
	kernel.Change
}

func (c change) String() string {
	if c.netns == "" {
		return c.Change.String()
	}
	return strings.Replace(c.Change.String(), " ", " "+filepath.Base(c.netns)+": ", 1)
}

// reservation is the section of a change that is not in the kernel.
const reservation = "reserved"

// look takes a picture of the world.
func (t *trial) look() picture {
	p := picture{states: map[string]kernel.State{}, names: []string{""}}
	for _, a := range t.made {
		if !slices.Contains(p.names, a.netns) {
			p.names = append(p.names, a.netns)
		}
	}
	for _, name := range p.names {
		state, err := kernel.Read(t.ctx, name)
		if err != nil {
			t.skip("cannot look at the kernel: %v", err)
		}
		p.states[name] = state
	}
	p.reserved = t.reserved()
	return p
}

// reserved are the plugin's own words about what it holds, or the files that lie in the world's folders.
func (t *trial) reserved() []string {
	switch {
	case t.p.state != nil:
		lines, err := t.p.state(t.ctx)
		if err != nil {
			t.skip("cannot look at what is reserved: %v", err)
		}
		return lines
	case t.p.State != "":
		out, err := t.quiet(t.p.State, "NETWORK="+network)
		if err != nil {
			t.skip("cannot look at what is reserved: %s: %v: %s", t.p.State, err, out)
		}
		return strings.Fields(strings.ReplaceAll(out, " ", "_"))
	}
	var files []string
	for _, root := range ownFolders {
		_ = filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
			if err != nil || path == namespaceFolder || path == ownFolder {
				return filepath.SkipDir
			}
			if !d.IsDir() && !strings.HasSuffix(path, "lock") {
				files = append(files, path)
			}
			return nil
		})
	}
	return files
}

// changes is what it takes to make after out of before. Namespaces that are in one of the two only do not count.
func (t *trial) changes(before, after picture) []change {
	var all []change
	for _, name := range after.names {
		if _, ok := before.states[name]; !ok {
			continue
		}
		for _, c := range kernel.Diff(before.states[name], after.states[name]) {
			if !slices.ContainsFunc(t.p.Ignore, func(word string) bool { return strings.Contains(c.Line, word) }) {
				all = append(all, change{name, c})
			}
		}
	}
	for _, line := range before.reserved {
		if !slices.Contains(after.reserved, line) {
			all = append(all, change{"", kernel.Change{Section: reservation, Line: line}})
		}
	}
	for _, line := range after.reserved {
		if !slices.Contains(before.reserved, line) {
			all = append(all, change{"", kernel.Change{Section: reservation, Line: line, Added: true}})
		}
	}
	return all
}

// told is how a report shows changes.
func told(changes []change) string {
	var lines []string
	for i, c := range changes {
		if i == 6 {
			lines = append(lines, fmt.Sprintf("and %d more", len(changes)-i))
			break
		}
		lines = append(lines, strings.Join(strings.Fields(c.String()), " "))
	}
	if len(lines) == 0 {
		return "nothing changed"
	}
	return strings.Join(lines, "; ")
}

// unchanged expects that nothing changed since a picture.
func (t *trial) unchanged(before picture, expected string) {
	diff := t.changes(before, t.look())
	t.expect(len(diff) == 0, expected, "%s", told(diff))
}

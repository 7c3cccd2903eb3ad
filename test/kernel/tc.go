package kernel

import (
	"errors"
	"regexp"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
)

// reference are the words of traffic control that count users.
var reference = regexp.MustCompile(`\s(refcnt|ref|bind|index) \d+`)

// automatic is a handle that the kernel has chosen.
var automatic = regexp.MustCompile(`\b8[0-9a-f]{3}:`)

// traffic reads queueing disciplines and the filters at them. Those that the kernel puts at every link (handle 0:)
// are left out; tc is asked only where there are others.
func (r *reader) traffic() ([]string, error) {
	all, err := netlink.QdiscList(nil)
	if err == nil && !slices.ContainsFunc(all, func(q netlink.Qdisc) bool { return q.Attrs().Handle != 0 }) {
		return nil, nil
	}
	text, err := r.start("tc", "-d", "qdisc", "show").text()
	if errors.Is(err, errMissing) {
		return []string{"unknown: " + err.Error()}, nil
	}
	if err != nil {
		return nil, err
	}
	var lines []string
	for line := range strings.Lines(text) {
		fields := strings.Fields(reference.ReplaceAllString(line, ""))
		if len(fields) < 5 || fields[2] == "0:" {
			continue
		}
		lines = append(lines, automatic.ReplaceAllString(strings.TrimRight(strings.Join(fields, " "), " -"), "auto:"))
		filters, err := r.start("tc", "filter", "show", "dev", fields[4], "parent", fields[2]).text()
		if err != nil { // the link may have gone meanwhile
			continue
		}
		first := len(lines)
		for line := range strings.Lines(filters) {
			line = automatic.ReplaceAllString(strings.TrimSpace(reference.ReplaceAllString(line, "")), "auto:")
			switch rest, begins := strings.CutPrefix(line, "filter "); {
			case begins:
				lines = append(lines, "filter dev "+fields[4]+" "+rest)
			case len(lines) > first && line != "":
				lines[len(lines)-1] += " " + line
			}
		}
	}
	return lines, nil
}

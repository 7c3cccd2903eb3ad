package kernel

import (
	"errors"
	"regexp"
	"slices"
	"strings"
)

// familyBatch is what one ip is asked about IPv4 or IPv6.
const familyBatch = "address show\nrule show\nroute show table all\n"

// family is what there is of IPv4 or IPv6.
type family struct{ addresses, rules, routes []string }

// How ip begins a line: an address's with the link's index, a rule's with its priority, all others are routes'.
var (
	ofAddress = regexp.MustCompile(`^\d+: `)
	ofRule    = regexp.MustCompile(`^\d+:\t`)
)

// family waits for an ip that was asked familyBatch.
func (s *started) family() (family, error) {
	text, err := s.text()
	if errors.Is(err, errMissing) {
		unknown := "unknown: " + err.Error()
		return family{[]string{unknown}, []string{unknown}, []string{unknown}}, nil
	}
	var f family
	for line := range strings.Lines(text) {
		switch line = named(strings.TrimSpace(line)); {
		case ofAddress.MatchString(line):
			f.addresses = append(f.addresses, addressLine(line)...)
		case ofRule.MatchString(line):
			f.rules = append(f.rules, spaced(line))
		case line != "":
			f.routes = append(f.routes, routeLine(line)...)
		}
	}
	return f, err
}

// with is both families' lines: those of IPv6 say so where they could be taken for IPv4's.
func (f family) with(six family) family {
	f.addresses = append(f.addresses, six.addresses...)
	for _, rule := range six.rules {
		f.rules = append(f.rules, "inet6 "+rule)
	}
	for _, route := range six.routes {
		f.routes = append(f.routes, strings.Replace(route, "default", "::/0", 1))
	}
	return f
}

func spaced(line string) string { return strings.Join(strings.Fields(line), " ") }

// ownLinkLocal is an address that the kernel makes of a link's MAC, some time after the link came up (RFC 4291, 2.5.6).
var ownLinkLocal = regexp.MustCompile(`^fe80::([0-9a-f]+:)?[0-9a-f]*ff:fe[0-9a-f]{2}:[0-9a-f]+/64$`)

// addressLine is none for an address that the kernel makes by itself.
func addressLine(line string) []string {
	line, _, _ = strings.Cut(line, `\`)
	fields := slices.DeleteFunc(strings.Fields(line), func(s string) bool { return s == "tentative" || s == "dadfailed" })
	if len(fields) < 4 || ownLinkLocal.MatchString(fields[3]) {
		return nil
	}
	dev, rest := fields[1], fields[4:]
	if len(rest) > 0 && rest[len(rest)-1] == dev { // the label that every IPv4 address has
		rest = rest[:len(rest)-1]
	}
	return []string{strings.Join(append([]string{fields[3], "dev", dev}, rest...), " ")}
}

// moving are the words of a route that change with time or with a cable.
var moving = regexp.MustCompile(` (linkdown|dead|pref medium|expires \d+sec|metric 1024|offload|trap)\b`)

// routeLine is none for a route that the kernel makes and removes with an address or a link by itself.
func routeLine(line string) []string {
	line = spaced(moving.ReplaceAllString(strings.ReplaceAll(line, `\`, " "), ""))
	if strings.Contains(line, "proto kernel") &&
		(strings.Contains(line, "table local") || strings.HasPrefix(line, "fe80::/64 ") || strings.HasPrefix(line, "multicast ")) {
		return nil
	}
	return []string{line}
}

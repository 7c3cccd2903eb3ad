package kernel

import (
	"regexp"
	"strconv"
)

// The names that iproute2 has for numbers by itself (ip-route(8)), and enichain's (docs/design.md, section 9).
var (
	scopes     = map[string]string{"0": "global", "200": "site", "253": "link", "254": "host", "255": "nowhere"}
	protocols  = map[string]string{"1": "redirect", "2": "kernel", "3": "boot", "4": "static", "9": "ra", "16": "dhcp", "233": "enichain"}
	tableNames = map[string]string{"253": "default", "254": "main", "255": "local", "1000": "enichain-pods"}
	routeTypes = map[string]string{"2": "local", "3": "broadcast", "4": "anycast", "5": "multicast", "6": "blackhole", "7": "unreachable",
		"8": "prohibit", "9": "throw", "10": "nat"}
)

var (
	numbered = regexp.MustCompile(` (table|lookup|proto|scope) (\d+)\b`)
	typed    = regexp.MustCompile(`^(\d+) `)
)

// enichain's table 1000+n is network interface n's, 1 to 127.
const (
	firstENI = 1001
	lastENI  = 1127
)

// named puts names for the numbers in a line of ip's: the same on every machine.
func named(line string) string {
	line = typed.ReplaceAllStringFunc(line, func(s string) string {
		if name, ok := routeTypes[s[:len(s)-1]]; ok {
			return name + " "
		}
		return s
	})
	return numbered.ReplaceAllStringFunc(line, func(s string) string {
		m := numbered.FindStringSubmatch(s)
		name := map[string]map[string]string{"table": tableNames, "lookup": tableNames, "proto": protocols, "scope": scopes}[m[1]][m[2]]
		if n, err := strconv.Atoi(m[2]); err == nil && name == "" && (m[1] == "table" || m[1] == "lookup") && n >= firstENI && n <= lastENI {
			name = "eni-" + strconv.Itoa(n-firstENI+1)
		}
		if name == "" {
			name = m[2]
		}
		return " " + m[1] + " " + name
	})
}

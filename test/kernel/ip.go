package kernel

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// sorted makes a section whose order means nothing. What a missing tool says twice is said once.
func sorted(name string, lines []string) Section {
	slices.Sort(lines)
	return Section{name, once(lines)}
}

// once leaves out a line that says again that a tool is missing.
func once(lines []string) []string {
	return slices.CompactFunc(lines, func(a, b string) bool { return a == b && strings.HasPrefix(a, "unknown: ") })
}

// linkInfo is what 'ip -j -d link' says of a link, as far as it does not move by itself.
type linkInfo struct {
	Name      string   `json:"ifname"`
	Peer      string   `json:"link"`
	PeerIndex int      `json:"link_index"`
	Flags     []string `json:"flags"`
	MTU       int      `json:"mtu"`
	Group     string   `json:"group"`
	MAC       string   `json:"address"`
	Alias     string   `json:"ifalias"`
	Master    string   `json:"master"`
	TxQueue   int      `json:"txqlen"`
	Info      struct {
		Kind  string         `json:"info_kind"`
		Data  map[string]any `json:"info_data"`
		Slave map[string]any `json:"info_slave_data"`
	} `json:"linkinfo"`
}

// telling are the settings of a kind of link that plugins make; the rest are defaults, timers and counters.
var telling = []string{"mode", "id", "protocol", "vlan_filtering", "vlan_default_pvid", "stp_state", "table", "remote", "local", "port", "type"}

func linkLines(text string) ([]string, error) {
	var all []linkInfo
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		return nil, fmt.Errorf("cannot understand ip's links: %w", err)
	}
	var lines []string
	for _, l := range all {
		lines = append(lines, l.line())
	}
	return lines, nil
}

func (l linkInfo) line() string {
	words := []string{l.Name}
	add := func(ok bool, format string, args ...any) {
		if ok {
			words = append(words, fmt.Sprintf(format, args...))
		}
	}
	up := "down"
	if slices.Contains(l.Flags, "UP") {
		up = "up"
	}
	add(l.Info.Kind != "", "%s", l.Info.Kind)
	add(true, "mtu %d %s mac %s", l.MTU, up, l.MAC)
	add(l.Peer != "", "peer %s", l.Peer)
	add(l.Peer == "" && l.PeerIndex != 0, "peer elsewhere")
	add(l.Master != "", "master %s", l.Master)
	add(l.Group != "" && l.Group != "0", "group %s", l.Group)
	add(l.Alias != "", "alias %q", l.Alias)
	for _, flag := range []string{"PROMISC", "ALLMULTI", "NOARP"} { // as somebody set them; a bridge sets none of its ports'
		add(slices.Contains(l.Flags, flag), "%s", strings.ToLower(flag))
	}
	add(l.TxQueue != 1000 && l.TxQueue != 0, "txqueuelen %d", l.TxQueue)
	for _, key := range telling {
		if value, ok := l.Info.Data[key]; ok && value != 0.0 {
			add(true, "%s %v", key, value)
		}
	}
	for _, key := range []string{"hairpin", "isolated"} {
		if on, _ := l.Info.Slave[key].(bool); on {
			add(true, "%s", key)
		}
	}
	return strings.Join(words, " ")
}

// ownLinkLocal is an address that the kernel makes of a link's MAC, some time after the link came up (RFC 4291, 2.5.6).
var ownLinkLocal = regexp.MustCompile(`^fe80::([0-9a-f]+:)?[0-9a-f]*ff:fe[0-9a-f]{2}:[0-9a-f]+/64$`)

// addressLines leaves out the addresses that the kernel makes by itself.
func addressLines(text string) ([]string, error) {
	var lines []string
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(named(line), `\`)
		fields := slices.DeleteFunc(strings.Fields(line), func(s string) bool { return s == "tentative" || s == "dadfailed" })
		if len(fields) < 4 || ownLinkLocal.MatchString(fields[3]) {
			continue
		}
		dev, rest := fields[1], fields[4:]
		if len(rest) > 0 && rest[len(rest)-1] == dev { // the label that every IPv4 address has
			rest = rest[:len(rest)-1]
		}
		lines = append(lines, strings.Join(append([]string{fields[3], "dev", dev}, rest...), " "))
	}
	return lines, nil
}

// moving are the words of a route that change with time or with a cable.
var moving = regexp.MustCompile(` (linkdown|dead|pref medium|expires \d+sec|metric 1024|offload|trap)\b`)

func routeLines(text string) ([]string, error) {
	var lines []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(moving.ReplaceAllString(strings.ReplaceAll(named(line), `\`, " "), ""))
		if line != "" && !derived(line) {
			lines = append(lines, strings.Join(strings.Fields(line), " "))
		}
	}
	return lines, nil
}

func routeLines6(text string) ([]string, error) {
	lines, err := routeLines(text)
	for i, line := range lines {
		lines[i] = strings.Replace(line, "default", "::/0", 1)
	}
	return lines, err
}

// derived says whether the kernel makes and removes a route with an address or a link by itself.
func derived(route string) bool {
	if !strings.Contains(route, "proto kernel") {
		return false
	}
	return strings.Contains(route, "table local") || strings.HasPrefix(route, "fe80::/64 ") || strings.HasPrefix(route, "multicast ")
}

func ruleLines(text string) ([]string, error) {
	var lines []string
	for line := range strings.Lines(text) {
		if fields := strings.Fields(named(line)); len(fields) > 0 {
			lines = append(lines, strings.Join(fields, " "))
		}
	}
	return lines, nil
}

func ruleLines6(text string) ([]string, error) {
	lines, err := ruleLines(text)
	for i := range lines {
		lines[i] = "inet6 " + lines[i]
	}
	return lines, err
}

func neighbourLines(text string) ([]string, error) {
	var lines []string
	for line := range strings.Lines(text) {
		if fields := strings.Fields(line); len(fields) > 0 {
			lines = append(lines, strings.ToLower(strings.Join(fields, " ")))
		}
	}
	return lines, nil
}

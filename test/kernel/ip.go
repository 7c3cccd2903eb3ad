package kernel

import (
	"encoding/json"
	"fmt"
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

func neighbourLines(text string) ([]string, error) {
	var lines []string
	for line := range strings.Lines(text) {
		if fields := strings.Fields(line); len(fields) > 0 {
			lines = append(lines, strings.ToLower(strings.Join(fields, " ")))
		}
	}
	return lines, nil
}

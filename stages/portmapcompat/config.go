package portmapcompat

import (
	"strconv"
	"strings"

	"github.com/enichain/enichain/chain/contract"
	"github.com/enichain/enichain/stages"
)

// config is upstream portmap's configuration, key by key, and hostPortConflict.
type config struct {
	// Backend is "nftables"; upstream's other one, "iptables", is refused by name.
	Backend string `json:"backend"`
	// SNAT masquerades what would otherwise be answered past the node: a pod to its own host port, and 127.0.0.1.
	SNAT bool `json:"snat"`
	// MasqAll masquerades every packet to a host port, wherever it comes from.
	MasqAll bool `json:"masqAll"`
	// MarkMasqBit and ExternalSetMarkChain are the iptables backend's. The first is accepted and without effect, as
	// upstream's nftables backend does it; the second would promise a jump that does not happen, so it is refused.
	MarkMasqBit          *int    `json:"markMasqBit"`
	ExternalSetMarkChain *string `json:"externalSetMarkChain"`
	// ConditionsV4 and ConditionsV6 are further matches in nft's words, for this network's ports alone.
	ConditionsV4 []string `json:"conditionsV4"`
	ConditionsV6 []string `json:"conditionsV6"`
	// HostPortConflict says what happens to a port that another container holds: "lastWins" or "reject".
	HostPortConflict string `json:"hostPortConflict"`
}

// The values of hostPortConflict.
const (
	lastWins = "lastWins"
	reject   = "reject"
)

func defaults() config {
	return config{Backend: "nftables", SNAT: true, HostPortConflict: lastWins}
}

// keys is the configuration in words, for the contract.
func keys() map[string]string {
	return map[string]string{
		"backend":              `"nftables" (default)`,
		"snat":                 "true (default) or false: masquerade a pod's own host port and 127.0.0.1",
		"masqAll":              "false (default) or true: masquerade whatever comes by a host port",
		"markMasqBit":          "integer 0..31; without effect in nftables",
		"externalSetMarkChain": "string; iptables only, refused",
		"conditionsV4":         "list of words of nft: further matches for IPv4",
		"conditionsV6":         "list of words of nft: further matches for IPv6",
		"hostPortConflict":     `"lastWins" (default) or "reject"`,
	}
}

var _ stages.Validator = (*config)(nil)

// Validate reports what decoding cannot see.
func (c *config) Validate(report func(path, fault string)) {
	switch c.Backend {
	case "nftables":
	case "iptables":
		report("backend", `"iptables" is not there yet; take it out of the list (nftables is the default), or use upstream's `+
			`"type": "portmap" until it is`)
	default:
		report("backend", `want "nftables", got `+strconv.Quote(c.Backend))
	}
	if b := c.MarkMasqBit; b != nil && (*b < 0 || *b > 31) {
		report("markMasqBit", "want 0 to 31, got "+strconv.Itoa(*b))
	}
	switch {
	case c.ExternalSetMarkChain == nil:
	case c.MarkMasqBit != nil:
		report("externalSetMarkChain", "cannot be given together with markMasqBit")
	default:
		report("externalSetMarkChain", "is for the backend iptables; nftables masquerades without a mark, so take it out")
	}
	conditions("conditionsV4", c.ConditionsV4, report)
	conditions("conditionsV6", c.ConditionsV6, report)
	if c.HostPortConflict != lastWins && c.HostPortConflict != reject {
		report("hostPortConflict", `want "lastWins" or "reject", got `+strconv.Quote(c.HostPortConflict))
	}
}

// conditions refuses iptables' words, and what would end nft's statement and begin another.
func conditions(path string, words []string, report func(path, fault string)) {
	for i, w := range words {
		at := path + "[" + strconv.Itoa(i) + "]"
		switch {
		case i == 0 && (strings.HasPrefix(w, "-") || w == "!"):
			report(at, strconv.Quote(w)+` is iptables' language; nft's is, for example, ["ip", "saddr", "!=", "10.0.0.0/8"]`)
		case strings.TrimSpace(w) == "":
			report(at, "is empty")
		case strings.ContainsAny(w, ";#\"\\") || strings.ContainsFunc(w, func(c rune) bool { return c < ' ' }):
			report(at, strconv.Quote(w)+" may not hold ';', '#', quotes or control characters: it is one match, not a statement")
		}
	}
}

// declaration is the stage's contract.
func declaration() contract.Contract {
	return contract.Contract{
		V:            contract.V,
		Requires:     []contract.Fact{contract.IPs, contract.SandboxInterface},
		Adds:         []contract.Fact{contract.HostPorts},
		Exclusive:    []contract.Fact{contract.HostPorts},
		Capabilities: []string{capability},
		Keys:         keys(),
	}
}

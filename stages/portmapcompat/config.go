package portmapcompat

import (
	"slices"
	"strconv"
	"strings"

	"github.com/enichain/enichain/chain/contract"
	"github.com/enichain/enichain/stages"
)

// config is upstream portmap's configuration, key by key, and hostPortConflict.
type config struct {
	// Backend is "nftables" or "iptables"; "" is for choose.
	Backend string `json:"backend"`
	// SNAT masquerades what would otherwise be answered past the node: a pod to its own host port, and 127.0.0.1.
	SNAT bool `json:"snat"`
	// MasqAll masquerades every packet to a host port, wherever it comes from.
	MasqAll bool `json:"masqAll"`
	// MarkMasqBit is the bit of a packet's mark that asks for masquerade, 0 to 31; upstream's default is 13 (Kubernetes
	// has 14 and 15, Calico 20 to 31). The backend nftables needs none: there it is accepted and without effect, as
	// upstream has it.
	MarkMasqBit *int `json:"markMasqBit"`
	// ExternalSetMarkChain is somebody else's chain that sets the mark, for example KUBE-MARK-MASQ. iptables only.
	ExternalSetMarkChain *string `json:"externalSetMarkChain"`
	// ConditionsV4 and ConditionsV6 are further matches in the backend's own words, for this network's ports alone.
	ConditionsV4 []string `json:"conditionsV4"`
	ConditionsV6 []string `json:"conditionsV6"`
	// HostPortConflict says what happens to a port that another container holds: "lastWins" or "reject".
	HostPortConflict string `json:"hostPortConflict"`
}

// The values of backend and of hostPortConflict.
const (
	nftables = "nftables"
	iptables = "iptables"
	lastWins = "lastWins"
	reject   = "reject"
)

// defaultMarkBit is upstream's; range 0..31.
const defaultMarkBit = 13

func defaults() config { return config{SNAT: true, HostPortConflict: lastWins} }

// keys is the configuration in words, for the contract.
func keys() map[string]string {
	return map[string]string{
		"backend":              `"nftables" or "iptables" (default nftables, unless other keys are in iptables' words)`,
		"snat":                 "boolean (default true): masquerade a pod's own host port and 127.0.0.1",
		"masqAll":              "boolean (default false): masquerade whatever comes by a host port",
		"markMasqBit":          "integer 0..31 (default 13); without effect in nftables",
		"externalSetMarkChain": "string: iptables only",
		"conditionsV4":         "list of string: further matches for IPv4, in the backend's words",
		"conditionsV6":         "list of string: further matches for IPv6, in the backend's words",
		"hostPortConflict":     `"lastWins" or "reject" (default lastWins)`,
	}
}

var _ stages.Validator = (*config)(nil)

// Validate reports what decoding cannot see.
func (c *config) Validate(report func(path, fault string)) {
	if c.Backend != "" && c.Backend != nftables && c.Backend != iptables {
		report("backend", `want "nftables" or "iptables", got `+strconv.Quote(c.Backend))
	}
	if b := c.MarkMasqBit; b != nil && (*b < 0 || *b > 31) {
		report("markMasqBit", "want 0 to 31, got "+strconv.Itoa(*b))
	}
	if x := c.ExternalSetMarkChain; x != nil {
		switch {
		case c.MarkMasqBit != nil:
			report("externalSetMarkChain", "cannot be given together with markMasqBit")
		case c.Backend == nftables:
			report("externalSetMarkChain", `is for the backend iptables; nftables masquerades without a mark, so take it out `+
				`or set "backend": "iptables"`)
		case !chainName(*x):
			report("externalSetMarkChain", "want the name of a chain, at most 28 letters without blanks, got "+strconv.Quote(*x))
		}
	}
	language := c.backend()
	conditions("conditionsV4", language, c.ConditionsV4, report)
	conditions("conditionsV6", language, c.ConditionsV6, report)
	if c.HostPortConflict != lastWins && c.HostPortConflict != reject {
		report("hostPortConflict", `want "lastWins" or "reject", got `+strconv.Quote(c.HostPortConflict))
	}
}

// chainName says whether iptables takes it: XT_EXTENSION_MAXNAMELEN less its end, and no sign that means an option.
func chainName(s string) bool {
	return s != "" && len(s) <= 28 && !strings.ContainsAny(s[:1], "-!") && strings.IndexFunc(s, func(c rune) bool {
		return c <= ' ' || c > '~' || c == '"' || c == '\\' || c == '\''
	}) < 0
}

// backend is the backend that the configuration alone decides for: the one it names, or the one whose words it has, so
// that a list written for upstream's portmap goes on working; else nftables.
func (c *config) backend() string {
	switch {
	case c.Backend != "":
		return c.Backend
	case c.ExternalSetMarkChain != nil, inIptables(c.ConditionsV4), inIptables(c.ConditionsV6):
		return iptables
	}
	return nftables
}

// inIptables says whether conditions are iptables' words: theirs begin with an option or its negation, which no match of
// nft does (upstream's rule).
func inIptables(words []string) bool {
	return len(words) > 0 && (strings.HasPrefix(words[0], "-") || strings.HasPrefix(words[0], "!"))
}

// conditions refuses the other backend's words, and what is more than a match.
func conditions(path, backend string, words []string, report func(path, fault string)) {
	if len(words) == 0 {
		return
	}
	switch {
	case backend == nftables && inIptables(words):
		report(path+"[0]", strconv.Quote(words[0])+` is iptables' language; nft's is, for example, `+
			`["ip", "saddr", "!=", "10.0.0.0/8"]`)
		return
	case backend == iptables && !inIptables(words) && words[0] != "":
		report(path+"[0]", strconv.Quote(words[0])+` is nft's language; iptables' is, for example, ["!", "-s", "10.0.0.0/8"]`)
		return
	}
	for i, w := range words {
		at := path + "[" + strconv.Itoa(i) + "]"
		switch {
		case strings.TrimSpace(w) == "":
			report(at, "is empty")
		case strings.ContainsFunc(w, func(c rune) bool { return c < ' ' }):
			report(at, strconv.Quote(w)+" may not hold control characters")
		case backend == nftables && strings.ContainsAny(w, ";#\"\\"):
			report(at, strconv.Quote(w)+" may not hold ';', '#' or quotes: it is one match, not a statement")
		case backend == iptables && command(w):
			report(at, strconv.Quote(w)+" is no match: what happens to a packet, and where, is not a condition")
		}
	}
}

// command says whether a word of iptables is a command, a table or a target.
func command(word string) bool {
	if strings.HasPrefix(word, "--") {
		name, _, _ := strings.Cut(word[2:], "=")
		return slices.Contains([]string{"jump", "goto", "table", "append", "delete", "insert", "replace", "check", "list",
			"list-rules", "flush", "zero", "new-chain", "delete-chain", "policy", "rename-chain", "modprobe", "wait"}, name)
	}
	return len(word) > 1 && word[0] == '-' && strings.ContainsRune("jgtADIRCLSFZNXPEMw", rune(word[1]))
}

// markBit is the mark that asks for masquerade, as iptables writes it: value/mask.
func (c *config) markBit() string {
	bit := defaultMarkBit
	if c.MarkMasqBit != nil {
		bit = *c.MarkMasqBit
	}
	mark := "0x" + strconv.FormatUint(1<<uint(bit), 16)
	return mark + "/" + mark
}

// declaration is the stage's contract.
func declaration() contract.Contract {
	return contract.Contract{
		V:            contract.V,
		Previous:     contract.Needs,
		Requires:     []contract.Fact{contract.IPs, contract.SandboxInterface, contract.Routed},
		Adds:         []contract.Fact{contract.HostPorts},
		Exclusive:    []contract.Fact{contract.HostPorts},
		Capabilities: []string{capability},
		Keys:         keys(),
		Kernel:       []string{"nft inet enichain-portmap-compat (or iptables nat CNI-…)"},
	}
}

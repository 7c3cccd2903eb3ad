package portmapcompat

import (
	"encoding/hex"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/enichain/enichain/stages"
	"github.com/enichain/enichain/stages/internal/nft"
	"github.com/enichain/enichain/stages/internal/sha"
)

// Names in iptables' table nat. They are upstream portmap's, letter by letter: so either of the two ends what the other
// began, and tools that read these chains go on reading.
const (
	chainHostPorts = "CNI-HOSTPORT-DNAT"    // jumped to for every packet to an address of the node
	chainSetMark   = "CNI-HOSTPORT-SETMARK" // marks what is to be masqueraded
	chainMasq      = "CNI-HOSTPORT-MASQ"    // masquerades what is marked
	chainOldSNAT   = "CNI-HOSTPORT-SNAT"    // of upstream before 0.7; only ever removed
	prefixDNAT     = "CNI-DN-"              // one chain per container
	prefixOldSNAT  = "CNI-SN-"
	natChainLength = 28  // letters of a container's chain; XT_EXTENSION_MAXNAMELEN less its end
	portsPerRule   = 15  // XT_MULTI_PORTS
	maxComment     = 255 // XT_MAX_COMMENT_LEN less its end
)

// hashedChain is a chain's name as upstream makes it: the prefix and as much of the hash as fits.
func hashedChain(prefix, of string) string {
	sum := sha.Sum512([]byte(of))
	return (prefix + hex.EncodeToString(sum[:]))[:natChainLength]
}

// upstreamChain is the chain of a container in a network, as upstream names it: the interface is not in it.
func upstreamChain(a stages.Attachment) string { return hashedChain(prefixDNAT, a.Network+a.Container) }

// secondChain is the chain of a container's further interface in the same network: upstream's is taken by the first one.
// No network or container has a '/' in its name, so no upstream chain is ever called so.
func secondChain(a stages.Attachment) string {
	return hashedChain(prefixDNAT, a.Network+a.Container+"/"+a.IfName)
}

func oldChain(a stages.Attachment) string { return hashedChain(prefixOldSNAT, a.Network+a.Container) }

// entryComment is upstream's comment at the rule that leads into a container's chain.
func entryComment(network, container string) string {
	return cut(`dnat name: "` + network + `" id: "` + container + `"`)
}

// networkComment is how entryComment begins for every container of a network.
func networkComment(network string) string {
	begin := `dnat name: "` + network + `" id: "`
	return begin[:min(len(begin), maxComment-2)]
}

func cut(comment string) string {
	if len(comment) <= maxComment {
		return comment
	}
	return comment[:maxComment-2] + "..."
}

// place is a rule and the chain it stands in.
type place struct {
	chain string
	first bool // before the chain's other rules
	rule  []string
}

// rules are what one container's ports need in one family's table nat.
type rules struct {
	family  nft.Family
	chain   string     // the container's own
	shared  []place    // of all containers; upstream's top-level chains and the jumps to them
	entries [][]string // lead into chain; at most 15 ports each
	body    [][]string // of chain, in order
}

// tables are the rules of all families in which one of the ports leads to the pod.
func (c call) tables(a stages.Attachment) []rules {
	var all []rules
	for _, pod := range c.pod {
		f := nft.FamilyOf(pod.Addr())
		if slices.ContainsFunc(c.ports, func(m mapping) bool { return m.forFamily(f) }) {
			all = append(all, rules{family: f, chain: upstreamChain(a), shared: c.sharedRules(),
				entries: c.entries(a, f), body: c.body(a, pod)})
		}
	}
	return all
}

// sharedRules are the same for every container, but for the bit of the mark.
func (c call) sharedRules() []place {
	jump := []string{"-m", "addrtype", "--dst-type", "LOCAL", "-j", chainHostPorts}
	all := []place{{chain: "PREROUTING", rule: jump}, {chain: "OUTPUT", rule: jump}}
	if !c.SNAT || c.ExternalSetMarkChain != nil {
		return all
	}
	return append(all,
		// First of all: the masquerading of upstream's ptp and bridge would take the packets otherwise.
		place{chain: "POSTROUTING", first: true, rule: []string{"-m", "comment", "--comment", "CNI portfwd requiring masquerade",
			"-j", chainMasq}},
		place{chain: chainSetMark, rule: []string{"-m", "comment", "--comment", "CNI portfwd masquerade mark",
			"-j", "MARK", "--set-xmark", c.markBit()}},
		place{chain: chainMasq, rule: []string{"-m", "mark", "--mark", c.markBit(), "-j", "MASQUERADE"}})
}

// chains are the shared chains that the rules stand in or jump to, in the order in which they must be made.
func (t rules) chains() []string {
	if len(t.shared) > 2 {
		return []string{chainHostPorts, chainSetMark, chainMasq}
	}
	return []string{chainHostPorts}
}

// entries are the rules into the container's chain: per protocol, in the order of their names, as upstream has them.
func (c call) entries(a stages.Attachment, f nft.Family) [][]string {
	byProtocol := map[string][]string{}
	for _, m := range c.ports {
		byProtocol[m.protocol()] = append(byProtocol[m.protocol()], strconv.Itoa(int(m.host.Port())))
	}
	conditions := c.ConditionsV4
	if f == nft.IPv6 {
		conditions = c.ConditionsV6
	}
	var all [][]string
	for _, protocol := range []string{"sctp", "tcp", "udp"} {
		for some := range slices.Chunk(byProtocol[protocol], portsPerRule) {
			rule := []string{"-m", "comment", "--comment", entryComment(a.Network, a.Container),
				"-m", "multiport", "-p", protocol, "--destination-ports", strings.Join(some, ",")}
			all = append(all, append(rule, conditions...))
		}
	}
	return all
}

// body is the container's chain: per mapping the marks, then the translation; and, behind everything, a rule that does
// nothing and says who the owner is. Upstream knows no owner beyond network and container.
func (c call) body(a stages.Attachment, pod netip.Prefix) [][]string {
	var all [][]string
	f := nft.FamilyOf(pod.Addr())
	mark := chainSetMark
	if c.ExternalSetMarkChain != nil {
		mark = *c.ExternalSetMarkChain
	}
	for _, m := range c.ports {
		if !m.forFamily(f) {
			continue
		}
		base := []string{"-p", m.protocol(), "--dport", strconv.Itoa(int(m.host.Port()))}
		if m.host.Addr().IsValid() {
			base = append(base, "-d", m.host.Addr().String())
		}
		rule := func(more ...string) { all = append(all, append(slices.Clone(base), more...)) }
		if c.SNAT {
			from := pod.String()
			if c.MasqAll {
				from = map[nft.Family]string{nft.IPv4: "0.0.0.0/0", nft.IPv6: "::/0"}[f]
			}
			rule("-s", from, "-j", mark)
			if f == nft.IPv4 && !c.MasqAll { // IPv6 has no route_localnet: [::1] never reaches a pod
				rule("-s", "127.0.0.1", "-j", mark)
			}
		}
		rule("-j", "DNAT", "--to-destination", netip.AddrPortFrom(pod.Addr(), m.container).String())
	}
	return append(all, []string{"-m", "comment", "--comment", owner(a)})
}

// script is a list of commands for iptables-restore, which does all of them or none.
type script struct{ strings.Builder }

func newScript() *script {
	s := &script{}
	s.WriteString("*nat\n")
	return s
}

func (s *script) line(words ...string) {
	for i, w := range words {
		if i > 0 {
			s.WriteByte(' ')
		}
		s.WriteString(quoted(w))
	}
	s.WriteByte('\n')
}

// do is line for a rule: "-C", "CHAIN" and what the rule says.
func (s *script) do(command, chain string, rule []string, more ...string) {
	s.line(append(append([]string{command, chain}, rule...), more...)...)
}

// fill makes the container's chain, or empties one that is there, and gives it its rules.
func (s *script) fill(t rules) {
	s.WriteString(":" + t.chain + " - [0:0]\n")
	for _, rule := range t.body {
		s.do("-A", t.chain, rule)
	}
}

// enter adds the rules into the container's chain: before all others, so that the last container wins, or behind them.
func (s *script) enter(t rules, first bool) {
	for i, rule := range t.entries {
		if first {
			s.line(append(append([]string{"-I", chainHostPorts, strconv.Itoa(i + 1)}, rule...), "-j", t.chain)...)
		} else {
			s.do("-A", chainHostPorts, rule, "-j", t.chain)
		}
	}
}

func (s *script) end() string { return s.String() + "COMMIT\n" }

// quoted is a word as iptables-restore reads it.
func quoted(word string) string {
	special := func(c rune) bool { return c <= ' ' || strings.ContainsRune("\"'\\#", c) }
	if word != "" && strings.IndexFunc(word, special) < 0 {
		return word
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(word) + `"`
}

// words takes a line of iptables -S apart.
func words(line string) []string {
	var all []string
	var word strings.Builder
	inside, begun := false, false
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '\\' && inside && i+1 < len(line):
			i++
			word.WriteByte(line[i])
		case c == '"':
			inside, begun = !inside, true
		case c == ' ' && !inside:
			if begun {
				all = append(all, word.String())
			}
			word.Reset()
			begun = false
		default:
			word.WriteByte(c)
			begun = true
		}
	}
	if begun {
		all = append(all, word.String())
	}
	return all
}

// listed is a rule of iptables -S, as far as anybody here looks.
type listed struct {
	line    string // as it was listed
	jump    string
	comment string
	from    netip.Prefix
	ports   []uint16 // of multiport
	to      lead     // pod is valid in a DNAT rule
}

// like says whether two rules of a container's chain say the same. Asking iptables itself (-C) would not do: ip6tables of
// the older variant, in 1.8.9, finds a rule whatever its ports and its target are.
func (l listed) like(m listed) bool {
	return l.jump == m.jump && l.comment == m.comment && l.from == m.from && l.to == m.to
}

// lead is a port of the node and where it leads to. The host's address is invalid when every local one is meant.
type lead struct {
	proto     uint8
	host, pod netip.AddrPort
}

func parseRule(line string) listed {
	l := parseWords(words(line))
	l.line = line
	return l
}

func parseWords(all []string) listed {
	var l listed
	var at netip.Addr
	var port uint64
	for i := 0; i+1 < len(all); i++ {
		value := all[i+1]
		switch all[i] {
		case "-j":
			l.jump = value
		case "--comment":
			l.comment = value
		case "-p":
			l.to.proto = protocols[value]
		case "--dport":
			port, _ = strconv.ParseUint(value, 10, 16)
		case "--dports", "--destination-ports":
			for _, p := range strings.Split(value, ",") {
				if n, err := strconv.ParseUint(p, 10, 16); err == nil {
					l.ports = append(l.ports, uint16(n))
				}
			}
		case "-d":
			at = network(value).Addr()
		case "-s":
			l.from = network(value)
		case "--to-destination":
			l.to.pod, _ = netip.ParseAddrPort(value)
		default:
			continue
		}
		i++
	}
	l.to.host = netip.AddrPortFrom(at, uint16(port))
	return l
}

// network is an address or a network as iptables prints it and takes it; that of all addresses is left out.
func network(text string) netip.Prefix {
	p, err := netip.ParsePrefix(text)
	if err != nil {
		a, _ := netip.ParseAddr(text)
		p = netip.PrefixFrom(a, a.BitLen())
	}
	if p.Bits() <= 0 {
		return netip.Prefix{}
	}
	return p.Masked()
}

func parseRules(lines []string) []listed {
	var all []listed
	for _, line := range lines {
		if strings.HasPrefix(line, "-A ") {
			all = append(all, parseRule(line))
		}
	}
	return all
}

// ownerIn is whom a container's chain names as its owner; "" in one that upstream made.
func ownerIn(chain []listed) string {
	for _, l := range chain {
		if l.jump == "" && l.comment != "" {
			return l.comment
		}
	}
	return ""
}

// leads are the ports that a container's chain leads on.
func leads(chain []listed) []lead {
	var all []lead
	for _, l := range chain {
		if l.to.pod.IsValid() {
			all = append(all, l.to)
		}
	}
	return all
}

func protocolName(number uint8) string {
	switch number {
	case unix.IPPROTO_TCP:
		return "tcp"
	case unix.IPPROTO_UDP:
		return "udp"
	}
	return "sctp"
}

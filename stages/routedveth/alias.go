package routedveth

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/enichain/enichain/stages"
	"github.com/enichain/enichain/stages/internal/nft"
	"github.com/enichain/enichain/stages/internal/numbers"
)

// podAlias is a host end's note: whose it is, as comments of nftables have it, and which addresses are behind it. It is
// how the agent knows an owner after the pool file was lost, and how a route finds its way back after somebody set the
// link down and up. Two addresses of each family fit beside the longest owner (255 bytes, IFALIASZ).
func podAlias(a stages.Attachment, addrs []netip.Addr) string {
	text := nft.Owner(a.Network, a.Container, a.IfName)
	for _, a := range addrs {
		text += " " + a.String()
	}
	return text
}

// readPodAlias is the inverse. A note that somebody else wrote gives no owner and no addresses.
func readPodAlias(text string) (owner string, addrs []netip.Addr) {
	words := strings.Fields(text)
	if len(words) == 0 || strings.Count(words[0], "/") != 2 && !strings.Contains(words[0], "/~") {
		return "", nil
	}
	for _, w := range words[1:] {
		a, err := netip.ParseAddr(w)
		if err != nil {
			return "", nil
		}
		addrs = append(addrs, a)
	}
	return words[0], addrs
}

// eniAlias is the note on a network interface's link: what a stage needs to rebuild its rules and table while the
// agent is down.
func eniAlias(e ENI) string {
	text := name(e.N)
	for _, a := range []netip.Addr{e.Primary, e.Primary6} {
		if a.IsValid() {
			text += " " + a.String()
		}
	}
	for _, a := range []netip.Addr{e.Gateway, e.Gateway6} {
		if a.IsValid() {
			text += " via " + a.String()
		}
	}
	return text
}

// readENIAlias is the inverse; ok is false for a note that is not ours.
func readENIAlias(n int, text string) (e ENI, ok bool) {
	words := strings.Fields(text)
	if len(words) == 0 || words[0] != name(n) {
		return ENI{}, false
	}
	e.N = n
	via := false
	for _, w := range words[1:] {
		if w == "via" {
			via = true
			continue
		}
		a, err := netip.ParseAddr(w)
		if err != nil {
			return ENI{}, false
		}
		switch {
		case via && a.Is4():
			e.Gateway = a
		case via:
			e.Gateway6 = a
		case a.Is4():
			e.Primary = a
		default:
			e.Primary6 = a
		}
		via = false
	}
	return e, true
}

// notedENI is the number in a network interface's note.
func notedENI(text string) (n int, ok bool) {
	word, _, _ := strings.Cut(strings.TrimPrefix(text, "eni-"), " ")
	n, err := strconv.Atoi(word)
	if err != nil || !numbers.ValidN(n) {
		return 0, false
	}
	_, ok = readENIAlias(n, text)
	return n, ok
}

package routedveth

import (
	"crypto/sha1"
	"encoding/hex"
	"net/netip"
	"strings"
)

// mostOwner is how much of a link's alias (255 bytes, IFALIASZ) an owner may take: two addresses of each family and
// their blanks need up to 112.
const mostOwner = 140

// podAlias is a host end's note: whose it is and which addresses are behind it. It is how the agent knows an owner
// after the pool file was lost, and how a route finds its way back after somebody set the link down and up.
func podAlias(owner string, addrs []netip.Addr) string {
	if len(owner) > mostOwner {
		sum := sha1.Sum([]byte(owner))
		owner = "sha1:" + hex.EncodeToString(sum[:])
	}
	text := owner
	for _, a := range addrs {
		text += " " + a.String()
	}
	return text
}

// readPodAlias is the inverse. A note that somebody else wrote gives no owner and no addresses.
func readPodAlias(text string) (owner string, addrs []netip.Addr) {
	words := strings.Fields(text)
	if len(words) == 0 || strings.Count(words[0], "/") != 2 && !strings.HasPrefix(words[0], "sha1:") {
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

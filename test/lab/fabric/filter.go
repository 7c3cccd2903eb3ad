package fabric

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// Kind is what a VPC dropped a packet for.
type Kind string

// The kinds of drops; each is the prefix of a log rule below.
const (
	WrongSource Kind = "source" // source address or MAC is not the network interface's
	NoAddress   Kind = "nobody" // no network interface has the destination
	NoPublic    Kind = "public" // the source has no public address, so the internet gateway does not know it
	NoPrivate   Kind = "unseen" // from the internet to a public address that nobody has
)

// group is the nflog group that the drops are logged to; the router's namespace has no other reader.
const group = 1

// outside is the prefix of the names of links that lead out of the VPC.
const outside = "out-"

// Internet is the name of the host outside that is reached through the internet gateway.
const Internet = "internet"

// ruleset is the router's filter. The internet gateway translates without state, one address for one, as EC2's does:
// a connection-tracking one would go on forwarding for an address whose interface is gone.
func ruleset(networks []netip.Prefix) string {
	var own4, own6 []string
	for _, n := range networks {
		if n.Addr().Is4() {
			own4 = append(own4, n.Masked().String())
		} else {
			own6 = append(own6, n.Masked().String())
		}
	}
	drop := func(k Kind) string { return fmt.Sprintf("log prefix %q group %d counter drop", k, group) }
	gateway := outside + Internet
	return `table inet vpc {
	set eni4 { typeof iifname . ether saddr . ip saddr; flags interval; }
	set eni6 { typeof iifname . ether saddr . ip6 saddr; flags interval; }
	set own4 { type ipv4_addr; flags interval; ` + elements(own4) + ` }
	set own6 { type ipv6_addr; flags interval; ` + elements(own6) + ` }
	set published { type ipv4_addr; }
	map public { type ipv4_addr : ipv4_addr; }
	map private { type ipv4_addr : ipv4_addr; }
	chain arriving {
		type filter hook prerouting priority raw; policy accept;
		iifname "eni*" jump checked
		iifname "` + gateway + `" ip daddr set ip daddr map @private
		iifname "` + gateway + `" ip daddr != @own4 ` + drop(NoPrivate) + `
	}
	chain checked {
		meta nfproto ipv4 iifname . ether saddr . ip saddr @eni4 return
		meta nfproto ipv6 iifname . ether saddr . ip6 saddr @eni6 return
		ip saddr 0.0.0.0 drop
		ip6 saddr { ::, fe80::/10 } return
		` + drop(WrongSource) + `
	}
	chain forwarding {
		type filter hook forward priority filter; policy accept;
		oifname "lo" ` + drop(NoAddress) + `
		oifname "` + gateway + `" ip saddr != @published ` + drop(NoPublic) + `
	}
	chain leaving {
		type filter hook postrouting priority raw; policy accept;
		oifname "` + gateway + `" ip saddr set ip saddr map @public
	}
}
`
}

func elements(of []string) string {
	if len(of) == 0 {
		return ""
	}
	return "elements = { " + strings.Join(of, ", ") + " };"
}

// sourceElement adds or deletes what a port may send.
func sourceElement(verb string, p *port, x netip.Prefix) string {
	set := "eni4"
	if x.Addr().Is6() {
		set = "eni6"
	}
	source := x.String()
	if x.IsSingleIP() {
		source = x.Addr().String()
	}
	return fmt.Sprintf("%s element inet vpc %s { %q . %s . %s }\n", verb, set, p.name(), p.MAC, source)
}

// publicElements adds or deletes what the internet gateway knows.
func publicElements(verb string, public map[netip.Addr]netip.Addr) string {
	var private []netip.Addr
	for a := range public {
		private = append(private, a)
	}
	slices.SortFunc(private, netip.Addr.Compare)
	var script strings.Builder
	for _, a := range private {
		fmt.Fprintf(&script, "%s element inet vpc published { %s }\n", verb, a)
		fmt.Fprintf(&script, "%s element inet vpc public { %s : %s }\n", verb, a, public[a])
		fmt.Fprintf(&script, "%s element inet vpc private { %s : %s }\n", verb, public[a], a)
	}
	return script.String()
}

// nft runs a script in the router as one transaction. An empty script does nothing.
func (f *Fabric) nft(ctx context.Context, script string) error {
	if script == "" {
		return nil
	}
	return f.router.Do(func() error {
		cmd := exec.CommandContext(ctx, tool("nft"), "-f", "-")
		cmd.Stdin = strings.NewReader(script)
		if words, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("fabric: cannot change the router's filter: %w: %s", err, strings.TrimSpace(string(words)))
		}
		return nil
	})
}

// tool finds a program where Debian puts it, even if PATH lacks that folder.
func tool(name string) string {
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	for _, dir := range []string{"/usr/sbin/", "/sbin/"} {
		if _, err := os.Stat(dir + name); err == nil {
			return dir + name
		}
	}
	return name
}

package snat

import (
	"encoding/json"
	"errors"
	"net/netip"
	"strconv"

	"github.com/enichain/enichain/chain/contract"
	"github.com/enichain/enichain/stages"
	"github.com/enichain/enichain/stages/internal/nft"
)

// config is the stage's part of the network configuration.
type config struct {
	// Inside are the networks that see a pod's own address: "vpc", or a list of prefixes.
	Inside inside `json:"inside"`
	// Exclude are further ones, beside Inside.
	Exclude []netip.Prefix `json:"exclude"`
	// Random is how a translated connection gets its port: "fully", "random" or "none" (keep it where possible).
	Random string `json:"random"`
	// To is the source that packets leave with: "primary", the node's address on its primary network interface.
	To string `json:"to"`
	// Families are the IP versions that are translated, "ipv4" and "ipv6". IPv6 has addresses enough: not by default.
	Families []string `json:"families"`
}

func defaults() config {
	return config{Inside: inside{VPC: true}, Random: "fully", To: "primary", Families: []string{"ipv4"}}
}

// keys is the configuration in words, for the contract.
func keys() map[string]string {
	return map[string]string{
		"inside":   `"vpc" or list of prefix (default "vpc": the routes of the address, but the default route)`,
		"exclude":  `list of prefix (default none)`,
		"random":   `"fully", "random" or "none" (default "fully")`,
		"to":       `"primary" (default "primary")`,
		"families": `list of "ipv4" or "ipv6" (default ["ipv4"])`,
	}
}

// inside is "vpc" or a list.
type inside struct {
	VPC  bool
	List []netip.Prefix
}

var _ json.Unmarshaler = (*inside)(nil)

// UnmarshalJSON reads either form. Faults of an item come from Validate, which knows its place in the list.
func (i *inside) UnmarshalJSON(raw []byte) error {
	var word string
	if json.Unmarshal(raw, &word) == nil {
		if word != "vpc" {
			return errInside
		}
		*i = inside{VPC: true}
		return nil
	}
	var texts []string
	if json.Unmarshal(raw, &texts) != nil {
		return errInside
	}
	list := inside{}
	for n, text := range texts {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return errors.New("item " + strconv.Itoa(n) + ": want a prefix such as 10.0.0.0/16")
		}
		list.List = append(list.List, p)
	}
	*i = list
	return nil
}

var errInside = errors.New(`want "vpc" or a list of prefixes such as 10.0.0.0/16`)

var _ stages.Validator = (*config)(nil)

// Validate reports what decoding cannot see.
func (c *config) Validate(report func(path, fault string)) {
	for n, p := range c.Inside.List {
		if fault := prefixFault(p); fault != "" {
			report("inside["+strconv.Itoa(n)+"]", fault)
		}
	}
	for n, p := range c.Exclude {
		if fault := prefixFault(p); fault != "" {
			report("exclude["+strconv.Itoa(n)+"]", fault)
		}
	}
	if _, ok := ways[c.Random]; !ok {
		report("random", `want "fully", "random" or "none", got `+strconv.Quote(c.Random))
	}
	if c.To != "primary" {
		report("to", `want "primary", got `+strconv.Quote(c.To))
	}
	if len(c.Families) == 0 {
		report("families", `want at least one of "ipv4" and "ipv6"; without any, take the stage out of the list`)
	}
	for n, f := range c.Families {
		if f != "ipv4" && f != "ipv6" {
			report("families["+strconv.Itoa(n)+"]", `want "ipv4" or "ipv6", got `+strconv.Quote(f))
		}
	}
}

func prefixFault(p netip.Prefix) string {
	switch {
	case !p.IsValid():
		return "want a prefix such as 10.0.0.0/16"
	case p.Addr().Is4In6():
		return "want " + p.Addr().Unmap().String() + " in IPv4's own form, got " + p.String()
	case p != p.Masked():
		return "want " + p.Masked().String() + ", got " + p.String() + ": bits are set behind the prefix"
	}
	return ""
}

// ways are the values of "random".
var ways = map[string]nft.NAT{"fully": nft.FullyRandom, "random": nft.Random, "none": nft.KeepPort}

// declaration is the stage's contract.
func declaration() contract.Contract {
	return contract.Contract{
		V:         contract.V,
		Previous:  contract.Needs,
		Requires:  []contract.Fact{contract.IPs, contract.Routed},
		Adds:      []contract.Fact{contract.Masquerade},
		Exclusive: []contract.Fact{contract.Masquerade},
		Kernel:    []string{"nft inet enichain-snat", "the veth's link group"},
		Keys:      keys(),
	}
}

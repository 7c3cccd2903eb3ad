package vpc

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// token remembers what a ClientToken made.
type token struct {
	request string // the parameters, as text
	output  CreateNetworkInterfaceOutput
	at      time.Time
}

func (r CreateNetworkInterface) call(w *World, c *call) (Output, *Error) {
	if len(r.ClientToken) > 64 {
		return nil, invalid("the client token has %d characters; at most 64 are allowed", len(r.ClientToken))
	}
	key := r.fingerprint()
	if t := w.tokens[r.ClientToken]; t != nil && r.ClientToken != "" && !w.forgotten(t) {
		if t.request != key {
			return nil, Refuse(CodeIdempotent, messageClientTokenReused)
		}
		_, lives := w.present(t.output.NetworkInterface.ID)
		if lives || w.config.DeletedToken == AnswersAsBefore {
			return t.output, nil
		}
	}
	if w.live >= w.config.Quotas.NetworkInterfaces {
		return nil, Refuse(CodeENILimit, "The maximum number of network interfaces, %d, has been reached.",
			w.config.Quotas.NetworkInterfaces)
	}
	tags, err := w.tagsFor("network-interface", r.TagSpecification)
	if err != nil {
		return nil, err
	}
	if err := r.checkPlain(); err != nil {
		return nil, err
	}
	n, err := w.newInterface(c, r, anyType())
	if err != nil {
		return nil, err
	}
	n.Tags = tags
	w.put(c.effect, n.ID, &n)
	out := CreateNetworkInterfaceOutput{NetworkInterface: n.clone(), Groups: w.groupNames(), ClientToken: r.ClientToken}
	if r.ClientToken != "" {
		w.tokens[r.ClientToken] = &token{request: key, output: out, at: c.now}
	}
	return out, nil
}

func (w *World) forgotten(t *token) bool {
	kept := w.config.TokenKept
	return kept > 0 && w.now.Sub(t.at) > kept
}

// fingerprint is the parameters but for the token.
func (r CreateNetworkInterface) fingerprint() string {
	r.ClientToken, r.Dry = "", Dry{}
	return fmt.Sprintf("%+v", r)
}

func (r CreateNetworkInterface) checkPlain() *Error {
	if !slices.Contains([]string{"", "interface", "efa", "efa-only", "trunk", "branch"}, r.InterfaceType) {
		return invalid("'%s' is not an interface type: efa, efa-only, trunk, branch", r.InterfaceType)
	}
	if len(r.Description) > 255 {
		return invalid("the description has %d characters; at most 255 are allowed", len(r.Description))
	}
	return nil
}

// wanted4 is what CreateNetworkInterface's IPv4 parameters come to.
type wanted4 struct {
	primary   netip.Addr // zero: any
	secondary []netip.Addr
	count     int // more, any
	prefixes  []netip.Prefix
	blocks    int // more, any
}

func (r CreateNetworkInterface) wanted4() (wanted4, *Error) {
	want := wanted4{primary: r.Primary, count: r.SecondaryCount, blocks: r.PrefixCount}
	kinds := 0
	for _, given := range []bool{len(r.Addresses) > 1, r.SecondaryCount > 0, len(r.Prefixes) > 0, r.PrefixCount > 0} {
		if given {
			kinds++
		}
	}
	if kinds > 1 {
		return want, Refuse(CodeCombination, messageAddressesExclusive)
	}
	if r.SecondaryCount < 0 || r.PrefixCount < 0 || r.IPv6Count < 0 || r.IPv6PrefixCount < 0 {
		return want, invalid("a count cannot be negative")
	}
	for _, a := range r.Addresses {
		switch {
		case !a.Address.IsValid():
			return want, missing("PrivateIpAddresses.N.PrivateIpAddress")
		case a.Primary && want.primary.IsValid():
			return want, Refuse(CodeCombination, "only one address can be the primary one")
		case a.Primary:
			want.primary = a.Address
		default:
			want.secondary = append(want.secondary, a.Address)
		}
	}
	if !want.primary.IsValid() && len(want.secondary) > 0 {
		return want, invalid("one of the private addresses must be the primary one")
	}
	for _, p := range r.Prefixes {
		want.prefixes = append(want.prefixes, p.Prefix)
	}
	return want, nil
}

// newInterface makes an interface that is not in the books yet but for its addresses; only success changes anything.
func (w *World) newInterface(c *call, r CreateNetworkInterface, t InstanceType) (NetworkInterface, *Error) {
	none := NetworkInterface{}
	if r.SubnetID == "" {
		return none, missing("SubnetId")
	}
	s := w.subnets[r.SubnetID]
	if s == nil {
		return none, subnetNotFound(r.SubnetID)
	}
	s.settle(c.now)
	groups, err := w.groupsFor(s.VPC, r.Groups)
	if err != nil {
		return none, err
	}
	want, err := r.wanted4()
	if err != nil {
		return none, err
	}
	n := NetworkInterface{VPC: s.VPC, Subnet: s.ID, Zone: s.Zone, Description: r.Description,
		Type: r.InterfaceType, Groups: groups, SourceDestCheck: true, Created: c.effect}
	if n.Type == "" {
		n.Type = "interface"
	}
	ask := growth{addrs: want.secondary, count: want.count, prefixes: want.prefixes, blocks: want.blocks}
	if want.primary.IsValid() {
		ask.addrs = append([]netip.Addr{want.primary}, ask.addrs...)
	} else {
		ask.count++
	}
	if err := w.mayGrow(s, ask, 0, t); err != nil {
		if err.Code == CodeAlreadyAssigned { // what a new interface is told of it
			err = Refuse(CodeAddressInUse, "%s", err.Message)
		}
		return none, err
	}
	if (len(r.IPv6) > 0 || r.IPv6Count > 0) && (len(r.IPv6Prefixes) > 0 || r.IPv6PrefixCount > 0) ||
		len(r.IPv6) > 0 && r.IPv6Count > 0 || len(r.IPv6Prefixes) > 0 && r.IPv6PrefixCount > 0 {
		return none, Refuse(CodeCombination, messageAddressesExclusive)
	}
	ask6 := growth6{addrs: addresses6(r.IPv6), count: r.IPv6Count,
		prefixes: prefixes6(r.IPv6Prefixes), blocks: r.IPv6PrefixCount}
	if err := w.mayGrow6(s, ask6, 0, t); err != nil {
		return none, err
	}
	if err := dryRun(r.Dry); err != nil {
		return none, err
	}
	n.ID, n.MAC = w.id("eni"), w.mac()
	addrs, prefixes := w.grow(s, ask, n.ID)
	n.Primary, n.Secondary, n.Prefixes = addrs[0], addrs[1:], prefixes
	n.IPv6, n.IPv6Prefixes = w.grow6(s, ask6, n.ID)
	return n, nil
}

func addresses6(given []IPv6Address) []netip.Addr {
	var all []netip.Addr
	for _, a := range given {
		all = append(all, a.Address)
	}
	return all
}

func prefixes6(given []Prefix6) []netip.Prefix {
	var all []netip.Prefix
	for _, p := range given {
		all = append(all, p.Prefix)
	}
	return all
}

// groupsFor checks security groups; none given is the VPC's default group.
func (w *World) groupsFor(vpc string, ids []string) ([]string, *Error) {
	if len(ids) == 0 {
		ids = []string{w.defaults[vpc]}
	}
	for i, id := range ids {
		if !strings.HasPrefix(id, "sg-") {
			return nil, Refuse(CodeGroupMalformed, "Invalid id: \"%s\" (expecting \"sg-...\")", id)
		}
		switch g := w.groups[id]; {
		case g == nil:
			return nil, groupNotFound(id)
		case g.VPC != vpc:
			return nil, Refuse(CodeGroupNotFound, messageDifferentNetworks)
		case slices.Contains(ids[:i], id):
			return nil, invalid("The security group '%s' is given twice", id)
		}
	}
	if most := w.config.Quotas.GroupsPerENI; len(ids) > most {
		return nil, Refuse(CodeGroupLimit, "%d security groups are given; an interface can have %d", len(ids), most)
	}
	return slices.Clone(ids), nil
}

// named finds the living interface that a call names.
func (w *World) named(id string) (NetworkInterface, *Error) {
	if id == "" {
		return NetworkInterface{}, missing("NetworkInterfaceId")
	}
	if err := checkID(id, "eni", CodeENIMalformed); err != nil {
		return NetworkInterface{}, err
	}
	n, ok := w.present(id)
	if !ok || w.tooYoung(n) {
		return NetworkInterface{}, eniNotFound(id)
	}
	return n, nil
}

// tooYoung is true of an interface that calls do not find yet.
func (w *World) tooYoung(n NetworkInterface) bool {
	wait := w.notFound()
	return wait > 0 && w.now.Before(n.Created.Add(wait))
}

// checkID tells a malformed id from one that is not there.
func checkID(id, kind, code string) *Error {
	hex, ok := strings.CutPrefix(id, kind+"-")
	if !ok || hex == "" || strings.Trim(hex, "0123456789abcdef") != "" {
		return Refuse(code, "Invalid id: \"%s\" (expecting \"%s-...\")", id, kind)
	}
	return nil
}

func (r DeleteNetworkInterface) call(w *World, c *call) (Output, *Error) {
	n, err := w.named(r.ID)
	if err != nil {
		return nil, err
	}
	if n.Attachment != nil {
		return nil, w.inUse(n.ID)
	}
	if err := dryRun(r.Dry); err != nil {
		return nil, err
	}
	c.effect = w.notBefore(n.ID, c.effect)
	w.bury(c.effect, n)
	return Done{}, nil
}

func (w *World) inUse(id string) *Error {
	code := CodeInUse
	if w.config.InUseAsInvalidParameter {
		code = CodeInvalidParameter
	}
	return Refuse(code, "Network interface '%s' is currently in use.", id)
}

// bury deletes an interface from an instant on.
func (w *World) bury(at time.Time, n NetworkInterface) {
	s := w.subnets[n.Subnet]
	at = w.notBefore(n.ID, at)
	s.release(at.Add(w.config.AddressRest), append(n.Addresses(), n.IPv6...), append(slices.Clone(n.Prefixes), n.IPv6Prefixes...))
	w.put(at, n.ID, nil)
}

package ipam

// Limits are what an instance type allows on its default network card (EC2: DescribeInstanceTypes, networkInfo).
type Limits struct {
	ENIs     int  `json:"enis"`     // network interfaces, the primary one included; 0 = unknown
	IPv4     int  `json:"ipv4"`     // IPv4 addresses of one network interface, its primary one included
	IPv6     int  `json:"ipv6"`     // IPv6 addresses of one network interface
	Prefixes bool `json:"prefixes"` // /28 and /80 may be delegated: Nitro and bare metal
}

// PerENI is how many addresses one network interface can hold for pods: all but its primary one.
func (l Limits) PerENI() int { return max(l.IPv4-1, 0) }

// Addresses is how many addresses the type can hold for pods on count network interfaces.
func (l Limits) Addresses(count int) int { return max(count, 0) * l.PerENI() }

// Target is what a pool's policy asks of each of its nodes. Zero is "not asked" for every number.
type Target struct {
	Warm         int  `json:"warm"`         // free addresses to keep
	WarmENIs     int  `json:"warmEnis"`     // free addresses to keep, in whole network interfaces' worth
	WarmPrefixes int  `json:"warmPrefixes"` // free /28 to keep; not planned yet
	Minimum      int  `json:"minimum"`      // addresses on the node, leased or not
	Maximum      int  `json:"maximum"`      // most addresses on the node; 0 = as many as pods may run there
	MaxENIs      int  `json:"maxEnis"`      // most network interfaces, the primary one included; 0 = the type's limit
	UsePrimary   bool `json:"usePrimary"`   // pods may use the primary network interface's addresses
	AtOnce       int  `json:"atOnce"`       // most addresses wished back in one window; protocol B4: at most 16
}

// MaxENIsOf is how many network interfaces a node of these limits may have in any state.
func (t Target) MaxENIsOf(l Limits) int {
	if t.MaxENIs > 0 {
		return min(t.MaxENIs, l.ENIs)
	}
	return l.ENIs
}

// Free is the warm target in addresses.
func (t Target) Free(l Limits) int { return max(t.Warm, t.WarmENIs*l.PerENI()) }

// High is the number of free addresses above which some are given back: the target and one network interface's worth,
// so that an interface that a burst needed is not given back and fetched again by turns.
func (t Target) High(l Limits) int { return t.Free(l) + l.PerENI() }

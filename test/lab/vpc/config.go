package vpc

import (
	"path"
	"time"
)

// Config is how a World behaves. Its zero value answers at once, throttles nothing, shows everything at once and has
// the default quotas of an account.
type Config struct {
	Region  string // default "lab-1"
	Account string // twelve digits; default "000000000000"

	Buckets Buckets   // nil: nothing is throttled
	Latency Latencies // nil: every call is answered, and takes effect, at once

	Visibility time.Duration // describes show the world as it was so long ago; 0..Horizon
	NotFound   time.Duration // calls refuse an id that is younger than this with NotFound; 0..Horizon
	IMDSLag    time.Duration // instance metadata shows interfaces as they were so long ago; 0..Horizon

	Quotas Quotas
	// TerminatedKept is how long a terminated instance is shown; after that its id is not found. Default 1h (EC2 user
	// guide, "Terminate your instance").
	TerminatedKept time.Duration

	// What follows EC2's documentation leaves open, or the field has seen both ways: a client must live with either. Zero
	// is the lab's assumption.

	// DeletedToken is what a ClientToken answers whose interface was deleted since.
	DeletedToken DeletedToken
	// TokenKept is how long a ClientToken is remembered; zero for ever. A forgotten one makes another interface.
	TokenKept time.Duration
	// InUseAsInvalidParameter answers InvalidParameterValue where the documentation has InvalidNetworkInterface.InUse.
	InUseAsInvalidParameter bool
	// ThrottledCosts empties a bucket by the calls that it refuses: who asks faster than it fills gets nothing.
	ThrottledCosts bool
	// ThrottledStatus is the HTTP status of RequestLimitExceeded: 503 (the default, from field logs) or 400.
	ThrottledStatus int
	// IDsUnbounded counts a list of ids among the lists with neither filter nor page, whose bucket is smaller.
	IDsUnbounded bool
	// UnpagedMost is how many interfaces or instances a list without pages may have; a longer one fails with
	// Unavailable, as lists of large fleets do. Zero: any number.
	UnpagedMost int
	// PrefixUnits is the network address usage of a prefix; default 1 (VPC guide, "Network Address Usage").
	PrefixUnits int
	// AddressRest is how long an address that was given up stays unused; zero: not at all.
	AddressRest time.Duration
	// ForcedDetachBlocks leaves the device index of a forced detachment unusable until the instance was stopped and
	// started, as the documentation warns it may.
	ForcedDetachBlocks bool
	// OverLimitStarts starts a stopped instance that has more interfaces than its new type allows; otherwise that is
	// AttachmentLimitExceeded.
	OverLimitStarts bool
}

// Quotas are an account's limits in a Region; zero is the default.
type Quotas struct {
	NetworkInterfaces int // per Region; default 5000 (quota L-DF5E4CA3)
	AddressUsage      int // network address units per VPC; default 64000 (VPC guide, "Network Address Usage")
	GroupsPerENI      int // default 5 (VPC quotas)
	TagsPerResource   int // default 50
}

// DeletedToken is a behaviour of ClientToken.
type DeletedToken int

// The two behaviours that a client must live with.
const (
	AnswersAsBefore DeletedToken = iota // the id of the interface that is gone
	MakesAnother                        // a new interface: the token was forgotten with the old one
)

// Horizon is how far back a World remembers, and so the longest lag that one can ask for.
const Horizon = 10 * time.Minute

func (c Config) withDefaults() Config {
	text := func(p *string, d string) {
		if *p == "" {
			*p = d
		}
	}
	number := func(p *int, d int) {
		if *p == 0 {
			*p = d
		}
	}
	text(&c.Region, "lab-1")
	text(&c.Account, "000000000000")
	number(&c.Quotas.NetworkInterfaces, 5000)
	number(&c.Quotas.AddressUsage, 64000)
	number(&c.Quotas.GroupsPerENI, 5)
	number(&c.Quotas.TagsPerResource, 50)
	number(&c.ThrottledStatus, 503)
	number(&c.PrefixUnits, 1)
	if c.TerminatedKept == 0 {
		c.TerminatedKept = time.Hour
	}
	return c
}

// Latency is how long an action takes, from its arrival.
type Latency struct {
	Answer time.Duration // until the caller has the answer
	Effect time.Duration // until it is so: the link is there, the router knows the address
	Jitter float64       // 0..1: both times are stretched by up to this part of them, at random
}

// Latencies is the latency by action; a name may be a pattern (path.Match), the longest matching one counts.
type Latencies map[string]Latency

// Typical is the lab's assumption: no percentiles of EC2's latencies are published. Create near 0.4 s, describes near
// 0.1 s and attachments of 1 to 10 s are from users' logs and AWS's best practices (sources in docs/lab.md). A scale of
// 0 makes everything instant, 0.1 ten times as fast.
func Typical(scale float64) Latencies {
	if scale <= 0 {
		return nil
	}
	ms := func(answer, effect int, jitter float64) Latency {
		d := func(n int) time.Duration { return time.Duration(float64(n) * scale * float64(time.Millisecond)) }
		return Latency{d(answer), d(effect), jitter}
	}
	return Latencies{
		"*":                      ms(100, 0, 0.5),
		"Describe*":              ms(80, 0, 0.5),
		"CreateNetworkInterface": ms(400, 300, 0.5),
		"DeleteNetworkInterface": ms(300, 200, 0.5),
		"AttachNetworkInterface": ms(700, 1100, 1),
		"DetachNetworkInterface": ms(300, 1500, 1),
		"Assign*":                ms(500, 400, 0.5),
		"Unassign*":              ms(400, 300, 0.5),
		"Modify*":                ms(200, 150, 0.5),
		"TerminateInstances":     ms(300, 1000, 0.5),
		"StopInstances":          ms(300, 5000, 0.5),
		"StartInstances":         ms(300, 5000, 0.5),
		"RebootInstances":        ms(300, 2000, 0.5),
	}
}

// Of is the latency of an action.
func (l Latencies) Of(action string) Latency {
	if exact, ok := l[action]; ok {
		return exact
	}
	best, found := "", Latency{}
	for pattern, latency := range l {
		longer := len(pattern) > len(best) || len(pattern) == len(best) && pattern < best
		if longer && matches(pattern, action) {
			best, found = pattern, latency
		}
	}
	return found
}

// matches compares an action with a pattern as path.Match does; a bad pattern matches nothing.
func matches(pattern, action string) bool {
	ok, err := path.Match(pattern, action)
	return ok && err == nil
}

package conformance

import "slices"

// Kind is what a plugin is for. Each has assertions of its own beside the common ones.
type Kind string

// The kinds of plugins.
const (
	IPAM      Kind = "ipam"      // hands out addresses, called by another plugin or first in a chain
	Interface Kind = "interface" // makes CNI_IFNAME in the container
	Chained   Kind = "chained"   // changes what earlier plugins made
)

// Kinds are all of them.
func Kinds() []Kind { return []Kind{IPAM, Interface, Chained} }

// Strength is how much the specification asks for something.
type Strength string

// The strengths.
const (
	Must       Strength = "MUST"
	Should     Strength = "SHOULD"
	Convention Strength = "convention" // what libcni, its skeleton or runtimes rely on, and the specification does not say
)

// Assertion is one thing that a plugin has to do, in the words of the specification.
type Assertion struct {
	ID       string   `json:"id"`
	Kinds    []Kind   `json:"kinds"`
	Strength Strength `json:"strength"`
	Section  string   `json:"section"`  // of SPEC.md 1.1.0, or of another page that is named
	Sentence string   `json:"sentence"` // the specification's, in brief

	try func(*trial)
}

// Suite are all assertions, in the order in which they are printed.
func Suite() []Assertion {
	return slices.Concat(processSuite(), inputSuite(), resultSuite(), lifeSuite(), checkSuite(), statusSuite(), gcSuite(),
		ipamSuite(), interfaceSuite(), delegateSuite(), chainedSuite(), accidentSuite())
}

var (
	every      = Kinds()
	ipamOnly   = []Kind{IPAM}
	wires      = []Kind{Interface}
	chainOnly  = []Kind{Chained}
	kernelOnly = []Kind{Interface, Chained} // those whose work is in the kernel
)

// verdict is how a trial ended.
type verdict struct {
	outcome        Outcome
	expected, seen string
	why            string
}

// Error makes a verdict something that ends a trial from within (see trial.end).
func (v verdict) Error() string { return string(v.outcome) + ": " + v.seen + v.why }

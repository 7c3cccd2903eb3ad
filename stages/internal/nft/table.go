package nft

import "golang.org/x/sys/unix"

// Hook attaches a base chain to a point of a packet's way.
type Hook struct {
	Type     string // "filter" or "nat"
	Point    Point
	Priority int32
}

// Point is where on its way a packet meets a base chain.
type Point uint32

// The points of the family inet (kernel, NF_INET_…).
const (
	Prerouting  Point = unix.NF_INET_PRE_ROUTING
	Input       Point = unix.NF_INET_LOCAL_IN
	Forward     Point = unix.NF_INET_FORWARD
	Output      Point = unix.NF_INET_LOCAL_OUT
	Postrouting Point = unix.NF_INET_POST_ROUTING
)

// Priorities as nft names them.
const (
	PriorityDstNAT int32 = -100
	PrioritySrcNAT int32 = 100
)

// Chain is a chain and the rules it shall have.
type Chain struct {
	Name    string
	Hook    Hook   // zero: a chain to be jumped to
	Comment string // at most 128 bytes; fixed when the chain is made
	Rules   []Rule
}

// Rule is a rule. Handle is the kernel's name for it, set where a rule was read.
type Rule struct {
	Expr    Expr
	Comment string
	Handle  uint64
}

// Table is what one of our tables shall be: the whole of its chains and rules, and its sets without their elements.
type Table struct {
	Name    string
	Comment string
	Sets    []Set
	Chains  []Chain
}

// Install puts the table into the batch: what is missing is made, and the rules of its chains are replaced. Elements,
// and chains and sets not named in t, stay. Within one transaction no packet meets a half-made table.
func (b *Batch) Install(t Table) {
	b.AddTable(t.Comment)
	for _, s := range t.Sets {
		b.AddSet(s)
	}
	for _, c := range t.Chains {
		b.AddChain(c)
		b.FlushChain(c.Name)
	}
	for _, c := range t.Chains {
		for _, r := range c.Rules {
			b.AddRule(c.Name, r)
		}
	}
}

package packets

import (
	"fmt"
	"net/netip"

	"github.com/enichain/enichain/test/node"
)

// direction is a way through the node that packets of an established flow take.
type direction struct {
	name, what string
	from, to   func(*world) node.Place
	six        bool
	answers    bool // packets of the one who was asked
}

// directions are the ways that are measured.
func directions() []direction {
	pod := func(w *world) node.Place { return w.pod }
	host := func(w *world) node.Place { return w.node.Host }
	outside := func(w *world) node.Place { return w.node.Outside }
	return []direction{
		{name: "in", what: "a VPC host asks the pod", from: host, to: pod},
		{name: "answer", what: "the pod answers a VPC host", from: host, to: pod, answers: true},
		{name: "out", what: "the pod asks a VPC host", from: pod, to: host},
		{name: "snat", what: "the pod asks somebody outside", from: pod, to: outside},
		{name: "in6", what: "a VPC host asks the pod, IPv6", from: host, to: pod, six: true},
		{name: "out6", what: "the pod asks a VPC host, IPv6", from: pod, to: host, six: true},
	}
}

// A sample is perBatch packets of one of sameWay flows that go the same way, by turns: one flow's place in the kernel's
// memory may cost it 5 % more than another's.
const (
	perBatch = 250
	sameWay  = 4
)

// probe opens the flows that go this way on a node.
func (d direction) probe(w *world) (probe, error) {
	from, to := d.from(w), d.to(w)
	source, target := from.Addr, to.Addr
	if d.six {
		source, target = from.Addr6, to.Addr6
	}
	batches := make([]*batch, sameWay)
	for i := range batches {
		f, err := connect(from, to, source, target)
		if err != nil {
			return probe{}, fmt.Errorf("node %s, %s: %w", w.name, d.what, err)
		}
		if want := w.seenAs(d, source); f.saw.Addr() != want {
			return probe{}, fmt.Errorf("node %s, %s: comes from %s, not from %s", w.name, d.what, f.saw.Addr(), want)
		}
		if batches[i] = f.asks(perBatch); d.answers {
			batches[i] = f.answers(perBatch)
		}
	}
	return probe{w.name + "/" + d.name, func(round int) (float64, error) { return batches[round%sameWay].send() }}, nil
}

// seenAs is the source that the other side must see, lest a node is measured that does not do its work.
func (w *world) seenAs(d direction, source netip.Addr) netip.Addr {
	if d.name == "snat" && w.translates {
		return w.node.Self.Addr
	}
	return source
}

package ipam

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Slot is the place of a network interface on an instance.
type Slot struct {
	Card   int
	Device int
}

// String is the device index, with the card's before it where that is not 0: "2", "1/2".
func (s Slot) String() string {
	if s.Card == 0 {
		return strconv.Itoa(s.Device)
	}
	return strconv.Itoa(s.Card) + "/" + strconv.Itoa(s.Device)
}

// Compare orders slots by card, then by device.
func (s Slot) Compare(t Slot) int {
	return cmp.Or(cmp.Compare(s.Card, t.Card), cmp.Compare(s.Device, t.Device))
}

// ParseSlot reads what String wrote.
func ParseSlot(text string) (Slot, error) {
	card, device, both := strings.Cut(text, "/")
	if !both {
		card, device = "0", card
	}
	c, err := strconv.ParseUint(card, 10, 8)
	d, err2 := strconv.ParseUint(device, 10, 8)
	if err != nil || err2 != nil {
		return Slot{}, fmt.Errorf("cannot read slot %q: want a device index, or card/device", text)
	}
	return Slot{Card: int(c), Device: int(d)}, nil
}

// slot is where e is, or was made for.
func (e NodeENI) slot() Slot { return Slot{Card: e.Card, Device: e.Device} }

// newSlot is where a new interface of q's can go without any limit being passed: its own, its cards', or a card's that
// are made for it but not attached yet.
func (p *planner) newSlot(q *pool) (Slot, bool) {
	own := 0
	for _, e := range p.n.ENIs {
		if e.Pool == q.Name || e.Primary {
			own++
		}
	}
	if own >= q.Target.MaxENIsOf(p.l) {
		return Slot{}, false
	}
	return p.place(q.Target.cards(), true)
}

// place is a free slot on the first of the cards that has room. A new interface goes where none is nor is meant to be:
// a Create's token stands for its slot.
func (p *planner) place(cards []int, fresh bool) (Slot, bool) {
	for _, card := range cards {
		if p.on(card, fresh) >= p.l.OnCard(card) {
			continue
		}
		s := Slot{Card: card, Device: 1} // 0 is the primary's; on other cards EC2 has interfaces with addresses at 1 and up
		for p.taken(s, fresh) {
			s.Device++
		}
		return s, true
	}
	return Slot{}, false
}

// on counts the interfaces on a card: the attached ones, or all that are or will be there.
func (p *planner) on(card int, all bool) int {
	count := 0
	for _, e := range p.n.ENIs {
		if e.Card == card && (all || e.Attachment != "") {
			count++
		}
	}
	return count
}

// taken says whether a slot is in use; or, of all, whether anything is meant for it.
func (p *planner) taken(s Slot, all bool) bool {
	return slices.Contains(p.n.Slots, s) || slices.ContainsFunc(p.n.ENIs, func(e NodeENI) bool {
		return e.slot() == s && (all || e.Attachment != "" || e.State == ENICreating)
	})
}

package ipam

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// types are the limits of some instance types (EC2: DescribeInstanceTypes).
func types(name string) Limits {
	l, ok := map[string]Limits{
		"t2.medium":     {ENIs: 3, IPv4: 6, IPv6: 6}, // Xen: no prefixes
		"t3.small":      {ENIs: 3, IPv4: 4, IPv6: 4, Prefixes: true},
		"t3.medium":     {ENIs: 3, IPv4: 6, IPv6: 6, Prefixes: true},
		"m5.large":      {ENIs: 3, IPv4: 10, IPv6: 10, Prefixes: true},
		"m5.4xlarge":    {ENIs: 8, IPv4: 30, IPv6: 30, Prefixes: true},
		"r5.24xlarge":   {ENIs: 15, IPv4: 50, IPv6: 50, Prefixes: true},
		"p4d.24xlarge":  {ENIs: 15, IPv4: 50, IPv6: 50, Prefixes: true, Cards: []int{15, 15, 15, 15}},
		"p5en.48xlarge": {ENIs: 4, IPv4: 50, IPv6: 50, Prefixes: true, Cards: []int{4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4}},
	}[name]
	if !ok {
		panic("no limits of " + name)
	}
	return l
}

// read makes a node of text. Its lines, with commas between what they say:
//
//	m5.large, max pods 29                       first; also: silent
//	pool blue auto, warm 4, floor 12            pools in order; "secondary" is the mode if none is named
//	eni 0: 9 singles, 3 leased, 2 cooling       used, by pods of the first pool; what is not told otherwise is free
//	eni 0: /28, 3 leased, 13 kept               kept: for the bridge that it has
//	eni 1/2 of blue, draining: /28, 3 leased; /80, fenced; 2 lost     lost: leased, and not listed by EC2
func read(t *testing.T, text string) (Node, Limits) {
	t.Helper()
	n, l := Node{Grow: true}, Limits{}
	for i, line := range strings.Split(strings.TrimSpace(text), "\n") {
		head, body, _ := strings.Cut(strings.TrimSpace(line), ":")
		words := strings.Split(head, ", ")
		kind, rest, _ := strings.Cut(words[0], " ")
		switch {
		case i == 0:
			l = types(words[0])
			for _, w := range words[1:] {
				set(t, w, map[string]any{"max pods": &n.MaxPods, "silent": unset(&n.Grow), "budget": &n.Budget})
			}
		case kind == "pool":
			n.Pools = append(n.Pools, readPool(t, rest, words[1:]))
		case kind == "eni":
			n.ENIs = append(n.ENIs, readENI(t, n, rest, words[1:], body))
		default:
			t.Fatalf("line %q: want a pool or an eni", line)
		}
	}
	return n, l
}

type unset *bool

// set does what one word says: a flag, or a key with a number.
func set(t *testing.T, word string, to map[string]any) {
	t.Helper()
	for key, at := range to {
		number, is := strings.CutPrefix(word, key+" ")
		switch at := at.(type) {
		case *int:
			if v, err := strconv.Atoi(number); is && err == nil {
				*at = v
				return
			}
		case *bool, unset:
			if word == key {
				if b, ok := at.(*bool); ok {
					*b = true
				} else {
					*at.(unset) = false
				}
				return
			}
		}
	}
	t.Fatalf("cannot read %q", word)
}

func readPool(t *testing.T, name string, words []string) NodePool {
	t.Helper()
	q := NodePool{Warm: true, MinAge: 10 * time.Minute, Target: Target{UsePrimary: true, AtOnce: MostAtOnce}}
	name, mode, _ := strings.Cut(name, " ")
	q.Name, q.Target.Mode = name, Mode(mode)
	for _, w := range words {
		switch {
		case w == "ipv6":
			q.Target.Families = []Family{IPv6}
		case w == "dual":
			q.Target.Families = []Family{IPv4, IPv6}
		case strings.HasPrefix(w, "cards "):
			for _, c := range strings.Fields(w)[1:] {
				card, _ := strconv.Atoi(c)
				q.Target.Cards = append(q.Target.Cards, card)
			}
		default:
			x := &q.Target
			set(t, w, map[string]any{
				"warm": &x.Warm, "warm enis": &x.WarmENIs, "warm prefixes": &x.WarmPrefixes, "minimum": &x.Minimum,
				"maximum": &x.Maximum, "max enis": &x.MaxENIs, "at once": &x.AtOnce, "waiting": &q.Waiting,
				"waiting6": &q.Waiting6, "waiting prefix": &q.WaitingPrefix, "floor": &q.Floor, "budget": &q.Budget,
				"cordoned": unset(&q.Warm), "scarce": &q.Scarce, "blocked": &q.Blocked, "fragmented": &q.NoPrefixes, "no ipv6": &q.NoIPv6,
			})
		}
	}
	return q
}

func readENI(t *testing.T, n Node, name string, words []string, body string) NodeENI {
	t.Helper()
	place, of, owned := strings.Cut(name, " of ")
	s, err := ParseSlot(place)
	if err != nil {
		t.Fatal(err)
	}
	e := NodeENI{State: ENIUsed, Card: s.Card, Device: s.Device, Primary: s == Slot{}, PodsOK: true, Named: true, Pool: of,
		Age: time.Hour}
	if !owned && len(n.Pools) > 0 {
		e.Pool = n.Pools[0].Name
	}
	young, groups := false, false
	for _, w := range words {
		switch state := ENIState(w); state {
		case ENICreating, ENIOurs, ENIUsed, ENIDraining, ENILost, ENIRetired, ENIForeign, ENIOther:
			e.State = state
		default:
			set(t, w, map[string]any{
				"young": &young, "blocked": &e.Blocked, "blocked6": &e.IPv6.Blocked, "fragmented": &e.NoPrefixes,
				"excluded": &e.Excluded, "unbound": &e.Unbound, "other groups": &groups, "unnamed": unset(&e.Named), "taken": &e.Taken, "not for pods": unset(&e.PodsOK),
			})
		}
	}
	if young {
		e.Age = time.Minute
	}
	if groups {
		e.Regroup = []string{"sg-1"}
	}
	if e.State != ENICreating {
		e.ENI = ENIID("eni-" + s.String())
	}
	switch e.State {
	case ENIUsed, ENIDraining, ENIForeign:
		e.Attachment = AttachmentID("at-" + s.String())
	}
	e.PodsOK = e.PodsOK && !e.Excluded
	for _, text := range strings.Split(body, ";") {
		if text = strings.TrimSpace(text); text != "" {
			readStock(t, &e, strings.Split(text, ", "))
		}
	}
	nameLast(e.Delegated)
	nameLast(e.IPv6.Prefixes)
	return e
}

// nameLast leaves of the wholly free prefixes the last one named, as snapshots do.
func nameLast(prefixes []PrefixSummary) {
	named := false
	for i := range slices.Backward(prefixes) {
		if p := &prefixes[i]; p.allFree() && named {
			p.Free = 0
		} else if p.allFree() {
			named = true
		}
	}
}

// readStock reads single addresses or one prefix, with what became of its addresses.
func readStock(t *testing.T, e *NodeENI, words []string) {
	t.Helper()
	var leased, cooling, kept, some int
	var fenced, coming bool
	for _, w := range words[1:] {
		if number, is := strings.CutSuffix(w, " fenced"); is {
			some, _ = strconv.Atoi(number)
			continue
		}
		number, key, _ := strings.Cut(w, " ")
		set(t, strings.TrimSpace(key+" "+number), map[string]any{"leased": &leased, "cooling": &cooling, "kept": &kept,
			"fenced": &fenced, "coming": &coming})
	}
	count, singles := strings.CutSuffix(words[0], " singles")
	lost, gone := strings.CutSuffix(words[0], " lost")
	switch {
	case gone:
		leased, _ := strconv.Atoi(lost)
		e.Leased += leased
	case singles:
		listed, err := strconv.Atoi(count)
		if err != nil {
			t.Fatal(err)
		}
		e.Listed, e.Fenced = e.Listed+listed, addrs(100*e.Device, some)
		free := listed - some - leased - cooling
		e.Leased, e.Cooling, e.Free, e.Single = e.Leased+leased, e.Cooling+cooling, e.Free+free, e.Single+free
	case words[0] == "/28":
		s, free := summary(IPv4, *e, leased+cooling+kept, fenced, coming)
		e.Delegated = append(e.Delegated, s)
		e.Leased, e.Cooling, e.Free, e.Kept = e.Leased+leased, e.Cooling+cooling, e.Free+free+kept, e.Kept+kept
	case words[0] == "/80":
		x := &e.IPv6
		s, free := summary(IPv6, *e, leased+cooling+kept, fenced, coming)
		x.Prefixes = append(x.Prefixes, s)
		x.Leased, x.Cooling, x.Free, x.Kept = x.Leased+leased, x.Cooling+cooling, x.Free+free+kept, x.Kept+kept
	default:
		t.Fatalf("cannot read %q: want singles, /28 or /80", words[0])
	}
}

// summary is what a snapshot says of a prefix, and how many addresses of it any pod may have.
func summary(f Family, e NodeENI, used int, fenced, coming bool) (s PrefixSummary, free int) {
	s.Prefix = prefixOn(f, e.slot(), len(e.stock(f).prefixes))
	switch {
	case coming:
		return PrefixSummary{}, 0
	case fenced:
		s.Fenced = true
		return s, 0
	case used == 0:
		s.Free = worth(f)
	}
	return s, worth(f) - used
}

// prefixOn is the k-th prefix of a network interface.
func prefixOn(f Family, s Slot, k int) netip.Prefix {
	if f == IPv6 {
		return netip.MustParsePrefix(fmt.Sprintf("fd00:%x:%x:%x::/80", s.Card, s.Device, k))
	}
	return netip.MustParsePrefix(fmt.Sprintf("%d.%d.%d.%d/28", 11+s.Card, s.Device, k/16, k%16*16))
}

// addrs are count addresses, the from-th and on.
func addrs(from, count int) []netip.Addr {
	var all []netip.Addr
	for i := range count {
		all = append(all, netip.AddrFrom4([4]byte{10, 0, byte((from + i) >> 8), byte(from + i)}))
	}
	return all
}

// write is a plan as text, a line for each action.
func write(plan []Action) string {
	var b strings.Builder
	for _, a := range plan {
		words := []string{string(a.Kind)}
		if a.ENI != "" {
			words = append(words, string(a.ENI))
		}
		sign := "+"
		switch a.Kind {
		case ActCreate, ActAttach:
			words = append(words, "at "+Slot{a.Card, a.Device}.String())
		case ActWish, ActUnassign:
			sign = "-"
		}
		if a.Whole {
			words = append(words, "whole")
		} else if count := a.Count + len(a.Addresses); count > 0 {
			words = append(words, sign+strconv.Itoa(count))
		}
		if a.Prefixes > 0 {
			words = append(words, fmt.Sprintf("+%d/28", a.Prefixes))
		}
		if a.Prefixes6 > 0 {
			words = append(words, fmt.Sprintf("+%d/80", a.Prefixes6))
		}
		for _, p := range a.Give {
			words = append(words, "-"+p.String())
		}
		words = append(words, a.Groups...)
		if a.Pool != "" && a.Pool != "default" {
			words = append(words, "of "+a.Pool)
		}
		b.WriteString(strings.Join(words, " ") + "\n")
	}
	return b.String()
}

// show is a node as text, nearly as read has it.
func show(n Node) string {
	var b strings.Builder
	fmt.Fprintf(&b, "max pods %d, budget %d\n", n.MaxPods, n.Budget)
	for _, q := range n.Pools {
		fmt.Fprintf(&b, "pool %s warm=%t scarce=%t blocked=%t fragmented=%t no6=%t waiting %d/%d/%d floor %d budget %d %+v\n",
			q.Name, q.Warm, q.Scarce, q.Blocked, q.NoPrefixes, q.NoIPv6, q.Waiting, q.Waiting6, q.WaitingPrefix, q.Floor, q.Budget, q.Target)
	}
	for _, e := range n.ENIs {
		fmt.Fprintf(&b, "%s %s of %s, %s named=%t pods=%t excluded=%t fragmented=%t blocked=%t/%t age %s: %d singles, %d free, %d fenced;",
			e.ENI, e.slot(), e.Pool, e.State, e.Named, e.PodsOK, e.Excluded, e.NoPrefixes, e.Blocked, e.IPv6.Blocked, e.Age, e.Listed,
			e.Single, len(e.Fenced))
		for _, f := range []Family{IPv4, IPv6} {
			s := e.stock(f)
			fmt.Fprintf(&b, " IPv%d %d free, %d leased, %d cooling, %d prefixes, %d fenced;",
				f, s.free, s.leased, s.cooling, len(s.prefixes), len(s.fenced()))
		}
		b.WriteString("\n")
	}
	return b.String()
}

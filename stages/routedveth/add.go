package routedveth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"time"

	types100 "github.com/containernetworking/cni/pkg/types/100"
	"golang.org/x/sys/unix"

	"github.com/enichain/enichain/stages"
	"github.com/enichain/enichain/stages/internal/link"
	"github.com/enichain/enichain/stages/internal/numbers"
)

// Add makes the pair and the routes. What it made is gone again when it fails, the delegate's address too.
func (Stage) Add(ctx context.Context, r *stages.Request) (*stages.Result, error) {
	conf, err := decode(r)
	if err != nil {
		return nil, err
	}
	g, err := gather(r, conf)
	if err != nil {
		return nil, err
	}
	w, err := open(r, conf)
	if err != nil {
		return nil, err
	}
	defer w.close()
	if conf.plugin != "" {
		// Before the delegate is asked: where the interface is there, its address is that of a container that lives.
		if err := w.vacate(); err != nil {
			return nil, err
		}
		if g, err = ask(ctx, r, conf); err != nil {
			return nil, err
		}
	}
	result, err := w.add(ctx, g)
	if err != nil {
		return nil, errors.Join(err, conf.delegate(ctx, r, "DEL"))
	}
	return result, nil
}

// open opens what both ends are made through.
func open(r *stages.Request, conf *config) (w *wire, err error) {
	w = &wire{conf: conf, r: r}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	if w.host, err = link.Open(); err != nil {
		return nil, err
	}
	if w.inside, err = link.OpenNetns(r.Netns); err != nil {
		return nil, stages.Errorf(stages.Env, "%w", err)
	}
	if w.pod, err = link.OpenIn(w.inside); err != nil {
		return nil, stages.Errorf(stages.Env, "%w", err)
	}
	return w, nil
}

func (w *wire) close() {
	if w.host != nil {
		w.host.Close()
	}
	if w.inside != nil {
		w.inside.Close()
	}
	if w.pod != nil {
		w.pod.Close()
	}
}

func (w *wire) add(ctx context.Context, g given) (*stages.Result, error) {
	w.given = g
	if err := w.choose(ctx); err != nil {
		return nil, err
	}
	if err := w.make(); err != nil {
		return nil, err
	}
	if err := errors.Join(w.connect(), ctx.Err()); err != nil {
		return nil, errors.Join(err, w.host.Do(link.DelLink(w.hostIndex)))
	}
	host := &types100.Interface{Name: w.hostName, Mac: w.hostMAC.String(), Mtu: w.mtu}
	sandbox := &types100.Interface{Name: w.r.IfName, Mac: w.podMAC.String(), Mtu: w.mtu, Sandbox: w.r.Netns}
	return g.finish(host, sandbox), nil
}

// wire is one attachment on its way.
type wire struct {
	conf   *config
	r      *stages.Request
	given  given
	host   *link.Conn
	pod    *link.Conn
	inside *os.File

	eni     *link.Link // nil: the main table
	n       int
	table   int
	mtu     int
	source  sources
	hostMAC link.MAC
	podMAC  link.MAC

	hostName  string
	hostIndex int
	podIndex  int
}

// choose decides all that the wire needs, and sees that the network interface behind it is ready to carry it.
func (w *wire) choose(ctx context.Context) error {
	w.hostMAC, w.podMAC = link.OwnerMACs(w.r.Attachment.String())
	w.table, w.mtu = link.MainTable, defaultMTU
	uplink, eni, err := w.ways()
	if err != nil {
		return err
	}
	if uplink.MTU != 0 {
		w.mtu = uplink.MTU
	}
	if w.given.eni != nil {
		if err := w.follow(ctx, uplink, eni); err != nil {
			return err
		}
	}
	if w.conf.MTU != 0 {
		w.mtu = w.conf.MTU
	}
	if w.given.has(false) && w.mtu < leastMTU6 {
		return stages.Errorf(stages.Config, "mtu: %d bytes are below IPv6's least, 1280, and %s has an IPv6 address",
			w.mtu, w.r.Attachment)
	}
	return forwarding(w.given.has(true), w.given.has(false), uplink.Name)
}

// ways asks in one send for the ways out, with the node's own addresses there, and for the network interface's link by
// its name. A node without a default route has no uplink, and that is no fault. Only an IPv6 address and one that
// belongs to no network interface need more of the uplink than its index.
func (w *wire) ways() (uplink, eni link.Link, err error) {
	var four, six link.Way
	ask := []link.Message{link.AskUplink(false, &four)} // in any case: it is the primary network interface
	if w.given.has(false) {
		ask = append(ask, link.AskUplink(true, &six))
	}
	if w.given.eni != nil {
		ask = append(ask, link.AskLinkByName(w.given.eni.name, &eni))
	}
	if err := w.host.Do(ask...); err != nil {
		return uplink, eni, err
	}
	w.source = sources{four.Source, six.Source}
	uplink.Index = cmp.Or(four.Link, six.Link)
	if uplink.Index != 0 && (w.given.eni == nil || w.given.has(false)) {
		err = w.host.Do(link.AskLinkByIndex(uplink.Index, &uplink))
	}
	return uplink, eni, err
}

// sources are the node's own addresses, which its packets to pods bear; unset where it has no default route.
type sources struct{ four, six netip.Addr }

// defaultMTU is Ethernet's, for a node without a way out.
const defaultMTU = 1500

// follow finds the network interface, its number, and prepares or repairs what is missing of it. named is the link that
// has its name.
func (w *wire) follow(ctx context.Context, uplink, named link.Link) error {
	l, err := findENI(w.host, *w.given.eni, named)
	if err != nil {
		return stages.Errorf(stages.ENINotReady, "%s for %s: %w; the runtime tries again", w.given.eni.name, w.r.Attachment, err)
	}
	n, prepared := numbers.GroupENI(l.Group)
	switch {
	case prepared:
	case l.Index == uplink.Index:
		if err := Prepare(ctx, ENI{N: 0, MAC: l.MAC.String()}); err != nil {
			return err
		}
	default:
		if l, err = w.marked(ctx, l); err != nil {
			return err
		}
		n, _ = numbers.GroupENI(l.Group)
	}
	w.eni, w.n, w.table, w.mtu = &l, n, numbers.PodsTable, l.MTU
	return w.assure(ctx)
}

// assure tests the marks of a whole base, one question each, and rebuilds it from what the links say when one is
// missing: with the agent down nobody else would.
func (w *wire) assure(ctx context.Context) error {
	lacks, err := w.lacks()
	if err != nil || lacks == "" {
		return err
	}
	_, broken := Repair(ctx, nil) // of another network interface, maybe
	if lacks, err = w.lacks(); err != nil || lacks == "" {
		return err
	}
	if broken != nil {
		return stages.Errorf(stages.ENINotReady, "cannot rebuild the routes of %s for %s: %w", w.eni.Name, w.r.Attachment, broken)
	}
	return stages.Errorf(stages.ENINotReady, "%s for %s: %s", w.eni.Name, w.r.Attachment, lacks)
}

// lacks says what does not lead the pod's packets to its network interface, and which command shows it.
func (w *wire) lacks() (string, error) {
	if ok, err := steers(w.n); err != nil {
		return "", err
	} else if !ok {
		return "packets of its pods get no mark; see: nft list table inet " + numbers.TableRoutedVeth, nil
	}
	for _, hop := range []netip.Addr{nextHop4, nextHop6} {
		if w.n == 0 || !w.given.has(hop.Is4()) {
			continue
		}
		way, err := w.host.LookupMarked(!hop.Is4(), uint32(w.n))
		if errors.Is(err, link.ErrAbsent) || err == nil && (way.Table != numbers.ENITable(w.n) || way.Link != w.eni.Index) {
			return fmt.Sprintf("packets with mark %#x do not leave by it; see: ip %s rule; ip %[2]s route show table %d",
				w.n, flag(hop), numbers.ENITable(w.n)), nil
		}
		if err != nil {
			return "", err
		}
	}
	return "", nil
}

// findENI is the link that has the name in the result, or another one by its MAC where that was renamed since.
func findENI(c *link.Conn, e entry, named link.Link) (link.Link, error) {
	mac, err := link.ParseMAC(e.mac)
	if err != nil {
		return link.Link{}, err
	}
	if named.Index != 0 && (named.Permanent == mac || named.MAC == mac) {
		return named, nil
	}
	return eniByMAC(c, mac)
}

// make makes the pair. Who has one of its names is asked when the kernel says that one is taken: usually nobody has.
func (w *wire) make() error {
	w.hostName = w.conf.hostNames(w.r)[0]
	for tries := 3; ; tries-- {
		var made link.Link
		err := w.host.Do(link.AddVeth(link.Veth{
			Host: link.VethEnd{Name: w.hostName, MAC: w.hostMAC}, Pod: link.VethEnd{Name: w.r.IfName, MAC: w.podMAC},
			Netns: int(w.inside.Fd()), MTU: w.mtu, Group: numbers.PodLinkGroup(w.n, 0),
		}), link.AskLinkByName(w.hostName, &made))
		if err == nil {
			w.hostIndex, w.podIndex = made.Index, made.Peer
			return nil
		}
		if !errors.Is(err, unix.EEXIST) || tries == 1 {
			return stages.Errorf(stages.Kernel, "%w for %s", err, w.r.Attachment)
		}
		if err := w.vacate(); err != nil {
			return err
		}
		if w.hostName, err = w.vacantName(); err != nil {
			return err
		}
	}
}

// connect gives both ends their addresses, neighbours and routes, and looks whether a packet to the pod finds it.
func (w *wire) connect() error {
	alias := podAlias(w.r.Attachment, w.given.addrs)
	outside := []link.Message{link.SetLink(w.hostIndex, link.Change{Alias: &alias, NoLinkAddr: true})}
	up := true
	within := []link.Message{link.SetLink(w.podIndex, link.Change{Up: &up})}
	outside = append(outside, hostSide(w.hostIndex, w.table, w.given.addrs, w.source)...)
	within = append(within, podSide(w.podIndex, w.metric(), w.hostMAC, w.given)...)
	if further(w.r.IfName) {
		if err := unruly(w.pod, w.given.addrs, 0); err != nil {
			return stages.Errorf(stages.Kernel, "%w in %s for %s", err, w.r.Netns, w.r.Attachment)
		}
		within = append(within, ownWay(w.podIndex, w.given.addrs)...)
	}
	if w.given.has(false) {
		key := "net/ipv6/conf/" + w.r.IfName + "/disable_ipv6"
		if err := link.EnsureSysctlIn(w.inside, key, "0"); err != nil {
			return stages.Errorf(stages.Kernel, "%w in %s: %s has an IPv6 address", err, w.r.Netns, w.r.Attachment)
		}
	}
	if err := w.host.Do(outside...); err != nil {
		return stages.Errorf(stages.Kernel, "%w for %s", err, w.r.Attachment)
	}
	if err := w.pod.Do(within...); err != nil {
		return stages.Errorf(stages.Kernel, "%w in %s for %s", err, w.r.Netns, w.r.Attachment)
	}
	if err := w.carries(); err != nil || !w.given.has(false) {
		return err
	}
	return errors.Join(w.host.AwaitSolicitable(w.hostIndex, []netip.Addr{nextHop6}, carrierPatience),
		w.pod.AwaitSolicitable(w.podIndex, w.given.addrs, carrierPatience))
}

// carrierPatience is how long an ADD waits for the wire to carry packets; after that it says yes all the same.
const carrierPatience = time.Second

// carries sees that the wire carries packets, and that those to the pod find it. Usually that is one send.
func (w *wire) carries() error {
	var outer link.Link
	ways := make([]link.Way, len(w.given.addrs))
	ask := []link.Message{link.AskLinkByIndex(w.hostIndex, &outer)}
	for i, a := range w.given.addrs {
		ask = append(ask, link.AskWay(link.Query{Dst: a}, &ways[i]))
	}
	if err := w.host.Do(ask...); err != nil {
		return err
	}
	if slices.ContainsFunc(ways, func(way link.Way) bool { return way.Link != w.hostIndex }) {
		if err := w.reached(); err != nil {
			return err
		}
	}
	if outer.Running {
		return nil
	}
	return w.host.AwaitRunning(w.hostIndex, carrierPatience)
}

// reached asks the kernel for the way to each address: it must be this wire. Where rule 500 was flushed it is made
// again first.
func (w *wire) reached() error {
	for _, a := range w.given.addrs {
		way, err := w.host.Lookup(link.Query{Dst: a})
		if w.eni != nil && (err != nil || way.Link != w.hostIndex) {
			if err := ensureRules(w.host, []link.Rule{podsRule(familyOf(a))}); err != nil {
				return err
			}
			way, err = w.host.Lookup(link.Query{Dst: a})
		}
		if err != nil {
			return stages.Errorf(stages.Kernel, "%s of %s: %w", a, w.r.Attachment, err)
		}
		if way.Link != w.hostIndex {
			return stages.Errorf(stages.Kernel, "%s of %s: packets to it go by table %d to link %d, not to %s; see: ip route get %s",
				a, w.r.Attachment, way.Table, way.Link, w.hostName, a)
		}
	}
	return nil
}

// taken is the error for an interface that is there already and not a leftover.
func (w *wire) taken() error {
	return stages.Errorf(stages.IfNameTaken, "%s has an interface %s already; it is left as it is; "+
		"see: nsenter --net=%s ip link show %s", w.r.Netns, w.r.IfName, w.r.Netns, w.r.IfName)
}

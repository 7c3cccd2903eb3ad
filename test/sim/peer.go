package sim

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/enichain/enichain/test/lab/vpc"
)

// peer is a model of a daemon that works for its node alone, as amazon-vpc-cni-k8s's does with its defaults: a loop of
// 5 s that looks at its pool and makes one step, the SDK's three attempts for each call, no limit of its own, nothing
// known of others. It is favoured in two ways: a pod has an address as soon as its node has one for it (kubelet's retries
// cost nothing), and instance metadata shows a new network interface at once.
type peer struct {
	f      *fleet
	b      Boot
	id     string
	subnet string
	random *rand.Rand
	sleep  sleep
	room   []int // places left, by network interface
	enis   []string
	total  int // addresses for pods
	times  nodeTimes
}

const (
	peerTick     = 2500 * time.Millisecond // twice in each turn of its loop
	peerAttempts = 3                       // the SDK's standard retryer
	peerTries    = 12                      // its own, around what it must not give up
	peerRestart  = 10 * time.Second        // after its initialization has failed
)

// RunPeer lets a fleet of such daemons boot: the same rules, the same rates, the same boot times.
func (b Boot) RunPeer(ctx context.Context) (BootResult, error) {
	b = b.withDefaults()
	began := time.Now()
	f := b.fleet("")
	defer f.end()
	var peers []*peer
	for i, at := range b.bootTimes() {
		p := &peer{f: f, b: b, subnet: f.subnets[i%len(f.subnets)].ID, random: source(b.Seed, "peer"+string(rune(i))), times: nodeTimes{boot: at}}
		peers = append(peers, p)
		f.after(at, func() {
			i, primary, err := f.world.AddInstance(f.wall(), vpc.Launch{Type: b.Type, Subnet: p.subnet})
			must(err)
			p.id, p.enis, p.room = i.ID, []string{primary.ID}, []int{limitsOf(typeOf(b.Type)).PerENI()}
			f.spawn(func(s sleep) { p.sleep = s; p.live() })
		})
	}
	b.untilFull(ctx, f, func(i int) bool { return peers[i].times.served >= b.Pods })
	if ctx.Err() != nil {
		return BootResult{}, ctx.Err()
	}
	f.run(2 * time.Minute)
	r := b.result("per-node daemon", f, began)
	for _, p := range peers {
		r.times = append(r.times, p.times)
	}
	r.count(b.Pods)
	quiet := f.mutations()
	f.run(10 * time.Minute)
	r.Quiet = f.mutations() - quiet
	r.Took = time.Since(began)
	return r.BootResult, nil
}

// live is the daemon's life; it ends when a sleep says so.
func (p *peer) live() {
	for !p.start() {
		if !p.sleep(peerRestart) {
			return
		}
	}
	for p.sleep(peerTick) {
		p.update()
		if !p.sleep(peerTick) {
			return
		}
	}
}

// start reads what the node has and tags its primary interface.
func (p *peer) start() bool {
	for try := range peerTries {
		if _, ok := p.call(vpc.DescribeNetworkInterfaces{IDs: p.enis[:1]}); ok {
			p.retry(5, 500*time.Millisecond, vpc.CreateTags{Resources: p.enis[:1], Tags: []vpc.Tag{{Key: "cluster.k8s.amazonaws.com/name", Value: "sim"}}})
			return true
		}
		if !p.sleep(time.Duration(try) * 10 * time.Millisecond) {
			return false
		}
	}
	return false
}

// call is one call with the SDK's attempts: exponential, with jitter.
func (p *peer) call(r vpc.Request) (vpc.Output, bool) {
	for attempt := range peerAttempts {
		if attempt > 0 && !p.sleep(between(p.random, 0, time.Second<<(attempt-1))) {
			return nil, false
		}
		out, err := p.f.world.Call(p.f.wall(), "peer", r)
		if !p.sleep(out.Answered.Sub(p.f.wall())) {
			return nil, false
		}
		if err == nil {
			return out.Output, true
		}
		if err.Code != vpc.CodeThrottled && err.HTTPStatus < 500 {
			return nil, false
		}
	}
	return nil, false
}

// retry tries a call again and again, twice as late each time.
func (p *peer) retry(tries int, step time.Duration, r vpc.Request) bool {
	for range tries {
		if _, ok := p.call(r); ok {
			return true
		}
		if !p.sleep(step) {
			return false
		}
		step = min(2*step, time.Minute)
	}
	return false
}

// update is one look at the pool and one step: WARM_ENI_TARGET=1, or WARM_PREFIX_TARGET=1.
func (p *peer) update() {
	limits := limitsOf(typeOf(p.b.Type))
	warm := limits.PerENI()
	if p.b.Prefix {
		warm = 16
	}
	assigned := min(p.total, p.b.Pods)
	if p.total >= p.b.Pods || p.total-assigned >= warm {
		return
	}
	for i, room := range p.room {
		if room > 0 {
			p.fill(i, room)
			return
		}
	}
	if len(p.enis) < limits.ENIs {
		p.grow(limits.PerENI())
	}
}

// fill asks for addresses on an interface; where that fails once more for a single one, and then no more in this turn.
func (p *peer) fill(i, room int) {
	ask := vpc.AssignPrivateIpAddresses{ID: p.enis[i], Count: room}
	got, each := room, 1
	if p.b.Prefix {
		ask.Count, ask.PrefixCount, got, each = 0, 1, 1, 16
	}
	if _, ok := p.call(ask); !ok {
		if ask.Count > 1 {
			ask.Count, got = 1, 1
		}
		if _, ok := p.call(ask); !ok {
			return
		}
	}
	p.room[i] -= got
	p.has(got * each)
}

func (p *peer) has(more int) {
	before := min(p.total, p.b.Pods)
	p.total += more
	for range min(p.total, p.b.Pods) - before {
		p.times.add(p.f.now, true)
	}
}

// grow makes a network interface, step by step; what was made is taken back where a later step fails.
func (p *peer) grow(count int) {
	if _, ok := p.call(vpc.DescribeSubnets{Filters: []vpc.Filter{tagged("subnet-id", p.subnet)}}); !ok {
		return
	}
	ask := vpc.CreateNetworkInterface{SubnetID: p.subnet, SecondaryCount: count}
	places, got := 0, count
	if p.b.Prefix {
		ask.SecondaryCount, ask.PrefixCount, places, got = 0, 1, count-1, 16
	}
	made, ok := p.call(ask)
	if !ok {
		return
	}
	id := made.(vpc.CreateNetworkInterfaceOutput).NetworkInterface.ID
	remove := func() { p.retry(peerTries, 500*time.Millisecond, vpc.DeleteNetworkInterface{ID: id}) }
	if _, ok := p.call(vpc.DescribeInstances{IDs: []string{p.id}}); !ok {
		remove()
		return
	}
	out, ok := p.call(vpc.AttachNetworkInterface{ID: id, InstanceID: p.id, Device: len(p.enis)})
	if !ok {
		remove()
		return
	}
	attachment, yes := out.(vpc.AttachNetworkInterfaceOutput).AttachmentID, true
	_, ok = p.call(vpc.ModifyNetworkInterfaceAttribute{ID: id, Attachment: &vpc.AttachmentChanges{AttachmentID: attachment, DeleteOnTermination: &yes}})
	if !ok {
		if p.retry(peerTries, 200*time.Millisecond, vpc.DetachNetworkInterface{AttachmentID: attachment}) && p.sleep(2*time.Second) {
			remove()
		}
		return
	}
	for wait := 100 * time.Millisecond; !p.linked(id); wait = min(2*wait, time.Minute) {
		if !p.sleep(wait) {
			return
		}
	}
	p.call(vpc.DescribeSubnets{Filters: []vpc.Filter{tagged("subnet-id", p.subnet)}})
	p.enis, p.room = append(p.enis, id), append(p.room, places)
	p.has(got)
}

// linked says whether the interface is there.
func (p *peer) linked(id string) bool {
	e, ok := p.f.world.NetworkInterface(p.f.wall(), id)
	return ok && e.Attachment != nil && e.Attachment.Status() == vpc.Attached
}

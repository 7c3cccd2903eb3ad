package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/store"
	"github.com/enichain/enichain/ipam/store/storetest"
	"github.com/enichain/enichain/stages/routedveth"
)

func TestPool(t *testing.T) {
	n := full(t)
	n.golden(exitOK, `
default  8 addresses: 2 leased  4 warm  1 cooling  1 fenced
  eth0   P■■◌□  10.110.10.0/24
  eth1   P□□□▨  10.110.11.0/24
  why    subnet-a (10.110.10.0/24) has 0 free addresses (InsufficientFreeAddressesInSubnet), next try at 14:01:11
■ leased  □ warm  ◌ cooling  ▨ fenced  × held  ◦ not ready yet  ? lost  P primary (never a pod's)`, "pool")
	n.golden(exitWrong, `
enichainctl: no pool "gpu" on this node
there are: default`, "pool", "--name", "gpu")
	n.golden(exitUsage, `
enichainctl: --format "yaml": want text or json
try: enichainctl pool --help`, "pool", "--format", "yaml")
	text, code := n.run("pool", "--format", "json")
	var v []poolView
	if err := json.Unmarshal([]byte(text), &v); err != nil || code != exitOK || len(v) != 1 || v[0].Counts.Leased != 2 || len(v[0].ENIs[1].Addresses) != 4 {
		t.Errorf("%d %v %s", code, err, text)
	}
	newNode(t).golden(exitOK, "no network interface was supplied yet", "pool")
}

func TestLeases(t *testing.T) {
	n := full(t)
	n.golden(exitOK, `
ADDRESS       ENI   NETWORK   CONTAINER                 IFNAME  AGE  POD          NETNS
10.110.10.10  eth0  enichain  default-web-373b7e98b5a1  eth0    45s  default/web  /run/netns/default-web-373b7e98b5a1
10.110.10.11  eth0  enichain  default-db-373b7e98b5a1   eth0    45s  default/db   /run/netns/default-db-373b7e98b5a1`, "leases")
	n.golden(exitOK, `
ADDRESS       ENI   NETWORK   CONTAINER                IFNAME  AGE  POD         NETNS
10.110.10.11  eth0  enichain  default-db-373b7e98b5a1  eth0    45s  default/db  /run/netns/default-db-373b7e98b5a1`, "leases", "--pod", "db")
	n.golden(exitOK, `
ADDRESS       ENI   STATE    LEFT
10.110.10.12  eth0  cooling  25s`, "leases", "--state", "cooling")
	n.golden(exitOK, `
ADDRESS       ENI   STATE   LEFT
10.110.11.13  eth1  fenced  -`, "leases", "--state", "fenced")
	n.golden(exitOK, "no leases; 10.110.10.12 cools until 14:01:10 (25s)", "leases", "--network", "other")
	n.golden(exitUsage, `
enichainctl: --state "warm": want one of free, leased, cooling, fenced, held, pending, lost
try: enichainctl leases --help`, "leases", "--state", "warm")
}

func TestENIs(t *testing.T) {
	n := full(t)
	n.golden(exitOK, `
ENI     LINK  #  POOL     SUBNET                        ADDRESSES  LEASED  WARM  MARK  SEEN BY
eni-00  eth0  0  default  10.110.10.0/24 (subnet-0b7c)  4          2       1     -     supply kernel
eni-01  eth1  1  default  10.110.11.0/24 (subnet-0b7c)  4          0       3     0x1   supply kernel`, "enis")
	n.view.ENIs = n.view.ENIs[:1]
	text, code := n.run("enis")
	if code != exitWrong || !strings.Contains(text, "eni-01: its link eth1 is not prepared in the kernel (no group, or gone)") {
		t.Errorf("%d %s", code, text)
	}
	n.Links(storetest.ENI(0, 0))
	if text, code := n.run("enis"); code != exitWrong || !strings.Contains(text, "eni-01: attached, but the kernel shows no link with MAC 02:00:00:00:00:01 yet") {
		t.Errorf("%d %s", code, text)
	}
}

func TestStatus(t *testing.T) {
	n := full(t)
	n.golden(exitWrong, `
node    node-1  i-0a1b2c3d  m5.large    enichaind never ran on this node
pool    8 addresses: 2 leased  4 warm  1 cooling  1 fenced    target 2 warm
chain   not known without enichaind
kernel  as it should be: 2 interfaces, 2 routes to pods
last    14:00:30 subnet-a (10.110.10.0/24) has 0 free addresses (InsufficientFreeAddressesInSubnet), next try at 14:01:11
WRONG   enichaind never ran on this node`, "status")

	n.daemon(`{"version":"v0.4.0","started":"2026-11-20T12:00:00Z","agent":{"repairs":1,"lastRepair":"3 ip rules deleted by someone","repairedAt":"2026-11-20T13:02:21Z"},`+
		`"bus":{"connected":true},"list":"05-enichain.conflist"}`, "")
	n.tell(nil, nil)
	n.golden(exitOK, `
node    node-1  i-0a1b2c3d  m5.large    enichaind v0.4.0 up 2h00m    bus connected
pool    8 addresses: 2 leased  4 warm  1 cooling  1 fenced    target 2 warm
chain   05-enichain.conflist
kernel  as it should be: 2 interfaces, 2 routes to pods
mended  1 time, last at 13:02:21: 3 ip rules deleted by someone`, "status")
	n.Do(func(tx *store.Tx) error {
		tx.SetMute(&store.Mute{Since: n.Now.Wall.Add(-time.Minute), Bus: "nats://hub:4222"})
		return nil
	})
	if text, code := n.run("status"); code != exitWrong || !strings.Contains(text, "WRONG   enichaind has not reached the bus (nats://hub:4222) since 13:59:45\n") {
		t.Errorf("%d %s", code, text)
	}
	if text, _ := n.run("why", "web"); !strings.Contains(text, "web: has 10.110.10.10") {
		t.Error(text)
	}
	n.view.Routes = n.view.Routes[1:]
	n.view.Routes = append(n.view.Routes, routedveth.RouteView{Addr: netip.MustParseAddr("10.110.11.10"), Link: "eni9"})
	if text, code := n.run("status"); code != exitWrong || !strings.Contains(text, "WRONG   10.110.10.10 is leased to default/web, and no route leads to it\n"+
		"WRONG   a route leads to 10.110.11.10 by eni9, and nobody holds it") {
		t.Errorf("%d %s", code, text)
	}
	if err := os.Remove(n.Path()); err != nil {
		t.Fatal(err)
	}
	n.golden(exitBlind, `
enichainctl: cannot use pool file DIR/pool.db: there is no such file; enichaind makes it when it starts
is enichaind running here?  systemctl status enichaind`, "status")
}

// TestWatch draws again when the pool changes, and ends with the interrupt.
func TestWatch(t *testing.T) {
	n := newNode(t, storetest.ENI(0, 2))
	ctx, cancel := context.WithCancel(t.Context())
	out := make(chan string, 100)
	a := &app{out: lines(out), err: lines(out), clock: func() store.Now { return n.Now },
		boot: func() (string, error) { return storetest.Boot, nil }, getenv: func(string) string { return "" }}
	ended := make(chan int)
	go func() { ended <- a.run(ctx, []string{"pool", "--watch", "--pool", n.Path()}) }()
	until := func(text string) {
		t.Helper()
		for {
			select {
			case line := <-out:
				if strings.Contains(line, text) {
					return
				}
			case <-time.After(time.Minute):
				t.Fatalf("%q was never drawn", text)
			}
		}
	}
	until("P□□")
	n.pod("default/web")
	until("P■□")
	cancel()
	go func() {
		for range out { // what is still being drawn
		}
	}()
	if code := <-ended; code != exitOK {
		t.Errorf("exit %d", code)
	}
}

func TestEvents(t *testing.T) {
	n := full(t)
	n.golden(exitOK, `
14:00:00.000  pod.added             default/web  10.110.10.10 on eni-00
14:00:00.000  pod.added             default/db  10.110.10.11 on eni-00
14:00:00.000  pod.added             enichain/gone/eth0  10.110.10.12 on eni-00
14:00:40.000  pod.deleted           enichain/gone/eth0  10.110.10.12 on eni-00
cannot ask enichaind at DIR/d.sock: connect: no such file or directory; shown is what it has not published and what the stages wrote down`, "events", "--type", "pod.*")
	n.golden(exitBlind, `
enichainctl: cannot ask enichaind at DIR/d.sock: connect: no such file or directory
without enichaind:  enichainctl events`, "events", "--follow")
	if text, code := n.run("events"); code != exitOK || !strings.Contains(text, "14:00:01.000  routed-veth ADD       default/web  2.6 ms") {
		t.Errorf("%d %s", code, text)
	}
	event := `{"specversion":"1.0","id":"x/1","source":"/node/i-1","type":"io.enichain.pod.added.v1","data":{"n":1,"at":"2026-11-20T13:59:00Z","boot":"b",` +
		`"verb":"pod.added","network":"n","container":"c","ifname":"eth0","pod":"default/x","address":["10.0.0.9"],"took":1900000}}`
	n.daemon("{}", ": still here\n\ndata: "+event+"\n\n")
	n.golden(exitOK, `13:59:00.000  pod.added             default/x  10.0.0.9 after 1.9 ms`, "events")
	n.golden(exitOK, event, "events", "--raw")
	n.golden(exitBlind, `
13:59:00.000  pod.added             default/x  10.0.0.9 after 1.9 ms
enichainctl: the stream of events ended: enichaind stopped
start it, and ask again`, "events", "--follow")
	n.golden(exitUsage, `
enichainctl: --type "[" is no shell pattern, such as 'pod.*'
try: enichainctl events --help`, "events", "--type", "[")
}

func TestWhy(t *testing.T) {
	n := full(t)
	n.golden(exitOK, `
web: has 10.110.10.10 for 45s

  14:00:00  eni-ipam ADD          1.9 ms
  14:00:00  pod.added             10.110.10.10 on eni-00
  14:00:01  routed-veth ADD       2.6 ms
  14:00:02  snat ADD              1.8 ms`, "why", "web")
	n.golden(exitWrong, `
default/other: this node's network was never asked for it

because   no stage ran for it in the time looked at: it is on another node, not scheduled yet, uses the host's network, or its image is still being pulled
do        kubectl describe pod; or look further back with --since`, "why", "default/other")

	n.flew(10*time.Second, "eni-ipam", "ADD", "shop/cart", "POOL_EMPTY", 20_000_000, 20_000_000)
	n.golden(exitWrong, `
shop/cart: no address: 1 attempt, the last 10s ago

  14:00:35  eni-ipam ADD          20.0 s POOL_EMPTY

because   the pool holds 8 addresses: 2 leased  4 warm  1 cooling  1 fenced; enichaind never ran on this node
do        systemctl restart enichaind`, "why", "shop/cart")
	n.alive()
	r := storetest.Request("shop-cart-373b7e98b5a1")
	r.Pod = "shop/cart"
	n.Do(func(tx *store.Tx) error { tx.Ticket(n.Now, r, n.Now.After(time.Minute)); return nil })
	n.Now = store.Now{Boot: n.Now.After(12 * time.Second), Wall: n.Now.Wall.Add(12 * time.Second)}
	text, code := n.run("why", "cart")
	for _, want := range []string{"cart: has waited 12s for an address of pool default\n", "pod.waiting", "; subnet-a (10.110.10.0/24) has 0 free addresses since 14:00:30, next try at 14:01:11\n",
		"do        add a subnet to the pool for this zone, or lower its warm target\n"} {
		if code != exitWrong || !strings.Contains(text, want) {
			t.Errorf("%d, want %q in %s", code, want, text)
		}
	}
	n.flew(2*time.Second, "portmap-compat", "ADD", "default/db", "PORT_TAKEN", 900, 0)
	if text, code := n.run("why", "default/db"); code != exitWrong || !strings.Contains(text, "holds 10.110.10.11, but is not wired: portmap-compat failed with PORT_TAKEN") {
		t.Errorf("%d %s", code, text)
	}
}

func TestTrace(t *testing.T) {
	n := full(t)
	n.way = way{Link: "eth0", Via: netip.MustParseAddr("10.110.10.1"), Table: 254}
	n.golden(exitOK, `
default/web  10.110.10.10  eni-00 (eth0, #0)  container default-web-373b7e98b5a1

  STAGE        TOOK    PUT INTO PLACE                       STILL THERE
  eni-ipam     1.9 ms  lease 10.110.10.10                   yes
  routed-veth  2.6 ms  link eni0; 1 route in enichain-pods  yes
  snat         1.8 ms  profile 1 in the link's group        yes
  all          6.3 ms  -                                    -

  a packet 10.110.10.10 → 1.1.1.1
  1  pod          default via 169.254.1.1 dev eth0   (its MAC, 02:5b:59:7b:c9:f7, is the wire's other end)
  2  routing      main: via 10.110.10.1 dev eth0
  3  postrouting  source becomes 10.110.10.5   nft inet enichain-snat
  4  leaves by    eth0 as 10.110.10.5   the VPC accepts: its own primary address`, "trace", "web", "--to", "1.1.1.1")
	n.view.Pods[0].Profile = 0
	if text, _ := n.run("trace", "web", "--to", "10.110.20.17"); !strings.Contains(text, "eth0 as 10.110.10.10   the VPC accepts: an address of eni-00") {
		t.Error(text)
	}
	n.way.Link = "eth1"
	if text, _ := n.run("trace", "web", "--to", "10.110.20.17"); !strings.Contains(text, "the VPC DROPS: an address of eni-00, not of eni-01") {
		t.Error(text)
	}
	n.view.Routes = nil
	if text, code := n.run("trace", "web"); code != exitWrong || !strings.Contains(text, "WRONG  routed-veth: a link and 1 route should be in the kernel") {
		t.Errorf("%d %s", code, text)
	}
	n.golden(exitWrong, `
enichainctl: this node holds no address for nobody
see why:  enichainctl why nobody`, "trace", "nobody")
}

func TestVersion(t *testing.T) {
	n := newNode(t)
	dir := filepath.Dir(n.Path())
	script := "#!/bin/sh\ncat > /dev/null\necho '{\"cniVersion\":\"1.1.0\",\"supportedVersions\":[\"1.0.0\"],\"io.enichain/release\":\"%s\"}'\n"
	for name, release := range map[string]string{"eni-ipam": "development", "snat": "v0.3.0"} {
		if err := os.WriteFile(filepath.Join(dir, name), fmt.Appendf(nil, script, release), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	n.daemon(`{"version":"development"}`, "")
	n.golden(exitWrong, `
PART            VERSION      WHERE
enichainctl     development  -
enichaind       development  -
eni-ipam        development  DIR/eni-ipam
routed-veth     -            not installed in DIR
snat            v0.3.0       DIR/snat
portmap-compat  -            not installed in DIR
enichain        -            not installed in DIR
mixed versions: install all parts of one release`, "version", "--cni-path", dir)
}

func TestPoolFilesThatCannotBeRead(t *testing.T) {
	n := newNode(t)
	if err := os.WriteFile(n.Path(), []byte("hello"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []string{"status", "pool", "leases", "enis", "events", "why x", "trace x"} {
		text, code := n.run(strings.Fields(c)...)
		if code != exitBlind || !strings.Contains(text, "it is damaged") || !strings.Contains(text, "restart enichaind") {
			t.Errorf("%s: %d %s", c, code, text)
		}
	}
}

// TestJSONKeys holds what scripts rely on: every key in small letters with humps, whatever the subcommand.
func TestJSONKeys(t *testing.T) {
	n := full(t)
	n.way = way{Link: "eth0", Via: netip.MustParseAddr("10.110.10.1"), Table: 254}
	n.alive()
	for _, c := range []string{"status", "pool", "leases", "leases --state cooling", "enis", "why web", "trace web --to 1.1.1.1", "version --cni-path /nowhere"} {
		text, _ := n.run(append(strings.Fields(c), "--format", "json")...)
		var v any
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			t.Errorf("%s: %v\n%s", c, err, text)
		}
		if key := regexp.MustCompile(`"([A-Z]\w*|\w*_\w*)":`).FindString(text); key != "" {
			t.Errorf("%s has the key %s\n%s", c, key, text)
		}
	}
}

func TestWrongArguments(t *testing.T) {
	n := newNode(t)
	for line, want := range map[string]string{
		"why":         "enichainctl: why takes one pod, but got 0\ntry: enichainctl why --help\n",
		"trace a b":   "enichainctl: trace takes one pod, but got 2\ntry: enichainctl trace --help\n",
		"status x":    "enichainctl: status takes no argument, but got \"x\"\ntry: enichainctl status --help\n",
		"pool --what": "enichainctl: unknown flag: --what\ntry: enichainctl pool --help\n",
	} {
		if text, code := n.run(strings.Fields(line)...); code != exitUsage || text != want {
			t.Errorf("%s: exit %d, %s", line, code, text)
		}
	}
	if err := os.Remove(n.Path()); err != nil {
		t.Fatal(err)
	}
	if text, code := n.run("pool", "--watch"); code != exitBlind || !strings.Contains(text, "is enichaind running here?") {
		t.Errorf("exit %d, %s", code, text)
	}
}

// TestPodsOfOneName are not taken for each other.
func TestPodsOfOneName(t *testing.T) {
	n := newNode(t, storetest.ENI(0, 4))
	n.pod("shop/web")
	n.pod("blog/web")
	n.golden(exitUsage, `
enichainctl: "web" could be each of blog/web, shop/web; say which
try: enichainctl why --help`, "why", "web")
	if text, code := n.run("why", "blog/web"); code != exitOK {
		t.Errorf("%d %s", code, text)
	}
	if text, _ := n.run("__complete", "why", ""); !strings.Contains(text, "blog/web\nshop/web\n") && !strings.Contains(text, "shop/web\nblog/web\n") {
		t.Error(text)
	}
}

// TestNoAddressLeft is bad news although all that runs is well.
func TestNoAddressLeft(t *testing.T) {
	n := newNode(t, storetest.ENI(0, 1))
	n.pod("default/web")
	n.alive()
	n.daemon(`{"version":"v1","bus":{"connected":true}}`, "data: "+`{"data":{"n":7,"at":"2026-11-20T13:59:00Z","boot":"b","verb":"pod.gaveup","container":"late-1",`+
		`"pod":"default/late","cause":"POOL_EMPTY no address for default/late: it said why"}}`+"\n\n")
	n.tell(nil, &ipam.Why{Code: ipam.WhyInstanceLimit, Text: "m5.large is full", Since: n.Now.Wall})
	if text, code := n.run("status"); code != exitWrong || !strings.Contains(text, "WRONG   the next pod has to wait for an address: m5.large is full\n") {
		t.Errorf("%d %s", code, text)
	}
	n.flew(10*time.Second, "eni-ipam", "ADD", "default/late", "POOL_EMPTY", 1000, 0)
	if text, code := n.run("why", "late"); code != exitWrong || !strings.Contains(text, "because   no address for default/late: it said why\n"+
		"do        use a larger instance type, or fewer pods per node\n") {
		t.Errorf("%d %s", code, text)
	}
}

// TestFullDisk: an answer that nobody can read is none.
func TestFullDisk(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	n := newNode(t, storetest.ENI(0, 2))
	var errs strings.Builder
	a := &app{out: full, err: &errs, clock: func() store.Now { return n.Now },
		boot: func() (string, error) { return storetest.Boot, nil }, getenv: func(string) string { return "" }}
	if code := a.run(t.Context(), []string{"pool", "--pool", n.Path()}); code != exitBlind || !strings.Contains(errs.String(), "no space left on device") {
		t.Errorf("exit %d: %s", code, errs.String())
	}
}

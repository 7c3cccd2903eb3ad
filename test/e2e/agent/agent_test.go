// Package agent_test runs the node's agent as a process of its own on a node with two network interfaces, fed from a
// file, with the real stages under cnitool.
package agent_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/store"
	"github.com/enichain/enichain/test/lab/fabric"
	"github.com/enichain/enichain/test/need"
	"github.com/enichain/enichain/test/transcript"
)

const list = `{"cniVersion":"1.0.0","name":"test","plugins":[{"type":"eni-ipam","wait":"10s"},{"type":"routed-veth"}]}`

var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "enichain-agent-")
	if err != nil {
		return "", err
	}
	cmd := exec.Command("go", "build", "-o", dir+"/", "./cmd/eni-ipam", "./cmd/routed-veth", "github.com/containernetworking/cni/cnitool")
	cmd.Dir, cmd.Env = "../../..", append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return dir, fmt.Errorf("cannot build the stages: %w\n%s", err, out)
	}
	self, err := os.Executable()
	if err != nil {
		return dir, err
	}
	return dir, os.Symlink(self, filepath.Join(dir, "node-agent"))
})

// world is one node in a VPC, and its agent.
type world struct {
	t      *testing.T
	node   *fabric.Node
	bin    string
	agent  *exec.Cmd
	log    *transcript.Log
	supply ipam.Supply
}

func newWorld(t *testing.T) *world {
	t.Helper()
	need.NetAdmin(t)
	need.Tool(t, "ip", "iproute2")
	need.Tool(t, "nft", "nftables")
	f, err := fabric.Up(t.Context(), fabric.Config{Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/16")},
		Subnets: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24"), netip.MustParsePrefix("10.0.1.0/24")}})
	must(t, err)
	t.Cleanup(func() { must(t, f.Close()) })
	w := &world{t: t, log: &transcript.Log{}}
	w.bin, err = build()
	must(t, err)
	w.node, err = f.Instance(t.Context(), "node-1")
	must(t, err)
	w.supply = ipam.Supply{VPC: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/16")},
		Policy: ipam.NodePolicy{Rev: 1},
		Pools: []ipam.SuppliedPool{{Name: "default", Families: []ipam.Family{ipam.IPv4}, Cooldown: time.Second, Low: 1, High: 4,
			Window: time.Minute}}}
	for d := range 2 {
		e := eni(d, 3)
		w.supply.ENIs = append(w.supply.ENIs, e)
		mac, err := net.ParseMAC(e.MAC)
		must(t, err)
		must(t, f.Attach(t.Context(), "node-1", fabric.Interface{ID: string(e.ENI), Device: d, MAC: mac, Boot: d == 0,
			Addresses: append([]netip.Addr{e.Primary}, eni(d, 8).Addresses...)}))
	}
	w.write("/etc/cni/net.d/10-test.conflist", list)
	w.tell()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("agent:\n%s", w.log)
			t.Logf("node:\n%s", w.sh("ip rule; ip route show table all proto 233; ip -br link"))
		}
	})
	return w
}

// eni is network interface d of the node with so many addresses for pods.
func eni(d, addresses int) ipam.SuppliedENI {
	e := ipam.SuppliedENI{ENI: ipam.ENIID(fmt.Sprintf("eni-%02d", d)), Attachment: ipam.AttachmentID(fmt.Sprintf("eni-attach-%02d", d)),
		Pool: "default", MAC: fmt.Sprintf("02:00:00:00:00:%02x", 16+d), Device: d, SubnetID: "subnet-1",
		Subnet: netip.MustParsePrefix(fmt.Sprintf("10.0.%d.0/24", d)), Primary: netip.MustParseAddr(fmt.Sprintf("10.0.%d.9", d)),
		Gateway: netip.MustParseAddr(fmt.Sprintf("10.0.%d.1", d)), PodsOK: true}
	for i := range addresses {
		e.Addresses = append(e.Addresses, netip.MustParseAddr(fmt.Sprintf("10.0.%d.%d", d, 10+i)))
	}
	return e
}

// tell writes the supply file, by rename as everybody should.
func (w *world) tell() {
	w.t.Helper()
	text, err := json.Marshal(w.supply)
	must(w.t, err)
	w.write(supplyPath+".new", string(text))
	must(w.t, os.Rename(w.node.Path(supplyPath+".new"), w.node.Path(supplyPath)))
}

func (w *world) write(path, text string) {
	w.t.Helper()
	must(w.t, os.MkdirAll(filepath.Dir(w.node.Path(path)), 0o755))
	must(w.t, os.WriteFile(w.node.Path(path), []byte(text), 0o644))
}

func (w *world) start() {
	w.t.Helper()
	cmd := w.node.Command(w.t.Context(), filepath.Join(w.bin, "node-agent"))
	cmd.Stdout, cmd.Stderr = w.log, w.log
	must(w.t, cmd.Start())
	w.agent = cmd
}

// kill is kill -9.
func (w *world) kill() {
	w.t.Helper()
	must(w.t, w.agent.Process.Kill())
	_ = w.agent.Wait() // it was killed: that is its error
}

func (w *world) sh(script string) string {
	w.t.Helper()
	out, err := w.node.Exec(w.t.Context(), "sh", "-euc", script)
	must(w.t, err)
	return out
}

func (w *world) cnitool(command, pod string) (string, error) {
	cmd := w.node.Command(w.t.Context(), filepath.Join(w.bin, "cnitool"), command, "test", "/run/netns/"+pod)
	cmd.Env = append(cmd.Env, "CNI_PATH="+w.bin, "NETCONFPATH=/etc/cni/net.d")
	var out, words bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &words
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s of %s: %w: %s%s", command, pod, err, out.String(), words.String())
	}
	return out.String(), nil
}

// add starts a pod and returns its address.
func (w *world) add(pod string) (netip.Addr, error) {
	if _, err := w.node.Exec(w.t.Context(), "ip", "netns", "add", pod); err != nil {
		return netip.Addr{}, err
	}
	out, err := w.cnitool("add", pod)
	if err != nil {
		return netip.Addr{}, err
	}
	var result struct {
		IPs []struct{ Address netip.Prefix } `json:"ips"`
	}
	if err := json.Unmarshal([]byte(out), &result); err != nil || len(result.IPs) != 1 {
		return netip.Addr{}, fmt.Errorf("result of %s: %v: %s", pod, err, out)
	}
	return result.IPs[0].Address.Addr(), nil
}

func (w *world) mustAdd(pod string) netip.Addr {
	w.t.Helper()
	a, err := w.add(pod)
	must(w.t, err)
	return a
}

func (w *world) del(pod string) {
	w.t.Helper()
	_, err := w.cnitool("del", pod)
	must(w.t, err)
	w.sh("ip netns del " + pod)
}

func (w *world) state() (s store.State, err error) {
	st := store.New(w.node.Path(poolPath), store.Options{})
	err = st.View(w.t.Context(), func(tx *store.Tx) error { s = tx.State(); return nil })
	return s, err
}

// leases are the addresses in the pool file that somebody holds.
func (w *world) leases() []string {
	w.t.Helper()
	s, err := w.state()
	must(w.t, err)
	held := []string{}
	for _, l := range s.Leases {
		held = append(held, l.Addresses[0].String()+" "+l.Network)
	}
	slices.Sort(held)
	return held
}

// eventually waits for the pool file, or what else is asked, to be as wanted.
func (w *world) eventually(what string, is func() (bool, string)) {
	w.t.Helper()
	var got string
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		var ok bool
		if ok, got = is(); ok {
			return
		}
	}
	w.t.Fatalf("%s: still %s", what, got)
}

// warm waits for so many free addresses.
func (w *world) warm(want int) {
	w.t.Helper()
	w.eventually(fmt.Sprintf("%d free addresses", want), func() (bool, string) {
		s, err := w.state()
		free := 0
		for _, a := range s.Addresses {
			if a.State == ipam.Free {
				free++
			}
		}
		return err == nil && free == want, fmt.Sprintf("%d, %v", free, err)
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestPodsGetAddressesAndThePoolRefills(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.warm(6)
	got := map[int]int{}
	for i := range 6 {
		a := w.mustAdd(fmt.Sprintf("pod%d", i))
		got[int(a.As4()[2])]++
	}
	if diff := cmp.Diff(map[int]int{0: 3, 1: 3}, got); diff != "" {
		t.Errorf("pods per network interface (-want +got):\n%s", diff)
	}
	served := make(chan error, 1)
	go func() {
		_, err := w.add("late")
		served <- err
	}()
	w.eventually("a pod that waits", func() (bool, string) {
		s, err := w.state()
		return len(s.Tickets) == 1, fmt.Sprintf("%d tickets, %v", len(s.Tickets), err)
	})
	w.supply.ENIs[1] = eni(1, 5)
	w.tell()
	if err := <-served; err != nil {
		t.Fatal(err)
	}
	w.warm(1)
	for i := range 6 {
		w.del(fmt.Sprintf("pod%d", i))
	}
	w.del("late")
	w.warm(8)
	w.eventually("severed links to be swept", func() (bool, string) {
		left := strings.TrimSpace(w.sh("ip -br link show type veth | grep -v '^eth' || true"))
		return left == "", left
	})
}

func TestAgentIsKilledAndComesBack(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.warm(6)
	w.mustAdd("a")
	before, err := w.state()
	must(t, err)
	w.kill()
	w.mustAdd("b") // nobody needs the agent for that
	w.del("a")
	w.start()
	w.warm(5) // what a had cools and comes back: the agent is at work
	after, err := w.state()
	must(t, err)
	if after.Meta.Inc != before.Meta.Inc {
		t.Errorf("inc %s became %s: the pool file was made anew", before.Meta.Inc, after.Meta.Inc)
	}
	if len(after.Leases) != 1 || after.Leases[0].Netns != "/run/netns/b" {
		t.Errorf("leases %+v", after.Leases)
	}
}

func TestPoolFileIsRebuilt(t *testing.T) {
	for _, tc := range []struct {
		name string
		lose func(w *world)
	}{
		{"under the agent", func(w *world) { w.sh("rm " + poolPath) }},
		{"while the agent is dead", func(w *world) { w.kill(); w.sh("rm " + poolPath); w.start() }},
		{"with the ledger", func(w *world) { w.kill(); w.sh("rm " + poolPath + " /var/lib/enichain/ledger"); w.start() }},
		{"with the runtime's cache: the links' notes are left", func(w *world) { w.sh("rm -r /var/lib/cni/results " + poolPath) }},
		{"cut short", func(w *world) { w.kill(); w.sh("truncate -s 5000 " + poolPath); w.start() }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			w.start()
			w.warm(6)
			w.mustAdd("a")
			w.mustAdd("b")
			before := w.leases()
			first, err := w.state()
			must(t, err)
			tc.lose(w)
			w.warm(4)
			s, err := w.state()
			must(t, err)
			if s.Meta.Inc == first.Meta.Inc {
				t.Error("the pool file was not made anew")
			}
			if diff := cmp.Diff(before, w.leases()); diff != "" {
				t.Errorf("leases (-before +after):\n%s", diff)
			}
			c := w.mustAdd("c")
			if slices.Contains(before, c.String()+" test") {
				t.Errorf("%s was leased twice", c)
			}
			for _, pod := range []string{"a", "b", "c"} {
				w.del(pod)
			}
			w.warm(6)
		})
	}
}

func TestFlushedRulesAreMended(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.warm(6)
	for i := range 4 {
		w.mustAdd(fmt.Sprintf("pod%d", i))
	}
	state := func() string { return w.sh("ip rule; ip -6 rule; ip route show table 1000; ip route show table 1001") }
	w.eventually("rule of eth1", func() (bool, string) { got := state(); return strings.Contains(got, "1500:"), got })
	before := state()
	for _, blow := range []string{"ip rule flush", "ip route flush table 1000", "ip route flush table 1001", "nft delete table inet enichain-routed-veth"} {
		table := w.steering()
		began := time.Now()
		w.sh(blow)
		w.eventually(blow, func() (bool, string) {
			got := state()
			now := w.steering()
			return got == before && now == table, got + now
		})
		t.Logf("%s: mended after %s", blow, time.Since(began).Round(time.Millisecond))
	}
}

// steering is the table of routed-veth. Its chains stand in the order in which they were made, which says nothing: here by name.
func (w *world) steering() string {
	table := strings.TrimSuffix(w.sh("nft list table inet enichain-routed-veth 2>&1 || true"), "}")
	parts := strings.Split(strings.TrimRight(table, "\n"), "\n\n")
	slices.Sort(parts[1:])
	return strings.Join(parts, "\n\n")
}

func TestLeaseOfAPodThatVanishedIsSwept(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.warm(6)
	w.mustAdd("a")
	w.mustAdd("b")
	w.sh("ip netns del a") // and no DEL, ever
	w.warm(5)
	if got := w.leases(); len(got) != 1 {
		t.Errorf("leases %v", got)
	}
}

func TestBadSupplyFileChangesNothing(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.warm(6)
	w.write(supplyPath, `{"enis": [`)
	w.eventually("the fault in the log", func() (bool, string) {
		text := w.log.String()
		return strings.Contains(text, "cannot read supply file "+supplyPath), text
	})
	w.warm(6)
}

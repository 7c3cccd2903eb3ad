package routedveth_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/enichain/enichain/stages"
	"github.com/enichain/enichain/stages/internal/link"
	"github.com/enichain/enichain/stages/internal/linktest"
	"github.com/enichain/enichain/stages/routedveth"
)

func TestBothFamilies(t *testing.T) {
	n := newNode(t, setup6)
	n.prepare(routedveth.ENI{N: 0, MAC: mac0})
	n.prepare(eni1six)
	pod := linktest.New(t)
	pod.Script("sysctl -qw net.ipv6.conf.default.disable_ipv6=1") // as container engines leave it
	r := request(t, "c1", pod, onENI("eth1", mac1, "10.0.1.21", "fd00:2::21"))
	added := n.add(r)
	same(t, "pod's IPv6 routes", "default via fe80::1 dev eth0 metric 1024 pref medium", pod.Routes("-6"))
	if got := pod.Run("ip", "-6", "address", "show", "dev", "eth0"); !strings.Contains(got, "fd00:2::21/128 scope global nodad") {
		t.Errorf("pod's addresses %s", got)
	}
	if got := n.Run("ip", "-6", "-o", "address", "show", "dev", n.hostName(r)); strings.Count(got, "inet6") != 1 || !strings.Contains(got, "fe80::1/128") {
		t.Errorf("the host end has other addresses than the pod's next hop: %s", got)
	}
	if got := n.Routes("-6"); !strings.Contains(got, "fd00:2::21 dev "+n.hostName(r)+" table 1000 src fd00:1::10") {
		t.Errorf("routes %s", got)
	}
	if routes, _ := json.Marshal(added.Routes); string(routes) !=
		`[{"dst":"10.0.0.0/16"},{"dst":"0.0.0.0/0","gw":"169.254.1.1"},{"dst":"::/0","gw":"fe80::1"}]` {
		t.Errorf("routes %s", routes)
	}
	if err := n.check(r, added); err != nil {
		t.Error(err)
	}
	n.Script("ip link set " + n.hostName(r) + " mtu 1200; ip link set " + n.hostName(r) + " mtu 9001")
	if f := isToken(n.check(r, added), stages.Drift, "fd00:2::21"); f != "" {
		t.Errorf("after the MTU dipped: %s", f)
	}
	n.in(func() error { _, err := routedveth.Repair(t.Context(), nil); return err })
	if err := n.check(r, added); err != nil {
		t.Errorf("after Repair: %v", err)
	}
	n.del(r)
	if got := n.Routes("-6"); strings.Contains(got, "fd00:2::21") {
		t.Errorf("routes after DEL: %s", got)
	}
}

// On any machine, with addresses from anywhere: routes in the main table, and nothing of nft or rules.
func TestWithoutENI(t *testing.T) {
	n := newNode(t)
	pod := linktest.New(t)
	r := request(t, "c1", pod, `{"ips":[{"address":"192.168.100.5/24","gateway":"192.168.100.1"}],
		"routes":[{"dst":"10.96.0.0/12","gw":"192.168.100.1"},{"dst":"0.0.0.0/0"}]}`)
	added := n.add(r)
	text, _ := json.Marshal(added)
	if want := `"ips":[{"address":"192.168.100.5/32","gateway":"169.254.1.1","interface":1}]`; !strings.Contains(string(text), want) {
		t.Errorf("result %s\nlacks %s", text, want)
	}
	if want := `"routes":[{"dst":"10.96.0.0/12","gw":"169.254.1.1"},{"dst":"0.0.0.0/0","gw":"169.254.1.1"}]`; !strings.Contains(string(text), want) {
		t.Errorf("result %s\nlacks %s", text, want)
	}
	same(t, "routes", "192.168.100.5 dev "+n.hostName(r)+" scope link src 10.0.0.10", n.Routes("-4"))
	same(t, "rules", "32766: from all lookup main\n32767: from all lookup default", n.Rules("-4"))
	if got := n.Ruleset("inet", "enichain-routed-veth"); got != "" {
		t.Errorf("steering without a network interface: %s", got)
	}
	if err := n.check(r, added); err != nil {
		t.Error(err)
	}
	n.del(r)
	same(t, "routes", "", n.Routes("-4"))
}

func TestAddRefuses(t *testing.T) {
	n := newNode(t)
	n.prepare(routedveth.ENI{N: 0, MAC: mac0})
	pod := linktest.New(t)
	with := func(prev string, config ...string) *stages.Request {
		r := request(t, "c1", pod, prev)
		if len(config) > 0 {
			r.Config = []byte(`{"cniVersion":"1.0.0","name":"enichain","type":"routed-veth",` + config[0] + `}`)
		}
		return r
	}
	one := onENI("eth0", mac0, "10.0.0.21")
	for name, c := range map[string]struct {
		r     *stages.Request
		token stages.Token
		words string
	}{
		"first of the list":   {with(""), stages.NoPrevResult, "put a stage that gives one before routed-veth"},
		"two sources":         {with(one, `"ipam":{"type":"host-local"}`), stages.Config, "two sources of addresses"},
		"wired already":       {with(`{"interfaces":[{"name":"eth0","sandbox":"/x"}],"ips":[{"address":"10.0.0.21/32","interface":0}]}`), stages.Config, "two stages that make interfaces"},
		"other interface's":   {with(`{"interfaces":[{"name":"net1","sandbox":"/x"}],"ips":[{"address":"10.0.0.21/32","interface":0}]}`), stages.PrevResult, "belong to other interfaces"},
		"two ENIs":            {with(`{"interfaces":[{"name":"eth0","mac":"` + mac0 + `"},{"name":"eth1","mac":"` + mac1 + `"}],"ips":[{"address":"10.0.0.21/32","interface":0},{"address":"10.0.1.21/32","interface":1}]}`), stages.PrevResult, "two network interfaces, eth0 and eth1"},
		"ENI not here":        {with(onENI("eth7", "0a:00:00:00:00:77", "10.0.7.21")), stages.ENINotReady, "eth7 for enichain/c1/eth0: no link has its MAC"},
		"ENI not prepared":    {with(onENI("eth1", mac1, "10.0.1.21")), stages.ENINotReady, "not prepared (group 0, want 6872 to 6999)"},
		"unknown key":         {with(one, `"mtuu":1500`), stages.Config, `did you mean "mtu"?`},
		"all faults at once":  {with(one, `"mtu":70000,"vethPrefix":"toolong","hostVeth":"x"`), stages.Config, "vethPrefix: want 1 to 4 bytes"},
		"mtu out of range":    {with(one, `"mtu":67`), stages.Config, "mtu: want 0 (the network interface's) or 68 to 65535 bytes, got 67"},
		"mtu below IPv6's":    {with(onENI("eth0", mac0, "fd00:1::21"), `"mtu":1279`), stages.Config, "below IPv6's least"},
		"ipam without a type": {with("", `"ipam":{"ranges":[]}`), stages.Config, "ipam.type: the plugin's name is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := n.tryAdd(c.r)
			if f := isToken(err, c.token, c.words); f != "" {
				t.Error(f)
			}
			if len(err.Error()) > 300 {
				t.Errorf("%d bytes: %s", len(err.Error()), err)
			}
		})
	}
	if got := pod.Run("ip", "-o", "link"); strings.Count(got, "\n") != 1 {
		t.Errorf("left in the pod: %s", got)
	}
	if got := n.Run("ip", "-o", "link"); strings.Count(got, "\n") != 3 {
		t.Errorf("left in the node: %s", got)
	}
	same(t, "routes", "", n.Routes("-4"))
}

func TestAForeignInterfaceIsLeftAlone(t *testing.T) {
	n := newNode(t)
	pod := linktest.New(t)
	pod.Script("ip link add eth0 type veth peer name x0; ip link set eth0 address 02:00:00:00:00:01")
	before := pod.Run("ip", "-o", "link")
	r := request(t, "c1", pod, `{"ips":[{"address":"192.168.100.5/24"}]}`)
	_, err := n.tryAdd(r)
	if f := isToken(err, stages.IfNameTaken, "eth0"); f != "" {
		t.Error(f)
	}
	n.del(r)
	same(t, "pod's links", before, pod.Run("ip", "-o", "link"))
}

// Kubelet retries a pod with a new sandbox: same pod, same host name wanted, and the old one's DEL may come late.
func TestTwoSandboxesOfOnePod(t *testing.T) {
	n := newNode(t)
	sandboxes := []*linktest.NS{linktest.New(t), linktest.New(t), linktest.New(t)}
	var rs []*stages.Request
	for i, ns := range sandboxes {
		r := request(t, fmt.Sprintf("sandbox%d", i), ns, fmt.Sprintf(`{"ips":[{"address":"192.168.100.%d/24"}]}`, i+5))
		r.Pod = stages.Pod{Namespace: "kube-system", Name: "tmp-shell"}
		rs = append(rs, r)
	}
	first, second := n.add(rs[0]), n.add(rs[1])
	if got := first.Interfaces[0].Name; got != "enie5da25cfd1a" {
		t.Errorf("host end %s, want the name that Calico and aws-node look for", got)
	}
	if got, want := second.Interfaces[0].Name, link.HostName("eni", "enichain/sandbox1/eth0"); got != want {
		t.Errorf("host end %s while the name is taken, want %s", got, want)
	}
	n.del(rs[0]) // late
	if err := n.check(rs[1], second); err != nil {
		t.Errorf("the new sandbox after the old one's DEL: %v", err)
	}
	third := n.add(rs[2])
	if got := third.Interfaces[0].Name; got != "enie5da25cfd1a" {
		t.Errorf("host end %s, want the leftover's name", got)
	}
	n.del(rs[0]) // again, without anything of its own left
	if err := n.check(rs[2], third); err != nil {
		t.Errorf("after a DEL of an owner long gone: %v", err)
	}
	rs[1].Pod = stages.Pod{} // a runtime that forgot the pod's name
	n.del(rs[1])
	if f := isToken(n.check(rs[1], second), stages.Drift, "is down"); f != "" {
		t.Error(f)
	}
}

func TestGC(t *testing.T) {
	n := newNode(t)
	var rs []*stages.Request
	for i := range 4 {
		r := request(t, fmt.Sprintf("c%d", i), linktest.New(t), fmt.Sprintf(`{"ips":[{"address":"192.168.100.%d/24"}]}`, i+5))
		if i == 3 {
			r.Network = "other"
		}
		n.add(r)
		rs = append(rs, r)
	}
	n.del(rs[2])
	gc := func(valid []stages.Attachment) {
		t.Helper()
		r := *rs[0]
		r.Command, r.Valid = "GC", valid
		n.in(func() error { return routedveth.Stage{}.GC(t.Context(), &r) })
	}
	links := func() string {
		var out []string
		for _, r := range rs {
			if _, err := n.Try("ip", "link", "show", n.hostName(r)); err == nil {
				out = append(out, r.Container)
			}
		}
		return strings.Join(out, " ")
	}
	gc(nil)
	same(t, "without a list", "c0 c1 c2 c3", links())
	gc([]stages.Attachment{rs[1].Attachment})
	same(t, "one is valid", "c1 c3", links())
	gc([]stages.Attachment{})
	same(t, "none is valid", "c3", links())
}

// delegate stands for an IPAM plugin: it writes down what it is called for, and gives one address.
const delegate = `#!/bin/sh
cat > /dev/null
echo $CNI_COMMAND >> LOG
if [ -e LOG.fail-$CNI_COMMAND ]; then echo '{"cniVersion":"1.0.0","code":11,"msg":"POOL_EMPTY nothing"}'; exit 1; fi
if [ $CNI_COMMAND = ADD ]; then echo '{"cniVersion":"1.0.0","ips":[{"address":"192.168.100.9/24","gateway":"192.168.100.1"}]}'; fi
`

func TestDelegate(t *testing.T) {
	n := newNode(t)
	dir := t.TempDir()
	log := filepath.Join(dir, "log")
	if err := os.WriteFile(filepath.Join(dir, "pool"), []byte(strings.ReplaceAll(delegate, "LOG", log)), 0o755); err != nil {
		t.Fatal(err)
	}
	pod := linktest.New(t)
	r := request(t, "c1", pod, "")
	r.Path, r.Environ = []string{dir}, os.Environ()
	r.Config = []byte(`{"cniVersion":"1.0.0","name":"enichain","type":"routed-veth","ipam":{"type":"pool","any":1}}`)
	calls := func() string {
		b, _ := os.ReadFile(log)
		os.Remove(log)
		return strings.Join(strings.Fields(string(b)), " ")
	}
	added := n.add(r)
	if got := added.IPs[0].Address.String(); got != "192.168.100.9/32" {
		t.Errorf("address %s", got)
	}
	if err := n.check(r, added); err != nil {
		t.Error(err)
	}
	n.in(func() error { return routedveth.Stage{}.Status(t.Context(), r) })
	gc := *r
	gc.Valid = []stages.Attachment{r.Attachment}
	n.in(func() error { return routedveth.Stage{}.GC(t.Context(), &gc) })
	same(t, "calls", "ADD CHECK STATUS GC", calls())
	again := *r
	again.Container = "c2"
	if _, err := n.tryAdd(&again); err == nil {
		t.Error("a second eth0 in the same container")
	}
	same(t, "calls of an ADD beside a container that lives", "", calls())
	again.Netns = linktest.New(t).Path()
	n.Script("ip link add " + n.hostName(&again) + " up type veth peer name x0")
	if _, err := n.tryAdd(&again); err == nil {
		t.Error("the host end has another's name")
	}
	same(t, "calls of an ADD that failed", "ADD DEL", calls())
	n.del(r)
	same(t, "calls", "DEL", calls())
	if err := os.WriteFile(log+".fail-STATUS", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	err := n.try(func() error { return routedveth.Stage{}.Status(t.Context(), r) })
	var e *stages.Error
	if !errors.As(err, &e) || e.Code != 11 || !strings.Contains(e.Text, "POOL_EMPTY nothing") {
		t.Errorf("STATUS of a delegate that fails: %v", err)
	}
}

// With the agent dead, an ADD finds that others flushed the base, and rebuilds it.
func TestAddRebuildsTheBase(t *testing.T) {
	for _, accident := range []string{"ip rule flush; ip rule add pref 32766 lookup main", "nft flush ruleset", "ip route flush table 1001",
		"ip link set eth1 group 0"} {
		t.Run(accident, func(t *testing.T) {
			n := newNode(t)
			n.prepare(routedveth.ENI{N: 0, MAC: mac0})
			n.prepare(eni1)
			n.Script(accident)
			r := request(t, "c1", linktest.New(t), onENI("eth1", mac1, "10.0.1.21"))
			added := n.add(r)
			if err := n.check(r, added); err != nil {
				t.Error(err)
			}
			n.in(func() error { return routedveth.Verify(t.Context(), eni1) })
		})
	}
	t.Run("on the primary one nothing was prepared at all", func(t *testing.T) {
		n := newNode(t)
		r := request(t, "c1", linktest.New(t), onENI("eth0", mac0, "10.0.0.21"))
		added := n.add(r)
		if err := n.check(r, added); err != nil {
			t.Error(err)
		}
		n.in(func() error { return routedveth.Verify(t.Context(), routedveth.ENI{N: 0, MAC: mac0}) })
	})
}

func TestInspect(t *testing.T) {
	n := newNode(t)
	n.prepare(routedveth.ENI{N: 0, MAC: mac0})
	n.prepare(eni1)
	a := request(t, "c1", linktest.New(t), onENI("eth1", mac1, "10.0.1.21"))
	b := request(t, "c2", linktest.New(t), onENI("eth0", mac0, "10.0.0.21"))
	n.add(a)
	n.add(b)
	n.del(b)
	var v routedveth.View
	n.in(func() (err error) { v, err = routedveth.Inspect(t.Context()); return err })
	if len(v.ENIs) != 2 || v.ENIs[1].N != 1 || v.ENIs[1].MAC != mac1 || v.ENIs[1].ENI.Gateway != eni1.Gateway {
		t.Errorf("network interfaces %+v", v.ENIs)
	}
	if len(v.Pods) != 2 || v.Pods[0].Owner != "enichain/c1/eth0" || v.Pods[0].N != 1 || v.Pods[0].Severed || !v.Pods[1].Severed {
		t.Errorf("pods %+v", v.Pods)
	}
	if len(v.Routes) != 1 || v.Routes[0].Addr.String() != "10.0.1.21" || v.Routes[0].Owner != "enichain/c1/eth0" {
		t.Errorf("routes %+v", v.Routes)
	}
	same(t, "rules", "500: from all lookup 1000\n1499: from 10.0.1.20 lookup 1001\n1500: from all fwmark 0x1/0x7f lookup 1001", strings.Join(v.Rules, "\n"))
	for addr, want := range map[string]bool{"10.0.1.21": true, "10.0.0.21": false, "10.0.0.10": false} {
		n.in(func() error {
			got, err := routedveth.Routed(mustAddr(addr))
			if got != want {
				t.Errorf("Routed(%s) = %v", addr, got)
			}
			return err
		})
	}
}

// TestPodsInAnyOrder walks between pods added and deleted at random; the routes must be those of the pods that live.
func TestPodsInAnyOrder(t *testing.T) {
	n := newNode(t)
	n.prepare(routedveth.ENI{N: 0, MAC: mac0})
	n.prepare(eni1)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	pods := make([]*stages.Request, 4)
	results := make([]*stages.Result, len(pods))
	for i := range pods {
		pods[i] = request(t, fmt.Sprintf("c%d", i), linktest.New(t), onENI("eth1", mac1, fmt.Sprintf("10.0.1.%d", 21+i)))
	}
	for range 40 {
		i := random.IntN(len(pods))
		if results[i] == nil {
			results[i] = n.add(pods[i])
		} else {
			n.del(pods[i])
			results[i] = nil
		}
		want := ""
		for i, r := range pods {
			if results[i] != nil {
				want += fmt.Sprintf("10.0.1.%d dev %s table 1000 scope link src 10.0.0.10\n", 21+i, n.hostName(r))
				if err := n.check(r, results[i]); err != nil {
					t.Errorf("%s: %v", r.Container, err)
				}
			}
		}
		same(t, "routes", strings.Join(sortedLines(want+routes1+"\n"), "\n"), strings.Join(sortedLines(n.Routes("-4")), "\n"))
		if t.Failed() {
			return
		}
	}
}

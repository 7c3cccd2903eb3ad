package routedveth_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/enichain/enichain/stages"
	"github.com/enichain/enichain/stages/internal/link"
	"github.com/enichain/enichain/stages/internal/linktest"
	"github.com/enichain/enichain/stages/routedveth"
)

func TestAdd(t *testing.T) {
	n := newNode(t)
	n.prepare(routedveth.ENI{N: 0, MAC: mac0})
	n.prepare(eni1)
	pod := linktest.New(t)
	r := request(t, "c1", pod, onENI("eth1", mac1, "10.0.1.21"))
	got := n.add(r)
	text, _ := json.MarshalIndent(got, "", " ")
	same(t, "result", strings.ReplaceAll(`{
 "cniVersion": "1.0.0",
 "interfaces": [
  {
   "mac": "02:35:91:64:85:60",
   "mtu": 9001,
   "name": "eni35916485606"
  },
  {
   "mac": "02:67:e6:15:11:08",
   "mtu": 9001,
   "name": "eth0",
   "sandbox": "NETNS"
  }
 ],
 "ips": [
  {
   "address": "10.0.1.21/32",
   "gateway": "169.254.1.1",
   "interface": 1
  }
 ],
 "routes": [
  {
   "dst": "10.0.0.0/16"
  },
  {
   "dst": "0.0.0.0/0",
   "gw": "169.254.1.1"
  }
 ]
}`, "NETNS", pod.Path()), string(text))
	same(t, "pod's routes", "default via 169.254.1.1 dev eth0\n169.254.1.1 dev eth0 scope link", pod.Routes("-4"))
	if got := pod.Run("ip", "neigh"); !strings.Contains(got, "169.254.1.1 dev eth0 lladdr "+host(t, n, r)+" PERMANENT") {
		t.Errorf("pod's neighbours %s", got)
	}
	same(t, "node's routes", "10.0.1.21 dev "+n.hostName(r)+" table 1000 scope link src 10.0.0.10\n"+routes1, n.Routes("-4"))
	if got := n.Run("ip", "-d", "link", "show", n.hostName(r)); !strings.Contains(got, "group 7001") ||
		!strings.Contains(got, "alias enichain/c1/eth0 10.0.1.21") || !strings.Contains(got, "addrgenmode none") {
		t.Errorf("host end %s", got)
	}
	if err := n.check(r, got); err != nil {
		t.Errorf("CHECK: %v", err)
	}
	if _, err := n.tryAdd(r); isToken(err, stages.IfNameTaken, "eth0") != "" {
		t.Error(isToken(err, stages.IfNameTaken, "eth0"))
	}
	if err := n.check(r, got); err != nil {
		t.Errorf("CHECK after the refused ADD: %v", err)
	}
	for range 2 {
		n.del(r)
	}
	same(t, "node's routes", routes1, n.Routes("-4"))
	n.add(r) // the leftover gives way
	r.Netns, r.Prev = "", nil
	n.del(r)
	var swept []string
	n.in(func() (err error) { swept, err = routedveth.Sweep(t.Context()); return err })
	if len(swept) != 1 || !strings.HasSuffix(swept[0], "enichain/c1/eth0") {
		t.Errorf("swept %q", swept)
	}
	if out := n.Run("ip", "-o", "link"); strings.Contains(out, n.hostName(r)) {
		t.Errorf("left: %s", out)
	}
}

// hostName and host are the name and the MAC of the host's end.
func (n *node) hostName(r *stages.Request) string {
	return link.HostName("eni", r.Attachment.String())
}

func host(t *testing.T, n *node, r *stages.Request) string {
	words := strings.Fields(n.Run("ip", "-o", "link", "show", n.hostName(r)))
	return after(words, "link/ether")
}

// A second interface of the pod, of whatever network, leaves the first one its routes; they are there when the first
// one goes.
func TestSecondInterface(t *testing.T) {
	n := newNode(t, setup6)
	n.prepare(routedveth.ENI{N: 0, MAC: mac0})
	pod := linktest.New(t)
	first := request(t, "c1", pod, onENI("eth0", mac0, "10.0.0.21", "fd00:1::21"))
	second := request(t, "c1", pod, onENI("eth0", mac0, "10.0.0.22", "fd00:1::22"))
	second.IfName = "net1"
	later := n.add(second)
	added := n.add(first)
	for r, result := range map[*stages.Request]*stages.Result{first: added, second: later} {
		if err := n.check(r, result); err != nil {
			t.Errorf("CHECK of %s: %v", r.Attachment, err)
		}
	}
	for _, to := range []string{"192.0.2.1", "2001:db8::1"} {
		if got := pod.Run("ip", "route", "get", to); !strings.Contains(got, "dev eth0") {
			t.Errorf("with two interfaces: %s", got)
		}
	}
	pod.Script("ip link set lo up; sysctl -qw net.ipv4.conf.all.rp_filter=1")
	for _, address := range []string{"10.0.0.21", "fd00:1::21", "10.0.0.22", "fd00:1::22"} {
		connect(t, n.NS, pod, address)
	}
	if got := pod.Run("ip", "route", "get", "192.0.2.1", "from", "10.0.0.22"); !strings.Contains(got, "dev net1") {
		t.Errorf("what has the second's address as source: %s", got)
	}
	pod.Run("ip", "link", "set", "eth0", "down")
	for _, to := range []string{"192.0.2.1", "2001:db8::1"} {
		if got := pod.Run("ip", "route", "get", to); !strings.Contains(got, "dev net1") {
			t.Errorf("with the second alone: %s", got)
		}
	}
	late := *second // a DEL repeated after another network got the name
	late.Network = "before"
	n.del(&late)
	if err := n.check(second, later); err != nil {
		t.Errorf("after another network's late DEL: %v", err)
	}
	pod.Run("ip", "rule", "del", "from", "10.0.0.22")
	if f := isToken(n.check(second, later), stages.Drift, `the rule "1500: from 10.0.0.22 lookup 200`, "ip -4 rule"); f != "" {
		t.Error(f)
	}
	pod.Script("ip link add net9 type veth peer name net8; ip rule add from 10.0.0.22 table 2999 pref 1500 protocol 233")
	n.del(second)
	n.add(second)
	if got := pod.Rules("-4") + pod.Rules("-6"); strings.Count(got, "proto 233") != 2 {
		t.Errorf("after DEL and ADD: %s", got)
	}
	n.del(second)
	if got := pod.Rules("-4") + pod.Rules("-6"); strings.Contains(got, "proto 233") {
		t.Errorf("after DEL: %s", got)
	}
}

// The names of a network and a container may be longer than a link's note.
func TestLongNames(t *testing.T) {
	n := newNode(t)
	pod := linktest.New(t)
	r := request(t, strings.Repeat("c", 150), pod, `{"ips":[{"address":"192.168.100.5/24"}]}`)
	r.Network = strings.Repeat("n", 100)
	n.add(r)
	gc := &stages.Request{Command: "GC", Version: "1.1.0", Config: r.Config, Valid: []stages.Attachment{r.Attachment}}
	gc.Network = r.Network
	n.in(func() error { return routedveth.Stage{}.GC(t.Context(), gc) })
	if got := n.Run("ip", "-o", "link"); !strings.Contains(got, n.hostName(r)) {
		t.Errorf("GC took a valid attachment: %s", got)
	}
	gc.Valid = []stages.Attachment{}
	n.in(func() error { return routedveth.Stage{}.GC(t.Context(), gc) })
	if got := n.Run("ip", "-o", "link"); strings.Contains(got, n.hostName(r)) {
		t.Errorf("GC left: %s", got)
	}
}

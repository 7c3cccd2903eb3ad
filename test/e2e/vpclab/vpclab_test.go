package vpclab_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/enichain/enichain/test/need"
)

func TestInterfacesAppearAndVanish(t *testing.T) {
	b := newBench(t)
	b.must("up", "--name", "links", "--no-daemons", "--speed", "10x")
	instance := b.aws("links", "describe-instances", "--filters", "Name=tag:Name,Values=node-1", "--query", "Reservations[0].Instances[0].InstanceId")
	subnet := b.aws("links", "describe-subnets", "--query", "Subnets[0].SubnetId")
	said := b.must("exec", "node-1", "--", "sh", "-c", `m=http://169.254.169.254/latest
		t=$(curl -s -m 2 -X PUT -H "X-aws-ec2-metadata-token-ttl-seconds: 60" $m/api/token)
		curl -s -m 2 -H "X-aws-ec2-metadata-token: $t" $m/meta-data/instance-id`)
	if said != instance {
		t.Errorf("node-1's metadata service says it is %q, want %s", said, instance)
	}
	made := strings.Fields(b.aws("links", "create-network-interface", "--subnet-id", subnet, "--secondary-private-ip-address-count", "2",
		"--query", "NetworkInterface.[NetworkInterfaceId,MacAddress]"))
	attachment := b.aws("links", "attach-network-interface", "--network-interface-id", made[0], "--instance-id", instance, "--device-index", "1",
		"--query", "AttachmentId")
	eventually(t, "eth1 has the interface's MAC", func() bool {
		return strings.Contains(b.run("exec", "node-1", "--", "ip", "-o", "link", "show", "eth1").out, made[1])
	})
	b.aws("links", "assign-private-ip-addresses", "--network-interface-id", made[0], "--secondary-private-ip-address-count", "3")
	addresses := strings.Fields(b.aws("links", "describe-network-interfaces", "--network-interface-ids", made[0],
		"--query", "NetworkInterfaces[0].PrivateIpAddresses[?Primary==`false`].PrivateIpAddress"))
	if len(addresses) != 5 {
		t.Errorf("secondary addresses: %v, want 2 and 3", addresses)
	}
	// An address of eth1 may leave by eth1 and be answered; from eth0 the VPC drops it.
	b.must("exec", "node-1", "--", "sh", "-c", fmt.Sprintf(`ip link set eth1 up; ip address add %[1]s/32 dev eth1
		ip route add default via 10.110.10.1 dev eth1 onlink table 77; ip rule add from %[1]s lookup 77`, addresses[0]))
	eventually(t, "the address of eth1 reaches the client", func() bool {
		return b.run("exec", "node-1", "--", "curl", "-s", "-m", "2", "--interface", addresses[0], "http://192.168.100.10").out ==
			"hello from client; you are "+addresses[0]
	})
	if r := b.run("drops"); r.code != 0 {
		t.Errorf("a packet was dropped for its source:\n%s", r.out)
	}
	b.must("exec", "node-1", "--", "ip", "rule", "del", "from", addresses[0])
	b.run("exec", "node-1", "--", "curl", "-s", "-m", "1", "--interface", addresses[0], "http://192.168.100.10")
	if r := b.run("drops"); r.code != 1 || !strings.Contains(r.out, "source is an address of "+made[0]+" (node-1 #1), not of eni-") {
		t.Errorf("a packet that left by the wrong interface: exit %d\n%s", r.code, r.out)
	}
	b.aws("links", "detach-network-interface", "--attachment-id", attachment)
	eventually(t, "eth1 is gone", func() bool { return b.run("exec", "node-1", "--", "ip", "link", "show", "eth1").code != 0 })
	b.aws("links", "delete-network-interface", "--network-interface-id", made[0])
}

// laptop is a list that needs neither AWS nor enichain.
const laptop = `{ "cniVersion": "1.0.0", "name": "laptop", "plugins": [
  { "type": "ptp", "ipMasq": true, "ipam": { "type": "host-local", "ranges": [[{ "subnet": "10.244.1.0/24" }]], "routes": [{ "dst": "0.0.0.0/0" }] } },
  { "type": "portmap", "capabilities": { "portMappings": true } } ] }`

func TestPods(t *testing.T) {
	b := newBench(t)
	b.must("up", "--name", "pods", "--no-daemons")
	list := filepath.Join(t.TempDir(), "laptop.conflist")
	if err := os.WriteFile(list, []byte(laptop), 0o644); err != nil {
		t.Fatal(err)
	}
	before := b.must("exec", "node-1", "--", "sh", "-c", "ip -o link | wc -l")
	b.must("pod", "add", "web", "--port", "8080:80", "--conflist", list)
	b.must("pod", "add", "burst", "--count", "5", "--conflist", list)
	b.must("pod", "add", "team/ledger", "--conflist", list)
	for _, question := range []struct{ from, to, want string }{
		{"internet", "http://198.51.100.1:8080", "hello from web; you are 203.0.113.10"},
		{"web", "http://203.0.113.10", "hello from internet; you are 198.51.100.1"},
		{"web", "udp://203.0.113.10", "hello from internet; you are 198.51.100.1"},
		{"node-1/burst-3", "http://192.168.100.10", "hello from client; you are 10.110.10."},
		{"team/ledger", "http://192.168.100.10", "hello from client; you are 10.110.10."},
		{"ledger", "http://192.168.100.10", "hello from client; you are 10.110.10."},
		{"node-1/ledger", "http://192.168.100.10", "hello from client; you are 10.110.10."},
		{"node-1/team/ledger", "http://192.168.100.10", "hello from client; you are 10.110.10."},
		{"node-1/team_ledger", "http://192.168.100.10", "hello from client; you are 10.110.10."},
	} {
		if got := b.must("reach", question.from, question.to); !strings.Contains(got, question.want) {
			t.Errorf("%s asks %s: %s, want %s", question.from, question.to, got, question.want)
		}
	}
	var pods []struct{ Name, Netns string }
	if err := json.Unmarshal([]byte(b.must("pod", "ls", "--format", "json")), &pods); err != nil || len(pods) != 7 {
		t.Errorf("%d pods, want 7: %v", len(pods), err)
	}
	if r := b.run("pod", "add", "web", "--conflist", list); r.code != 1 || !strings.Contains(r.out, "there is a pod default/web already") {
		t.Errorf("a second pod of that name: exit %d\n%s", r.code, r.out)
	}
	b.must("pod", "del", "burst", "web", "team/ledger")
	if after := b.must("exec", "node-1", "--", "sh", "-c", "ip -o link | wc -l"); after != before {
		t.Errorf("%s links before the pods, %s after", before, after)
	}
	if left := b.must("exec", "node-1", "--", "sh", "-c", "ls /run/netns /var/lib/cni/results; cat /var/lib/cni/networks/laptop/10.* 2>/dev/null || true"); strings.Contains(left, "laptop") {
		t.Errorf("left behind: %s", left)
	}
}

func TestLabsSideBySide(t *testing.T) {
	b := newBench(t)
	for _, name := range []string{"one", "two"} {
		b.must("up", "--name", name, "--no-daemons")
	}
	if r := b.run("eni", "ls"); r.code != 2 || !strings.Contains(r.errors, "say --lab NAME") {
		t.Errorf("which lab? exit %d: %s", r.code, r.errors)
	}
	if r := b.run("up", "--name", "one", "--no-daemons"); r.code != 3 || !strings.Contains(r.errors, "lab one is up since") {
		t.Errorf("a second lab of that name: exit %d: %s", r.code, r.errors)
	}
	b.must("exec", "--lab", "one", "node-1", "--", "touch", "/run/mine", "/etc/enichain/mine", "/var/lib/cni/mine")
	if r := b.run("exec", "--lab", "two", "node-1", "--", "ls", "/run/mine", "/etc/enichain/mine", "/var/lib/cni/mine"); r.code == 0 {
		t.Errorf("one lab's node sees the other's files: %s", r.out)
	}
	b.must("down", "--name", "one")
	b.must("reach", "--lab", "two", "node-1", "http://203.0.113.10")
}

func TestKillLeavesNothing(t *testing.T) {
	b := newBench(t)
	for _, victim := range []string{"first process", "holder"} {
		t.Run(victim, func(t *testing.T) {
			b.must("up", "--name", "killed", "--no-daemons")
			s := b.state("killed")
			sleeper := exec.Command(filepath.Join(programs, "vpclab"), "exec", "--lab", "killed", "node-1", "--", "sleep", "1000")
			sleeper.Env = b.env
			if err := sleeper.Start(); err != nil {
				t.Fatal(err)
			}
			eventually(t, "somebody works in the node", func() bool { return members(s.PIDs) > 6 })
			pid := s.PID
			if victim == "holder" {
				out, err := exec.Command("cat", fmt.Sprintf("/proc/%d/task/%d/children", pid, pid)).Output()
				if err != nil {
					t.Fatal(err)
				}
				for _, child := range strings.Fields(string(out)) {
					if line, _ := os.ReadFile("/proc/" + child + "/cmdline"); strings.Contains(string(line), "__hold") {
						fmt.Sscan(child, &pid)
					}
				}
			}
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			sleeper.Wait() // the kernel ends it
			eventually(t, "no process is left", func() bool { return members(s.PIDs) == 0 })
			if r := b.run("eni", "ls"); r.code != 3 {
				t.Errorf("a dead lab answers: exit %d", r.code)
			}
		})
	}
	b.must("down", "--name", "killed")
}

func TestFaults(t *testing.T) {
	b := newBench(t)
	b.must("up", "--name", "faults", "--no-daemons", "--speed", "0")
	for _, wrong := range [][]string{{"set", "throttle", "Crate*=0"}, {"set", "thrott", "Create*=0"}, {"clear", "thrott"}} {
		if r := b.run(append([]string{"fault"}, wrong...)...); r.code != 2 {
			t.Errorf("fault %s: exit %d: %s", wrong, r.code, r.errors)
		}
	}
	b.must("fault", "set", "throttle", "CreateNetworkInterface=0")
	if r := b.run("eni", "create", "subnet-a"); r.code != 1 || !strings.Contains(r.errors, "RequestLimitExceeded") {
		t.Errorf("a throttled call: exit %d: %s", r.code, r.errors)
	}
	b.must("fault", "set", "subnet-full", "subnet-a")
	if out := b.must("fault", "ls"); !strings.Contains(out, "active: throttle CreateNetworkInterface=0") || !strings.Contains(out, "active: subnet-full subnet-a") {
		t.Errorf("fault ls: %s", out)
	}
	b.must("fault", "clear", "throttle")
	if r := b.run("eni", "create", "subnet-a"); r.code != 1 || !strings.Contains(r.errors, "InsufficientFreeAddressesInSubnet") {
		t.Errorf("a full subnet: exit %d: %s", r.code, r.errors)
	}
	if out := b.must("fault", "clear"); out != "1 cleared" {
		t.Errorf("fault clear: %s", out)
	}
	eni := b.must("eni", "create", "subnet-a")
	b.must("eni", "attach", eni, "node-1")
	b.must("exec", "node-1", "--", "ip", "link", "show", "eth1")
	b.must("fault", "set", "detach", eni)
	eventually(t, "eth1 is gone", func() bool { return b.run("exec", "node-1", "--", "ip", "link", "show", "eth1").code != 0 })
	b.must("exec", "node-1", "--", "ip", "rule", "add", "from", "10.0.0.1", "lookup", "77")
	b.must("fault", "set", "flush", "node-1=rules")
	if rules := b.must("exec", "node-1", "--", "ip", "rule"); strings.Contains(rules, "77") {
		t.Errorf("rules after the flush: %s", rules)
	}
}

func TestBadInput(t *testing.T) {
	b := newBench(t)
	file := filepath.Join(t.TempDir(), "mine.yaml")
	text := "vpc: 10.0.0.0/16\nsubnets: [{name: a, cidr: 10.1.0.0/24}]\nnodes: [{name: Node, type: t9.huge, subnet: b}]\n"
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		args []string
		code int
		want []string
	}{
		{"unknown lab", []string{"up", "three-nodes"}, 2, []string{`"three-nodes" is neither a built-in lab (demo, one-node, pools, two-nodes) nor a file`}},
		{"all faults of a file", []string{"up", file}, 2, []string{`subnets[0].name "a"`, "subnets[0].cidr 10.1.0.0/24: not inside vpc 10.0.0.0/16",
			"subnets[0].zone: missing", `nodes[0].name "Node"`, `nodes[0].type "t9.huge": the lab knows`, `nodes[0].subnet "b"`}},
		{"speed", []string{"up", "--speed", "fast"}, 2, []string{`--speed "fast"`}},
		{"name", []string{"up", "--name", "../x"}, 2, []string{`--name "../x"`}},
		{"no lab", []string{"eni", "ls"}, 3, []string{"no lab is up; 'vpclab up' makes one"}},
		{"format", []string{"eni", "ls", "--format", "yaml"}, 2, []string{`--format is "yaml"`}},
		{"unknown command", []string{"dwon"}, 2, []string{`unknown command "dwon"`, "try: vpclab --help"}},
		{"missing argument", []string{"eni", "create"}, 2, []string{"want vpclab eni create SUBNET", "try: vpclab eni create --help"}},
		{"unknown flag", []string{"pod", "add", "--what"}, 2, []string{"unknown flag: --what", "try: vpclab pod add --help"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := b.run(test.args...)
			if r.code != test.code {
				t.Errorf("exit %d, want %d", r.code, test.code)
			}
			for _, want := range test.want {
				if !strings.Contains(r.errors, want) {
					t.Errorf("it says %q, want %q in it", r.errors, want)
				}
			}
		})
	}
}

// TestOrdinaryUser runs a lab without any right, as a user namespace allows.
func TestOrdinaryUser(t *testing.T) {
	b := newBench(t)
	b.ordinary()
	b.must("up", "two-nodes", "--no-daemons", "--speed", "0")
	eni := b.must("eni", "create", "subnet-b", "--addresses", "1")
	b.must("eni", "attach", eni, "node-2")
	b.must("exec", "node-2", "--", "ip", "link", "show", "eth1")
	b.must("exec", "node-2", "--", "sh", "-c", "touch /etc/iproute2/rt_tables.d/x /etc/cni/net.d/x /var/lib/enichain/x /run/x && nft add table inet mine")
	if got := b.must("reach", "node-2", "http://203.0.113.10"); !strings.Contains(got, "you are 198.51.100.2") {
		t.Errorf("node-2 to the internet: %s", got)
	}
	s := b.state("two-nodes")
	if out := b.must("down"); !strings.Contains(out, "0 processes") {
		t.Errorf("down: %s", out)
	}
	eventually(t, "no process is left", func() bool { return members(s.PIDs) == 0 })
}

// ordinary makes all commands from here on those of a user without any right. Without root this test runs so already.
func (b *bench) ordinary() {
	b.t.Helper()
	if os.Getuid() != 0 || !ownsMachine() {
		return
	}
	b.as = []string{need.Tool(b.t, "setpriv", "util-linux"), "--reuid", "65534", "--regid", "65534", "--clear-groups"}
	for i, line := range b.env {
		if dir, ok := strings.CutPrefix(line, "TMPDIR="); ok {
			if err := os.Chown(dir, 65534, 65534); err != nil {
				b.t.Fatal(err)
			}
		}
		if strings.HasPrefix(line, "HOME=") {
			b.env[i] = "HOME=/"
		}
	}
}

// ownsMachine tells root from root of a user namespace of one id.
func ownsMachine() bool {
	ids, err := os.ReadFile("/proc/self/uid_map")
	return err == nil && strings.Join(strings.Fields(string(ids)), " ") == "0 0 4294967295"
}

package conflists

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/enichain/enichain/test/node"
)

// patience is how long somebody may be silent who is not to answer.
const patience = 300 * time.Millisecond

const ports = `CAP_ARGS={"portMappings":[{"hostPort":8080,"containerPort":80,"protocol":"tcp"}]}`

func (m *machine) cni(command, network, pod string, env ...string) string {
	m.Helper()
	return m.run("cnitool "+command+" "+network+" /run/netns/"+pod, append(env, "NETCONFPATH=/run", "CNI_PATH="+m.bin)...)
}

// read is a shipped list.
func (m *machine) read(file string) []byte {
	m.Helper()
	text, err := os.ReadFile(filepath.Join(root, "conflists", file))
	if err != nil {
		m.Fatal(err)
	}
	return text
}

// try runs one list; look may look at the first pod while it lives.
func (m *machine) try(file string, text []byte, e expected, look func(first node.Place)) {
	if err := os.WriteFile("/run/"+file, text, 0o644); err != nil {
		m.Fatal(err)
	}
	m.Cleanup(func() { os.Remove("/run/" + file) })
	p1, p2 := m.pod("p1"), m.pod("p2")
	m.cni("status", e.network, "p1")
	one, one6 := m.addresses(m.cni("add", e.network, "p1", ports))
	two, two6 := m.addresses(m.cni("add", e.network, "p2"))
	m.cni("check", e.network, "p1", ports)
	m.cni("check", e.network, "p2")
	host, outside := m.node.Host, m.node.Outside
	self, at := nodeAddress, func(p node.Place) string { return p.Addr.String() }
	if e.six {
		self, at = nodeAddress6, func(p node.Place) string { return p.Addr6.String() }
	}
	web := func(address string) string { return net.JoinHostPort(address, "80") }
	m.serve(host, web(at(host)))
	m.serve(outside, web(at(outside)))
	m.serve(p1, web(one))
	m.serve(p2, web(two))
	if e.network != "laptop" { // its pods' addresses are unknown to the VPC
		m.expect(host, web(one), "p1 sees "+at(host), "")
	}
	m.expect(p1, web(at(outside)), "outside sees "+e.outside, one)
	m.expect(p1, web(at(host)), "vpc-host sees "+e.inside, one)
	m.expect(p1, web(two), "p2 sees pod", one)
	m.expect(p2, web(one), "p1 sees pod", two)
	if e.port {
		m.expect(outside, self+":8080", "p1 sees "+at(outside), "")
		m.expect(p2, self+":8080", "p1 sees pod", two)
		if got := m.ask(p1, self+":8080", true); !strings.HasPrefix(got, "p1 sees ") {
			m.Errorf("p1 → its own host port: %s", got)
		}
	} else {
		m.expect(outside, self+":8080", "nothing", "")
	}
	if e.dual {
		m.dual(p1, p2, one6, two6)
	}
	look(p1)
	for range 2 {
		m.cni("del", e.network, "p1", ports)
		m.cni("del", e.network, "p2")
	}
	m.cni("gc", e.network, "p1")
	if got := m.run("ip route show table all proto 233"); strings.Contains(got, one) || strings.Contains(got, two) {
		m.Errorf("routes are left:\n%s", got)
	}
	if got := m.run("nft list ruleset"); strings.Contains(got, one) || strings.Contains(got, two) {
		m.Errorf("nft still knows the pods:\n%s", got)
	}
	m.expect(outside, self+":8080", "nothing", "")
	m.collect(e.network)
}

// dual asks by IPv6, too: the pods have addresses of the VPC, and nothing translates them on their way.
func (m *machine) dual(p1, p2 node.Place, one, two string) {
	m.Helper()
	host, outside := m.node.Host, m.node.Outside
	m.serve(host, "["+host.Addr6.String()+"]:80")
	m.serve(p1, "["+one+"]:80")
	m.serve(p2, "["+two+"]:80")
	m.expect(host, "["+one+"]:80", "p1 sees "+host.Addr6.String(), "")
	m.expect(p1, "["+host.Addr6.String()+"]:80", "vpc-host sees pod", one)
	m.expect(p1, "["+two+"]:80", "p2 sees pod", one)
	m.expect(p2, "["+one+"]:80", "p1 sees pod", two)
	m.expect(outside, nodeAddress6+":8080", "p1 sees "+outside.Addr6.String(), "")
}

// collect sends what the agent sends when a stage has left the list: a GC with nobody left. The tables go with it.
func (m *machine) collect(network string) {
	for _, stage := range []string{"snat", "portmap-compat"} {
		cmd := exec.Command(filepath.Join(m.bin, stage))
		cmd.Env = append(os.Environ(), "CNI_COMMAND=GC", "CNI_PATH="+m.bin)
		cmd.Stdin = strings.NewReader(`{"cniVersion":"1.1.0","name":"` + network + `","type":"` + stage +
			`","cni.dev/valid-attachments":[]}`)
		if out, err := cmd.CombinedOutput(); err != nil {
			m.Errorf("GC of %s: %v\n%s", stage, err, out)
		}
		if got := m.run("nft list tables"); strings.Contains(got, "enichain-"+stage) {
			m.Errorf("GC of %s leaves its table:\n%s", stage, m.run("nft list table inet enichain-"+stage))
		}
	}
}

// expect asks; "pod" in what is wanted stands for the asking pod's own address.
func (m *machine) expect(from node.Place, at, want, own string) {
	m.Helper()
	want = strings.Replace(want, "sees pod", "sees "+own, 1)
	if got := m.ask(from, at, want != "nothing"); got != want {
		m.Errorf("%s → %s: %q, want %q", from.Name, at, got, want)
	}
}

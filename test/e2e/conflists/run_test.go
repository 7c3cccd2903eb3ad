package conflists

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// inside runs one list; the exit code is 1 when anything was not as expected.
func inside(file string) int {
	m := &machine{}
	m.wire()
	if err := m.supply(context.Background()); err != nil {
		m.errorf("cannot write the pool: %v", err)
	}
	text, err := os.ReadFile(filepath.Join(root, "conflists", file))
	if err == nil {
		err = os.WriteFile("/run/"+file, text, 0o644)
	}
	if err != nil {
		m.errorf("%v", err)
	}
	if !m.failed {
		m.try(lists[file])
	}
	if m.failed {
		return 1
	}
	return 0
}

const ports = `CAP_ARGS={"portMappings":[{"hostPort":8080,"containerPort":80,"protocol":"tcp"}]}`

func (m *machine) cni(command, network, pod string, env ...string) string {
	return m.run("cnitool "+command+" "+network+" /run/netns/"+pod,
		append(env, "NETCONFPATH=/run", "CNI_PATH="+os.Getenv("BIN"))...)
}

func (m *machine) try(e expected) {
	m.cni("status", e.network, "p1")
	one := m.address(m.cni("add", e.network, "p1", ports))
	two := m.address(m.cni("add", e.network, "p2"))
	if m.failed {
		return
	}
	m.cni("check", e.network, "p1", ports)
	m.cni("check", e.network, "p2")
	m.serve("vpc", "host", "10.110.99.9:80")
	m.serve("vpc", "outside", "198.51.100.1:80")
	m.serve("p1", "p1", ":80")
	m.serve("p2", "p2", ":80")
	if e.network != "laptop" { // its pods' addresses are unknown to the VPC
		m.expect("vpc", one+":80", "p1 sees 10.110.10.1", "")
	} else {
		m.run("ip -n vpc route add 192.168.100.0/24 via " + node) // so that an address that slips out is answered, and seen
	}
	m.expect("p1", "198.51.100.1:80", "outside sees "+e.outside, one)
	m.expect("p1", "10.110.99.9:80", "host sees "+e.inside, one)
	m.expect("p1", two+":80", "p2 sees pod", one)
	m.expect("p2", one+":80", "p1 sees pod", two)
	if e.port {
		m.expect("vpc", node+":8080", "p1 sees 10.110.10.1", "")
		m.expect("p2", node+":8080", "p1 sees pod", two)
		if got := m.ask("p1", node+":8080"); !strings.HasPrefix(got, "p1 sees ") {
			m.errorf("p1 → its own host port: %s", got)
		}
	} else {
		m.expect("vpc", node+":8080", "nothing", "")
	}
	for range 2 {
		m.cni("del", e.network, "p1", ports)
		m.cni("del", e.network, "p2")
	}
	m.cni("gc", e.network, "p1")
	if got := m.run("ip route show table all proto 233"); strings.Contains(got, one) || strings.Contains(got, two) {
		m.errorf("routes are left:\n%s", got)
	}
	if got := m.run("nft list ruleset"); strings.Contains(got, one) || strings.Contains(got, two) {
		m.errorf("nft still knows the pods:\n%s", got)
	}
	m.expect("vpc", node+":8080", "nothing", "")
	m.collect(e.network)
}

// collect sends what the agent sends when a stage has left the list: a GC with nobody left. The tables go with it.
func (m *machine) collect(network string) {
	for _, stage := range []string{"snat", "portmap-compat"} {
		cmd := exec.Command(stage)
		cmd.Env = append(os.Environ(), "CNI_COMMAND=GC", "CNI_PATH="+os.Getenv("BIN"))
		cmd.Stdin = strings.NewReader(`{"cniVersion":"1.1.0","name":"` + network + `","type":"` + stage +
			`","cni.dev/valid-attachments":[]}`)
		if out, err := cmd.CombinedOutput(); err != nil {
			m.errorf("GC of %s: %v\n%s", stage, err, out)
		}
		if got := m.run("nft list tables"); strings.Contains(got, "enichain-"+stage) {
			m.errorf("GC of %s leaves its table:\n%s", stage, m.run("nft list table inet enichain-"+stage))
		}
	}
}

// expect asks; "pod" in what is wanted stands for the asking pod's own address.
func (m *machine) expect(from, at, want, own string) {
	want = strings.Replace(want, "sees pod", "sees "+own, 1)
	if got := m.ask(from, at); got != want {
		m.errorf("%s → %s: %q, want %q", from, at, got, want)
	}
}

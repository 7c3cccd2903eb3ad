package conflists

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/store"
	"github.com/enichain/enichain/stages/routedveth"
)

// machine is the namespace in which one list runs; the first failure is told and the rest still done.
type machine struct{ failed bool }

func (m *machine) errorf(format string, args ...any) {
	m.failed = true
	fmt.Printf(format+"\n", args...)
}

// run runs a program and returns what it printed.
func (m *machine) run(line string, env ...string) string {
	fields := strings.Fields(line)
	cmd := exec.Command(fields[0], fields[1:]...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		m.errorf("%s: %v\n%s", line, err, out)
	}
	return string(out)
}

// wire makes the node, the VPC beside it (namespace vpc: its router, the host 10.110.99.9, the outside 198.51.100.1),
// and the pods' namespaces p1 and p2.
func (m *machine) wire() {
	for _, dir := range []string{"/run", "/var/lib"} {
		if err := unix.Mount("own", dir, "tmpfs", 0, "mode=755"); err != nil {
			m.errorf("cannot mount a %s of our own: %v", dir, err)
			return
		}
	}
	for _, line := range []string{
		"ip link set lo up", "sysctl -qw net.ipv4.ip_forward=1", "ip netns add vpc", "ip netns add p1", "ip netns add p2",
		"ip link add eth0 address 02:00:00:00:00:01 type veth peer name far0 netns vpc",
		"ip link add eth1 address 02:00:00:00:00:02 type veth peer name far1 netns vpc",
		"ip -n vpc link set lo up", "ip -n vpc link set far0 up", "ip -n vpc link set far1 up",
		"ip -n vpc addr add 10.110.10.1/24 dev far0", "ip -n vpc addr add 10.110.99.9/32 dev lo",
		"ip -n vpc addr add 198.51.100.1/32 dev lo",
		"ip addr add " + node + "/24 dev eth0", "ip link set eth0 up", "ip link set eth1 up",
		"ip route add default via 10.110.10.1 dev eth0",
	} {
		m.run(line)
	}
	for _, a := range eni(0).Addresses { // the VPC delivers a pod's address to the interface that has it
		m.run("ip -n vpc route add " + a.String() + "/32 via " + node)
	}
	for _, pod := range []string{"p1", "p2"} {
		m.run("ip -n " + pod + " link set lo up")
	}
}

func eni(n int) ipam.SuppliedENI {
	at := func(host int) netip.Addr { return netip.AddrFrom4([4]byte{10, 110, byte(10 + n), byte(host)}) }
	e := ipam.SuppliedENI{
		ENI: ipam.ENIID(fmt.Sprintf("eni-%d", n)), Attachment: ipam.AttachmentID(fmt.Sprintf("eni-attach-%d", n)), Pool: "default",
		MAC: fmt.Sprintf("02:00:00:00:00:%02x", n+1), Device: n, SubnetID: "subnet-a",
		Subnet: netip.PrefixFrom(at(0), 24), Primary: at(5), Gateway: at(1), PodsOK: true,
	}
	for i := range 8 {
		e.Addresses = append(e.Addresses, at(10+i))
	}
	return e
}

// supply prepares the interfaces and writes the pool file, as the agent would.
func (m *machine) supply(ctx context.Context) error {
	boot, err := store.BootID()
	if err != nil {
		return err
	}
	id := store.Identity{Instance: "i-conflists", Boot: boot, Inc: "0000000conflists", Type: "m5.large"}
	now := store.ReadClock()
	pool, err := store.Create(ctx, store.DefaultPath, store.Options{Boot: boot}, now, id, store.Past{})
	if err != nil {
		return err
	}
	enis := []ipam.SuppliedENI{eni(0), eni(1)}
	var links []store.Link
	for i, e := range enis {
		err := routedveth.Prepare(ctx, routedveth.ENI{N: i, MAC: e.MAC, Primary: e.Primary, Gateway: e.Gateway, Subnet: e.Subnet})
		if err != nil {
			return err
		}
		links = append(links, store.Link{MAC: e.MAC, Name: fmt.Sprintf("eth%d", i), N: i, Ready: true, Addresses: []netip.Addr{e.Primary}})
	}
	return pool.Update(ctx, func(t *store.Tx) error {
		s := ipam.Supply{Instance: id.Instance, Epoch: 1, Rev: 1, Basis: ipam.Basis{Inc: id.Inc, Seq: t.Meta().Seq}, First: true,
			VPC: []netip.Prefix{netip.MustParsePrefix("10.110.0.0/16")}, Policy: ipam.NodePolicy{Rev: 1, Cooldown: time.Millisecond}, ENIs: enis}
		refused, _, err := t.Accept(now, s)
		if err == nil && len(refused) > 0 {
			err = fmt.Errorf("the pool file refused the supply: %v", refused)
		}
		if err == nil {
			_, err = t.Links(now, links)
		}
		return err
	})
}

// role is this binary as a server or a client inside a pod or the VPC.
func role() int {
	if os.Getenv("ROLE") == "serve" {
		l, err := net.Listen("tcp", os.Getenv("AT"))
		if err != nil {
			fmt.Println(err)
			return 1
		}
		fmt.Println("ready")
		for {
			c, err := l.Accept()
			if err != nil {
				return 0
			}
			from, _, _ := net.SplitHostPort(c.RemoteAddr().String())
			fmt.Fprintf(c, "%s sees %s", os.Getenv("NAME"), from)
			c.Close()
		}
	}
	c, err := (&net.Dialer{Timeout: 2 * time.Second}).Dial("tcp", os.Getenv("AT"))
	if err != nil {
		fmt.Print("nothing")
		return 0
	}
	defer c.Close()
	b, _ := io.ReadAll(c)
	fmt.Print(string(b))
	return 0
}

// serve answers in a namespace until the machine ends; "" is the node's own.
func (m *machine) serve(namespace, name, at string) {
	cmd := exec.Command("ip", "netns", "exec", namespace, os.Args[0])
	cmd.Env = append(os.Environ(), "ROLE=serve", "NAME="+name, "AT="+at)
	cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err == nil {
		_, err = io.ReadFull(out, make([]byte, len("ready")))
	}
	if err != nil {
		m.errorf("cannot serve in %s: %v", namespace, err)
	}
}

// ask is what answers at an address, asked from a namespace.
func (m *machine) ask(namespace, at string) string {
	return m.run("ip netns exec "+namespace+" "+os.Args[0], "ROLE=ask", "AT="+at)
}

// address is the pod's, out of what cnitool printed.
func (m *machine) address(result string) string {
	var r struct {
		IPs []struct{ Address netip.Prefix }
	}
	if err := json.Unmarshal([]byte(result), &r); err != nil || len(r.IPs) != 1 {
		m.errorf("cannot read the result %s: %v", result, err)
		return ""
	}
	return r.IPs[0].Address.Addr().String()
}

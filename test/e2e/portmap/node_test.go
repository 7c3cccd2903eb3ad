// Package portmap runs portmap-compat beside upstream's portmap: what the one makes the other ends, the iptables rules are
// the same, and the processes that it takes are counted.
package portmap

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/enichain/enichain/test/need"
)

// TestMain runs the tests in a mount namespace of their own, with a /run of their own: the lock of iptables and the flight
// record are there.
func TestMain(m *testing.M) {
	switch {
	case os.Getenv("PORTMAP") == "inside":
		if err := unix.Mount("own", "/run", "tmpfs", 0, "mode=755"); err != nil {
			fmt.Println("cannot mount a /run:", err)
			os.Exit(1)
		}
	case os.Geteuid() == 0:
		cmd := exec.Command("unshare", append([]string{"--mount", "--net", "--propagation", "private", os.Args[0]}, os.Args[1:]...)...)
		cmd.Env = append(os.Environ(), "PORTMAP=inside", "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if cmd.Run() != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// node is a network namespace with two pods' host ends in it, pod-a (10.0.1.1, fd00:1::1) and pod-b (10.0.1.2, fd00:1::2).
type node struct {
	t    *testing.T
	name string
	path string // PATH for everything run in it
	bin  string
}

var built = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "enichain-portmap-")
	if err != nil {
		return "", err
	}
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", dir+"/", "./cmd/portmap-compat",
		"github.com/containernetworking/plugins/plugins/meta/portmap")
	cmd.Dir = "../../.."
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return dir, nil
})

// eachVariant runs a test with both iptables.
func eachVariant(t *testing.T, test func(t *testing.T, n *node)) {
	for _, variant := range []string{"nft", "legacy"} {
		t.Run(variant, func(t *testing.T) { test(t, newNode(t, variant)) })
	}
}

func newNode(t *testing.T, variant string) *node {
	t.Helper()
	need.NetAdmin(t)
	for tool, pkg := range map[string]string{"nft": "nftables", "ip": "iproute2", "iptables-nft": "iptables", "conntrack": "conntrack"} {
		need.Tool(t, tool, pkg)
	}
	bin, err := built()
	if err != nil {
		t.Fatal(err)
	}
	n := &node{t: t, name: strings.ToLower(regexp.MustCompile(`[^A-Za-z]+`).ReplaceAllString(t.Name(), "")), bin: bin}
	n.path = variantPath(t, variant) + ":" + os.Getenv("PATH")
	n.name = n.name[:min(len(n.name), 60)] + variant
	for _, name := range []string{n.name, n.name + "-pods"} {
		run(t, "ip", "netns", "add", name)
		t.Cleanup(func() { run(t, "ip", "netns", "del", name) })
	}
	n.sh(`ip link set lo up
		echo 1 > /proc/sys/net/ipv4/ip_forward
		for i in 1 2; do
			ip link add pod-$i type veth peer name peer-$i
			ip link set pod-$i up; ip link set peer-$i up
			ip route add 10.0.1.$i/32 dev pod-$i
			ip route add fd00:1::$i/128 dev pod-$i
		done`)
	return n
}

// variantPath is a folder in which iptables and ip6tables are the variant.
func variantPath(t *testing.T, variant string) string {
	t.Helper()
	folder := t.TempDir()
	for _, name := range []string{"iptables", "ip6tables"} {
		real, err := filepath.EvalSymlinks(need.Tool(t, name+"-"+variant, "iptables"))
		if err != nil {
			t.Fatal(err)
		}
		for _, end := range []string{"", "-restore", "-save"} {
			if err := os.Symlink(real, filepath.Join(folder, name+end)); err != nil {
				t.Fatal(err)
			}
		}
	}
	return folder
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// sh runs lines of a shell on the node.
func (n *node) sh(lines string) string {
	n.t.Helper()
	cmd := exec.Command("nsenter", "--net=/run/netns/"+n.name, "sh", "-euc", lines)
	cmd.Env = append(os.Environ(), "PATH="+n.path)
	out, err := cmd.CombinedOutput()
	if err != nil {
		n.t.Fatalf("%s: %v\n%s", lines, err, out)
	}
	return string(out)
}

// object is a piece of JSON as a test writes it.
type object = map[string]any

// pod is one attachment.
type pod struct {
	id, network, ifname string
	number              int // of its host end and its addresses
}

var podA, podB = pod{"aaaa", "net", "eth0", 1}, pod{"bbbb", "net", "eth0", 2}

// port is one mapping.
func port(host, container int, protocol string, hostIP ...string) object {
	o := object{"hostPort": host, "containerPort": container, "protocol": protocol}
	if len(hostIP) > 0 {
		o["hostIP"] = hostIP[0]
	}
	return o
}

// command is a run of a plugin, not started yet. A nil of extra takes a member out.
func (n *node) command(plugin, verb string, p pod, ports []object, extra object) *exec.Cmd {
	n.t.Helper()
	conf := object{"cniVersion": "1.0.0", "name": p.network, "type": plugin,
		"prevResult": object{"cniVersion": "1.0.0",
			"interfaces": []object{{"name": fmt.Sprintf("pod-%d", p.number)}, {"name": p.ifname, "sandbox": "/run/netns/" + p.id}},
			"ips": []object{{"address": fmt.Sprintf("10.0.1.%d/32", p.number), "interface": 1},
				{"address": fmt.Sprintf("fd00:1::%d/128", p.number), "interface": 1}}}}
	if ports != nil {
		conf["runtimeConfig"] = object{"portMappings": ports}
	}
	maps.Copy(conf, extra)
	for k, v := range conf {
		if v == nil {
			delete(conf, k)
		}
	}
	text, err := json.Marshal(conf)
	if err != nil {
		n.t.Fatal(err)
	}
	cmd := exec.Command("nsenter", "--net=/run/netns/"+n.name, filepath.Join(n.bin, plugin))
	cmd.Stdin = bytes.NewReader(text)
	cmd.Env = []string{"PATH=" + n.path, "CNI_COMMAND=" + verb, "CNI_CONTAINERID=" + p.id, "CNI_IFNAME=" + p.ifname,
		"CNI_NETNS=/run/netns/" + n.name + "-pods", "CNI_PATH=" + n.bin}
	return cmd
}

// try runs a plugin and returns both of its outputs.
func (n *node) try(plugin, verb string, p pod, ports []object, extra object) (string, error) {
	n.t.Helper()
	out, err := n.command(plugin, verb, p, ports, extra).CombinedOutput()
	return string(out), err
}

func (n *node) must(plugin, verb string, p pod, ports []object, extra object) {
	n.t.Helper()
	if out, err := n.try(plugin, verb, p, ports, extra); err != nil {
		n.t.Fatalf("%s %s of %v: %v\n%s", plugin, verb, p, err, out)
	}
}

// bare is a DEL as a runtime repeats it: without prevResult, ports, and a namespace.
func (n *node) bare(plugin string, p pod) {
	n.t.Helper()
	cmd := n.command(plugin, "DEL", p, nil, object{"prevResult": nil})
	cmd.Env = append(cmd.Env, "CNI_NETNS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		n.t.Fatalf("bare DEL: %v\n%s", err, out)
	}
}

// nat is table nat of a family: chains of CNI and all rules, as iptables-save has them.
func (n *node) nat(program string) []string {
	n.t.Helper()
	var all []string
	for line := range strings.Lines(n.sh(program + "-save -t nat")) {
		if strings.HasPrefix(line, "-A ") || strings.HasPrefix(line, ":") {
			line, _, _ = strings.Cut(strings.TrimSpace(line), " [")
			all = append(all, line)
		}
	}
	return all
}

// kernel is everything of iptables and nft, without counters.
func (n *node) kernel() string {
	n.t.Helper()
	text := strings.Join(n.nat("iptables"), "\n") + "\n" + strings.Join(n.nat("ip6tables"), "\n") + "\n" + n.sh("nft list ruleset")
	return regexp.MustCompile(`packets \d+ bytes \d+`).ReplaceAllString(text, "")
}

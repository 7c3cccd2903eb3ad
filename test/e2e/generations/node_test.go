// Package generations swaps lists under living pods on a node of its own, with libcni as the runtime, the built
// binaries, and enichaind, which is killed in between: at the end nothing may be left of any stage that was taken out.
package generations

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containernetworking/cni/libcni"

	"github.com/enichain/enichain/chain/generation"
	"github.com/enichain/enichain/test/kernel"
	"github.com/enichain/enichain/test/need"
	"github.com/enichain/enichain/test/node"
)

// Places on the node.
const (
	confDir = "/run/cni/net.d"
	file    = "05-enichain.conflist"
	grace   = 2 * time.Second // cni.grace; no ADD here takes that long
)

func TestMain(m *testing.M) { node.Main(m) }

// machine is the node, its runtime and its daemon.
type machine struct {
	*testing.T
	node   *node.Node
	bin    string
	store  generation.Store
	pods   map[string]*node.Pod
	daemon *exec.Cmd
	log    *heard
}

var made *node.Node

// begin makes the node new.
func begin(t *testing.T) *machine {
	t.Helper()
	need.NetAdmin(t)
	need.Tool(t, "nft", "nftables")
	need.Tool(t, "iptables", "iptables")
	bin, err := filepath.Abs("../../../bin")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"enichaind", "enichainctl", "portmap", "portmap-compat"} {
		if _, err := os.Stat(filepath.Join(bin, name)); err != nil {
			t.Fatalf("%v: run make build first", err)
		}
	}
	if made == nil {
		made, err = node.New(t.Context(), node.Options{})
	} else {
		err = made.Reset(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{T: t, node: made, bin: bin, pods: map[string]*node.Pod{},
		store: generation.Open(generation.Store{ConfDir: confDir})}
	if err := os.MkdirAll(confDir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		m.kill()
		for name := range m.pods {
			m.end(name)
		}
		if t.Failed() && m.log != nil {
			t.Logf("enichaind said:\n%s", m.log)
		}
	})
	return m
}

// list is a whole list of these plugins.
func list(plugins ...string) []byte {
	return fmt.Appendf(nil, `{"cniVersion":"1.0.0","cniVersions":["1.0.0","1.1.0"],"name":"enichain","plugins":[%s]}`, strings.Join(plugins, ","))
}

// apply installs a list by the command that people use.
func (m *machine) apply(text []byte, args ...string) string {
	m.Helper()
	out, err := m.ctl(append([]string{"chain", "apply", "--conf-dir", confDir, m.file(text)}, args...)...)
	if err != nil {
		m.Fatalf("chain apply: %v\n%s", err, out)
	}
	return out
}

func (m *machine) ctl(args ...string) (string, error) {
	cmd := exec.Command(filepath.Join(m.bin, "enichainctl"), args...)
	cmd.Env = append(os.Environ(), "CNI_PATH="+m.bin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// start runs enichaind. It has no metadata service, no EC2 and no hub: who it is, the pool file of this boot tells.
func (m *machine) start() {
	m.Helper()
	config := fmt.Sprintf("roles: [agent, bus]\ncni: { confDir: %s, binDir: %s, grace: %s }\nkernel: { names: false }\nlog: { level: debug, format: text }\n", confDir, m.bin, grace)
	if err := os.WriteFile("/run/enichaind.yaml", []byte(config), 0o644); err != nil {
		m.Fatal(err)
	}
	m.log = &heard{}
	m.daemon = exec.Command(filepath.Join(m.bin, "enichaind"), "--config", "/run/enichaind.yaml")
	m.daemon.Env = append(os.Environ(), "AWS_EC2_METADATA_SERVICE_ENDPOINT=http://127.0.0.1:1/")
	m.daemon.Stderr = m.log
	if err := m.daemon.Start(); err != nil {
		m.Fatal(err)
	}
}

// heard is what a daemon has said so far.
type heard struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (h *heard) Write(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.text.Write(b)
}

func (h *heard) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.text.String()
}

// kill is kill -9.
func (m *machine) kill() {
	if m.daemon != nil {
		_ = m.daemon.Process.Kill()
		_ = m.daemon.Wait()
		m.daemon = nil
	}
}

// runtime is libcni with the list that is on disk now, as runtimes have it.
func (m *machine) runtime() (*libcni.CNIConfig, *libcni.NetworkConfigList) {
	m.Helper()
	l, err := libcni.ConfListFromFile(filepath.Join(confDir, file))
	if err != nil {
		m.Fatal(err)
	}
	return libcni.NewCNIConfig([]string{m.bin}, nil), l
}

func conf(name string, port int) *libcni.RuntimeConf {
	return &libcni.RuntimeConf{ContainerID: name + "-373b7e98b5a1", NetNS: "/run/netns/" + name, IfName: "eth0",
		Args: [][2]string{{"IgnoreUnknown", "1"}, {"K8S_POD_NAMESPACE", "default"}, {"K8S_POD_NAME", name}},
		CapabilityArgs: map[string]any{
			"portMappings": []any{map[string]any{"hostPort": port, "containerPort": 80, "protocol": "tcp"}},
			"bandwidth":    map[string]any{"ingressRate": 1_000_000, "ingressBurst": 1_000_000, "egressRate": 1_000_000, "egressBurst": 1_000_000}}}
}

// add starts a pod with a host port.
func (m *machine) add(name string, port int) {
	m.Helper()
	pod, err := m.node.Pod(name)
	if err != nil {
		m.Fatal(err)
	}
	m.pods[name] = pod
	r, l := m.runtime()
	if _, err := r.AddNetworkList(m.Context(), l, conf(name, port)); err != nil {
		m.Fatalf("ADD of %s: %v", name, err)
	}
}

// end stops a pod as containerd does: DEL, the namespace goes, and DEL again without it.
func (m *machine) end(name string) {
	m.Helper()
	r, l := m.runtime()
	c := conf(name, 0)
	c.CapabilityArgs = nil // containerd has them; libcni would read them from its cache for nobody
	if _, cached, err := r.GetNetworkListCachedConfig(l, c); err == nil && cached != nil {
		c.CapabilityArgs = cached.CapabilityArgs
	}
	if err := r.DelNetworkList(context.Background(), l, c); err != nil {
		m.Errorf("DEL of %s: %v", name, err)
	}
	if err := m.pods[name].Delete(); err != nil {
		m.Error(err)
	}
	delete(m.pods, name)
	c.NetNS = ""
	if err := r.DelNetworkList(context.Background(), l, c); err != nil {
		m.Errorf("second DEL of %s: %v", name, err)
	}
}

// state is the node's.
func (m *machine) state() kernel.State {
	m.Helper()
	s, err := kernel.Read(m.Context(), "")
	if err != nil {
		m.Fatal(err)
	}
	return s
}

// quiet is the node's state once the wires that routed-veth's DEL severed are gone: the kernel takes them away with the
// pod's namespace, a little later.
func (m *machine) quiet() (s kernel.State) {
	m.Helper()
	m.until("severed wires gone", func() (bool, string) {
		s = m.state()
		for _, line := range s.Of(kernel.Links) {
			if strings.Contains(line, " group 6871 ") {
				return false, line
			}
		}
		return true, ""
	})
	return s
}

// until waits for a condition.
func (m *machine) until(what string, is func() (bool, string)) {
	m.Helper()
	const patience, step = time.Minute, 20 * time.Millisecond
	for deadline := time.Now().Add(patience); ; {
		ok, seen := is()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			m.Fatalf("%s: not within %s:\n%s", what, patience, seen)
		}
		select {
		case <-m.Context().Done():
			m.Fatal(m.Context().Err())
		case <-time.After(step):
		}
	}
}

// as waits until the node's kernel is as it was.
func (m *machine) as(before kernel.State) {
	m.Helper()
	m.until("nothing left behind", func() (bool, string) {
		left := kernel.Diff(before, m.state())
		return len(left) == 0, kernel.Text(left)
	})
}

// births are the attachments that are kept account of, with what is left to be done.
func (m *machine) births() (found []string) {
	m.Helper()
	views, err := m.store.View()
	if err != nil {
		m.Fatal(err)
	}
	for _, v := range views {
		for _, g := range v.Generations {
			found = append(found, fmt.Sprintf("%s %d: %d pods, %d ending %v", v.Network, g.Number, g.Pods, g.Ending, g.Faults))
		}
	}
	return found
}

// settled waits until so many pods are kept account of, and nothing is left to be done for others.
func (m *machine) settled(pods int) {
	m.Helper()
	m.until(fmt.Sprintf("%d pods and nothing left to be done", pods), func() (bool, string) {
		networks, err := m.store.Read()
		if err != nil {
			m.Fatal(err)
		}
		alive := 0
		for _, n := range networks {
			for _, b := range n.Births {
				if b.Ended != nil {
					return false, strings.Join(m.births(), "\n")
				}
				alive++
			}
		}
		return alive == pods, strings.Join(m.births(), "\n")
	})
}

// sameFile says how the runtime's list differs from text.
func (m *machine) sameFile(text []byte) string {
	m.Helper()
	there, err := os.ReadFile(filepath.Join(confDir, file))
	if err != nil {
		m.Fatal(err)
	}
	if !bytes.Equal(there, text) {
		return fmt.Sprintf("the runtime's list is %s, want %s", there, text)
	}
	return ""
}

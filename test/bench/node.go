package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/containernetworking/cni/libcni"
	"golang.org/x/sys/unix"
)

// node is a network namespace with two fake network interfaces, for one chain.
type node struct {
	chain      chain
	jobs       chan job // run by a thread that lives in the namespace, so that plugins inherit it
	cni        *libcni.CNIConfig
	list       *libcni.NetworkConfigList
	adds, dels []sample
}

type job struct {
	do   func() error
	done chan error
}

// ownMounts runs this program again in a mount namespace (and, for an ordinary user, a user namespace) with a /run of
// its own, unless that has happened: pods' namespaces get names there, and nothing is left on the machine.
func ownMounts() error {
	const inside = "ENICHAIN_BENCH_INSIDE"
	if os.Getenv(inside) != "" {
		if err := unix.Mount("run", "/run", "tmpfs", 0, "mode=755"); err != nil {
			return fmt.Errorf("cannot mount a /run of our own: %w", err)
		}
		return os.MkdirAll("/run/netns", 0o755)
	}
	args := []string{"--mount", "--propagation", "private"}
	if os.Geteuid() != 0 {
		args = append(args, "--user", "--map-root-user")
	}
	cmd := exec.Command("unshare", append(append(args, "/proc/self/exe"), os.Args[1:]...)...)
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd.Args[len(args)+1] = self
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		os.Exit(exit.ExitCode())
	}
	if err != nil {
		return fmt.Errorf("cannot enter namespaces of our own: %w", err)
	}
	os.Exit(0)
	return nil
}

func newNode(c chain, bin, dir string) (*node, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	state := filepath.Join(dir, "ipam")
	text := strings.ReplaceAll(c.list, stateMark, state)
	list, err := libcni.NetworkConfFromBytes([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("cannot read its list: %w", err)
	}
	n := &node{chain: c, jobs: make(chan job), list: list,
		cni: libcni.NewCNIConfigWithCacheDir([]string{bin}, filepath.Join(dir, "cache"), nil)}
	entered := make(chan error)
	go n.live(entered)
	if err := <-entered; err != nil {
		return nil, err
	}
	return n, n.run(func() error { return n.wire(state) })
}

// live is the thread in the namespace. It is never unlocked: it ends with the node, and the namespace with it.
func (n *node) live(entered chan<- error) {
	runtime.LockOSThread()
	err := unix.Unshare(unix.CLONE_NEWNET)
	entered <- err
	if err != nil {
		return
	}
	for j := range n.jobs {
		j.done <- j.do()
	}
}

func (n *node) run(do func() error) error {
	j := job{do, make(chan error)}
	n.jobs <- j
	return <-j.done
}

func (n *node) close() { close(n.jobs) }

// wire gives the node its fake network interfaces: veths whose other ends are elsewhere.
func (n *node) wire(poolFile string) error {
	elsewhere := "far-" + n.list.Name
	if _, err := namedNetns(elsewhere); err != nil {
		return err
	}
	commands := []string{"ip link set lo up", "sysctl -qw net.ipv4.ip_forward=1"}
	for i, e := range interfaces {
		commands = append(commands,
			fmt.Sprintf("ip link add eth%d address %s type veth peer name far%d netns %s", i, e.MAC, i, elsewhere),
			fmt.Sprintf("ip -n %s link set far%d up", elsewhere, i), fmt.Sprintf("ip link set eth%d up", i))
	}
	commands = append(commands, "ip addr add "+netip.PrefixFrom(interfaces[0].Primary, 24).String()+" dev eth0",
		"ip route add default via "+interfaces[0].Gateway.String()+" dev eth0")
	for _, command := range commands {
		fields := strings.Fields(command)
		if out, err := exec.Command(fields[0], fields[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("cannot run %q: %w: %s", command, err, out)
		}
	}
	if !n.chain.pool {
		return nil
	}
	return supply(context.Background(), poolFile)
}

// cycle adds a pod with a host port and deletes it again; only the two verbs are measured.
func (n *node) cycle(ctx context.Context, i int, count bool) error {
	return n.run(func() error {
		netns, err := namedNetns(fmt.Sprintf("%s-%d", n.list.Name, i))
		if err != nil {
			return err
		}
		defer netns.remove()
		rt := &libcni.RuntimeConf{ContainerID: fmt.Sprintf("pod-%d", i), NetNS: netns.path, IfName: "eth0",
			CapabilityArgs: map[string]any{"portMappings": []map[string]any{{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}}}}
		add, err := measure(func() error { _, err := n.cni.AddNetworkList(ctx, n.list, rt); return err })
		if err != nil {
			return fmt.Errorf("ADD: %w", err)
		}
		del, err := measure(func() error { return n.cni.DelNetworkList(ctx, n.list, rt) })
		if err != nil {
			return fmt.Errorf("DEL: %w", err)
		}
		if count {
			n.adds, n.dels = append(n.adds, add), append(n.dels, del)
		}
		return nil
	})
}

type namedNS struct{ path string }

// namedNetns makes a network namespace below /run/netns, as a runtime does before ADD.
func namedNetns(name string) (namedNS, error) {
	path := filepath.Join("/run/netns", name)
	if err := os.WriteFile(path, nil, 0o444); err != nil {
		return namedNS{}, err
	}
	made := make(chan error)
	go func() { // the thread stays locked and so dies with its namespace's first owner
		runtime.LockOSThread()
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			err = unix.Mount(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()), path, "", unix.MS_BIND, "")
		}
		made <- err
	}()
	if err := <-made; err != nil {
		return namedNS{}, fmt.Errorf("cannot make a network namespace: %w", err)
	}
	return namedNS{path}, nil
}

func (n namedNS) remove() {
	_ = unix.Unmount(n.path, unix.MNT_DETACH)
	_ = os.Remove(n.path)
}

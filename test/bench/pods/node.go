package pods

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/invoke"
	"golang.org/x/sys/unix"

	"github.com/enichain/enichain/stages/handover"
	"github.com/enichain/enichain/test/bench/floor"
	throwaway "github.com/enichain/enichain/test/node"
)

// node is a network namespace with network interfaces, for one chain. Its plugins run by threads that live in there, as
// a runtime's do.
type node struct {
	subject
	made  *throwaway.Node
	netns int // a file of it
	dir   string
	cni   *libcni.CNIConfig
	list  *libcni.NetworkConfigList
	path  []string
	pods  int // that were ever made: each has a number of its own
	links int // that it has without pods
	stay  []*attachment
}

// attachment is a pod with its namespace, before ADD or after.
type attachment struct {
	pod     *throwaway.Pod
	runtime *libcni.RuntimeConf
}

// newNode makes a node in a folder, whose plugins are looked for in path.
func newNode(ctx context.Context, s subject, dir string, path []string) (*node, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	state := filepath.Join(dir, "state")
	list, err := libcni.NetworkConfFromBytes([]byte(s.conflist(state)))
	if err != nil {
		return nil, fmt.Errorf("cannot read the list of %s: %w", s.id, err)
	}
	n := &node{subject: s, dir: dir, list: list, path: path, netns: -1}
	n.by(nil)
	made := make(chan error)
	go func() { // the thread ends with the goroutine; the namespace stays as long as its file is open
		runtime.LockOSThread()
		made <- n.build(ctx, state)
	}()
	if err := <-made; err != nil {
		return nil, fmt.Errorf("cannot make a node for %s: %w", s.id, err)
	}
	return n, nil
}

// by has the plugins started by exec; nil is libcni's own way, which it would make when it is first asked, by several at once.
func (n *node) by(exec invoke.Exec) {
	if exec == nil {
		exec = &invoke.DefaultExec{RawExec: &invoke.RawExec{Stderr: os.Stderr}}
	}
	n.cni = libcni.NewCNIConfigWithCacheDir(n.path, filepath.Join(n.dir, "cache"), exec)
}

func (n *node) build(ctx context.Context, state string) (err error) {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return err
	}
	if n.netns, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
		return err
	}
	options := throwaway.Options{ENIs: 4, Addresses: 200, Bare: !n.pool}
	if n.made, err = throwaway.Beside(ctx, options, throwaway.Further{Name: filepath.Base(n.dir), Pool: state}); err != nil {
		return err
	}
	links, err := net.Interfaces()
	if err != nil {
		return err
	}
	n.links = len(links) + 1 // a bridge comes with the first pod
	if !n.floor {
		return nil
	}
	if err := os.MkdirAll(state, 0o755); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(floor.Ruleset)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot load the floor's ruleset: %w: %s", err, out)
	}
	return nil
}

// within runs work on a thread that is in the node.
func (n *node) within(work func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if err := unix.Setns(n.netns, unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("cannot enter the node of %s: %w", n.id, err)
			return
		}
		done <- work()
	}()
	return <-done
}

// attachment makes a pod's namespace, for an ADD to come.
func (n *node) attachment() (*attachment, error) {
	n.pods++
	name := fmt.Sprintf("%s-%d", filepath.Base(n.dir), n.pods)
	pod, err := n.made.Pod(name)
	if err != nil {
		return nil, err
	}
	rt := &libcni.RuntimeConf{ContainerID: name, NetNS: pod.Netns, IfName: "eth0",
		Args: [][2]string{{"IgnoreUnknown", "1"}, {"K8S_POD_NAMESPACE", "default"}, {"K8S_POD_NAME", name}, {"K8S_POD_INFRA_CONTAINER_ID", name}}}
	if n.ports > 0 {
		var all []map[string]any
		for i := range n.ports {
			all = append(all, map[string]any{"hostPort": 1024 + (n.pods*n.ports+i)%60000, "containerPort": 80 + i, "protocol": "tcp"})
		}
		rt.CapabilityArgs = map[string]any{"portMappings": all}
	}
	return &attachment{pod, rt}, nil
}

func (n *node) add(ctx context.Context, a *attachment) error {
	if _, err := n.cni.AddNetworkList(ctx, n.list, a.runtime); err != nil {
		return fmt.Errorf("ADD by %s: %w", n.id, err)
	}
	return nil
}

func (n *node) checked(ctx context.Context, a *attachment) error {
	if err := n.cni.CheckNetworkList(ctx, n.list, a.runtime); err != nil {
		return fmt.Errorf("CHECK by %s: %w", n.id, err)
	}
	return nil
}

func (n *node) del(ctx context.Context, a *attachment) error {
	if err := n.cni.DelNetworkList(ctx, n.list, a.runtime); err != nil {
		return fmt.Errorf("DEL by %s: %w", n.id, err)
	}
	return nil
}

// fill gives the node pods that stay.
func (n *node) fill(ctx context.Context, pods int) error {
	for range pods {
		a, err := n.attachment()
		if err != nil {
			return err
		}
		n.stay = append(n.stay, a)
	}
	if len(n.stay) == 0 {
		return nil
	}
	// The first comes alone: two of upstream's portmap that make its chains at the same time fail.
	if err := n.together(1, n.stay[:1], func(a *attachment) error { return n.add(ctx, a) }); err != nil {
		return err
	}
	return n.together(4, n.stay[1:], func(a *attachment) error { return n.add(ctx, a) })
}

// together does something with each attachment, so many at once, by threads in the node.
func (n *node) together(workers int, all []*attachment, do func(*attachment) error) error {
	queue, ended := make(chan *attachment), make(chan error, workers)
	for range workers {
		go func() {
			ended <- n.within(func() (failed error) {
				for a := range queue {
					if failed == nil { // after a failure the queue is only emptied
						failed = do(a)
					}
				}
				return failed
			})
		}()
	}
	for _, a := range all {
		queue <- a
	}
	close(queue)
	var failed error
	for range workers {
		if err := <-ended; err != nil {
			failed = err
		}
	}
	return failed
}

// kept does something while the daemon's part that stages meet is there: enichaind's own, in this process. What it took
// over is closed when it ends, and not while the next is measured.
func (n *node) kept(ctx context.Context, do func() error) error {
	if !n.daemon {
		return do()
	}
	keeper, err := handover.Listen(handover.Path)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- keeper.Run(ctx) }()
	err = do()
	stop()
	return errors.Join(err, <-ended)
}

// close lets go of the node; the kernel takes it down a little later.
func (n *node) close() {
	for _, a := range n.stay {
		_ = a.pod.Delete() // nothing is measured after it
	}
	_ = unix.Unmount(n.made.Host.Netns, unix.MNT_DETACH)
	_ = os.Remove(n.made.Host.Netns)
	unix.Close(n.netns)
}

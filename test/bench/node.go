package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/containernetworking/cni/libcni"
	"golang.org/x/sys/unix"

	throwaway "github.com/enichain/enichain/test/node"
)

// node is a network namespace with two fake network interfaces, for one chain.
type node struct {
	chain      chain
	jobs       chan job // run by a thread that lives in the namespace, so that plugins inherit it
	cni        *libcni.CNIConfig
	list       *libcni.NetworkConfigList
	made       *throwaway.Node
	adds, dels []sample
}

type job struct {
	do   func() error
	done chan error
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
	return n, n.run(func() (err error) {
		n.made, err = throwaway.Beside(context.Background(), throwaway.Options{Addresses: 25, Bare: !c.pool},
			throwaway.Further{Name: n.list.Name, Pool: state})
		return err
	})
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

// cycle adds a pod with a host port and deletes it again; only the two verbs are measured.
func (n *node) cycle(ctx context.Context, i int, count bool) error {
	return n.run(func() error {
		pod, err := n.made.Pod(fmt.Sprintf("%s-%d", n.list.Name, i))
		if err != nil {
			return err
		}
		defer pod.Delete()
		rt := &libcni.RuntimeConf{ContainerID: fmt.Sprintf("pod-%d", i), NetNS: pod.Netns, IfName: "eth0",
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

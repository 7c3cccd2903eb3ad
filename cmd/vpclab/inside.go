package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/containernetworking/cni/libcni"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/spf13/cobra"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// recordDir is where a node's pods are written down; gone with the node.
const recordDir = "/run/vpclab/pods"

// insideCommand runs in a node's namespaces and plays the container runtime: orders come as JSON on standard input,
// results go to standard output.
func insideCommand() *cobra.Command {
	return &cobra.Command{Use: "__inside VERB NODE", Args: cobra.ExactArgs(2), RunE: func(c *cobra.Command, args []string) error {
		switch args[0] {
		case "pool":
			return writePool(c.Context())
		case "status":
			return writeLocal(c.Context(), "/v1/status")
		case "events": // CloudEvents of the last minutes that the machine's daemon has heard, as server-sent events
			return writeLocal(c.Context(), "/v1/events?follow=false&since=2m")
		}
		var orders []podOrder
		if err := json.NewDecoder(os.Stdin).Decode(&orders); err != nil {
			return fmt.Errorf("cannot read the orders: %w", err)
		}
		var results []podResult
		switch args[0] {
		case "ls":
			results = records()
			for i := range results {
				results[i].Node = args[1]
			}
		case "add", "del":
			work := map[string]func(context.Context, podOrder) podResult{"add": addPod, "del": delPod}[args[0]]
			results = atOnce(c.Context(), orders, work)
		default:
			return fail(exitUsage, "there is no verb %q", args[0])
		}
		return json.NewEncoder(os.Stdout).Encode(results)
	}}
}

// atOnce works on all orders at the same time, as containerd does.
func atOnce(ctx context.Context, orders []podOrder, work func(context.Context, podOrder) podResult) []podResult {
	results := make([]podResult, len(orders))
	var group sync.WaitGroup
	for i, order := range orders {
		group.Go(func() { results[i] = work(ctx, order) })
	}
	group.Wait()
	return results
}

func (o podOrder) recordFile() string {
	return filepath.Join(recordDir, o.Namespace+"_"+o.Name+".json")
}

func records() []podResult {
	found := []podResult{}
	files, _ := filepath.Glob(filepath.Join(recordDir, "*.json"))
	slices.Sort(files)
	for _, file := range files {
		var r podResult
		if b, err := os.ReadFile(file); err == nil && json.Unmarshal(b, &r) == nil {
			found = append(found, r)
		}
	}
	return found
}

// addPod makes a sandbox, wires it, and starts its server. A failed ADD is followed by DEL, as runtimes do.
func addPod(ctx context.Context, o podOrder) podResult {
	r := podResult{podOrder: o, Created: time.Now()}
	if err := r.add(ctx); err != nil {
		r.Error = err.Error()
	}
	return r
}

func (r *podResult) add(ctx context.Context) error {
	if err := os.MkdirAll(recordDir, 0o700); err != nil {
		return err
	}
	record, err := os.OpenFile(r.recordFile(), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("there is a pod %s/%s already", r.Namespace, r.Name)
	}
	if err != nil {
		return err
	}
	defer record.Close()
	id := make([]byte, 32)
	rand.Read(id)
	r.Container = hex.EncodeToString(id)
	if err := r.sandbox(); err != nil {
		return errors.Join(err, os.Remove(r.recordFile()))
	}
	if err := r.wire(ctx); err != nil {
		return errors.Join(err, r.unmake(ctx))
	}
	if err := r.serve(); err != nil {
		return errors.Join(err, r.unmake(ctx))
	}
	return json.NewEncoder(record).Encode(r)
}

// sandbox makes the pod's network namespace, named so that 'ip netns exec' finds it, with its loopback up.
func (r *podResult) sandbox() error {
	name := r.Name
	if r.Namespace != "default" {
		name = r.Namespace + "_" + r.Name
	}
	r.Netns = "/run/netns/" + name
	return inThread(func() error {
		if _, err := netns.NewNamed(name); err != nil { // this thread is in it now
			return fmt.Errorf("cannot make the namespace %s: %w", name, err)
		}
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		return netlink.LinkSetUp(lo)
	})
}

// inThread runs work on a thread that may change its namespace; it ends with the work.
func inThread(work func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread must not be used again
		done <- work()
	}()
	return <-done
}

func (r *podResult) wire(ctx context.Context) error {
	list, err := loadList(r.List)
	if err != nil {
		return err
	}
	began := time.Now()
	result, err := runtimeOf().AddNetworkList(ctx, list, r.runtimeConf(r.Netns))
	r.Took = time.Since(began)
	if err != nil {
		return err
	}
	answer, err := types100.NewResultFromResult(result)
	if err != nil {
		return fmt.Errorf("cannot read the chain's result: %w", err)
	}
	for _, ip := range answer.IPs {
		r.Addresses = append(r.Addresses, ip.Address.IP.String())
	}
	return nil
}

func runtimeOf() *libcni.CNIConfig { return libcni.NewCNIConfig([]string{binDir()}, nil) }

func (r *podResult) runtimeConf(sandbox string) *libcni.RuntimeConf {
	c := &libcni.RuntimeConf{ContainerID: r.Container, NetNS: sandbox, IfName: "eth0", Args: [][2]string{
		{"IgnoreUnknown", "1"}, {"K8S_POD_NAMESPACE", r.Namespace}, {"K8S_POD_NAME", r.Name},
		{"K8S_POD_INFRA_CONTAINER_ID", r.Container}}}
	c.CapabilityArgs = map[string]any{}
	if len(r.Ports) > 0 {
		c.CapabilityArgs["portMappings"] = r.Ports
	}
	if len(r.Annotations) > 0 {
		c.CapabilityArgs[annotations] = r.Annotations
	}
	return c
}

// loadList reads a list, or the first of the node's, which is what runtimes take.
func loadList(path string) (*libcni.NetworkConfigList, error) {
	if path == "" {
		files, err := libcni.ConfFiles(confDir, []string{".conflist"})
		if err != nil {
			return nil, fmt.Errorf("cannot look for lists in %s: %w", confDir, err)
		}
		if len(files) == 0 {
			return nil, fmt.Errorf("the node has published no list in %s yet: is enichaind up, and has its pool an address?", confDir)
		}
		slices.Sort(files)
		path = files[0]
	}
	list, err := libcni.ConfListFromFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the list %s: %w", path, err)
	}
	return list, nil
}

// serve starts the pod's server inside it and waits until it listens.
func (r *podResult) serve() error {
	return inThread(func() error {
		handle, err := netns.GetFromPath(r.Netns)
		if err != nil {
			return err
		}
		defer handle.Close()
		if err := netns.Set(handle); err != nil {
			return err
		}
		cmd := exec.Command("/proc/self/exe", "__hello", r.Name)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // it outlives this process; the lab's process 1 inherits it
		out, err := cmd.StdoutPipe()
		if err != nil {
			return err
		}
		if err := cmd.Start(); err != nil {
			return fmt.Errorf("cannot start the pod's server: %w", err)
		}
		if line, _ := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
			cmd.Wait()
			return errors.New("the pod's server did not start")
		}
		return nil
	})
}

// delPod ends a pod that is written down.
func delPod(ctx context.Context, o podOrder) podResult {
	r := podResult{podOrder: o}
	b, err := os.ReadFile(o.recordFile())
	if err == nil {
		err = json.Unmarshal(b, &r)
	}
	if err != nil {
		r.Error = fmt.Sprintf("cannot read the record of pod %s/%s: %v", o.Namespace, o.Name, err)
		return r
	}
	began := time.Now()
	if err := r.unmake(ctx); err != nil {
		r.Error = err.Error()
	}
	r.Took = time.Since(began)
	return r
}

// unmake does what containerd does: processes, DEL, namespace, DEL again without it. The record stays while a DEL fails.
func (r *podResult) unmake(ctx context.Context) error {
	r.killAll()
	list, err := loadList(r.List)
	if err != nil {
		return err
	}
	failed := runtimeOf().DelNetworkList(ctx, list, r.runtimeConf(r.Netns))
	name := filepath.Base(r.Netns)
	if err := netns.DeleteNamed(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		failed = errors.Join(failed, fmt.Errorf("cannot delete the namespace %s: %w", name, err))
	}
	if err := runtimeOf().DelNetworkList(ctx, list, r.runtimeConf("")); err != nil {
		failed = errors.Join(failed, err)
	}
	if failed != nil {
		return failed
	}
	return os.Remove(r.recordFile())
}

// killAll ends every process in the pod's namespace. It spares itself: the thread that made the sandbox may have been
// the first one, whose namespace stands for the whole process in /proc.
func (r *podResult) killAll() {
	var pod unix.Stat_t
	if unix.Stat(r.Netns, &pod) != nil {
		return
	}
	links, _ := filepath.Glob("/proc/[0-9]*/ns/net")
	for _, link := range links {
		var s unix.Stat_t
		var pid int
		if unix.Stat(link, &s) == nil && s.Ino == pod.Ino && s.Dev == pod.Dev {
			if _, err := fmt.Sscanf(link, "/proc/%d/", &pid); err == nil && pid != os.Getpid() {
				syscall.Kill(pid, syscall.SIGKILL)
			}
		}
	}
}

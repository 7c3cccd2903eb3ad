package compose

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/types"

	skeleton "github.com/enichain/enichain/stages"
	"github.com/enichain/enichain/stages/routedveth"
	"github.com/enichain/enichain/test/kernel"
	"github.com/enichain/enichain/test/node"
)

// look is what there is to see at one moment of a life.
type look struct{ When, Text string }

// life is two pods' life with a list, by libcni, with everything that can be seen after each step: what the verb answered,
// the kernel of the node and of the pods, leases, files, and the flight record.
type life struct {
	ctx   context.Context
	node  *node.Node
	list  *libcni.NetworkConfigList
	later *libcni.NetworkConfigList // in its place once both pods are there
	cni   *libcni.CNIConfig
	looks []look
	pods  []*node.Pod
	wires int // of the node, before all pods
}

// flightFile is the record on the node's own /run.
const flightFile = skeleton.FlightPath

// live runs the whole life on a node made new for it.
func live(ctx context.Context, n *node.Node, text []byte, path []string, exec invoke.Exec) ([]look, error) {
	return liveAndSwap(ctx, n, text, text, path, exec)
}

// liveAndSwap puts another list in the first one's place under living pods.
func liveAndSwap(ctx context.Context, n *node.Node, text, later []byte, path []string, exec invoke.Exec) ([]look, error) {
	if err := n.Reset(ctx); err != nil {
		return nil, err
	}
	list, err := libcni.NetworkConfFromBytes(text)
	if err != nil {
		return nil, err
	}
	second, err := libcni.NetworkConfFromBytes(later)
	if err != nil {
		return nil, err
	}
	if exec == nil {
		exec = quietly()
	}
	l := &life{ctx: ctx, node: n, list: list, later: second, cni: libcni.NewCNIConfigWithCacheDir(path, "/var/lib/cni", exec)}
	if l.wires, err = wires(ctx); err != nil {
		return nil, err
	}
	err = l.all()
	return l.looks, errors.Join(err, l.away())
}

// quietly runs plugins as libcni does, and does not print what they say beside their answers.
func quietly() invoke.Exec { return &invoke.DefaultExec{RawExec: &invoke.RawExec{Stderr: io.Discard}} }

func (l *life) all() error {
	first, second := l.runtime("first", 8080), l.runtime("second", 8081)
	steps := []struct {
		when string
		do   func() (types.Result, error)
	}{
		{"before", func() (types.Result, error) { return nil, nil }},
		{"STATUS", func() (types.Result, error) { return nil, l.cni.GetStatusNetworkList(l.ctx, l.list) }},
		{"ADD", func() (types.Result, error) { return l.add(first) }},
		{"CHECK", func() (types.Result, error) { return nil, l.cni.CheckNetworkList(l.ctx, l.list, first) }},
		{"ADD second", func() (types.Result, error) { return l.add(second) }},
		{"the other list", func() (types.Result, error) { l.list = l.later; return nil, nil }},
		{"ADD first again", func() (types.Result, error) { return l.cni.AddNetworkList(l.ctx, l.list, first) }},
		{"GC of none", func() (types.Result, error) { return nil, l.gc(first, second) }},
		{"DEL second", func() (types.Result, error) { return nil, l.cni.DelNetworkList(l.ctx, l.list, second) }},
		{"GC of the second", func() (types.Result, error) { return nil, l.gc(first) }},
		{"CHECK again", func() (types.Result, error) { return nil, l.cni.CheckNetworkList(l.ctx, l.list, first) }},
		{"DEL without namespaces", func() (types.Result, error) { return nil, l.end(first, second) }},
		{"GC of all", func() (types.Result, error) { return nil, l.gc() }},
	}
	for _, s := range steps {
		result, err := s.do()
		if err := l.look(s.when, result, err); err != nil {
			return fmt.Errorf("%s: %w", s.when, err)
		}
	}
	return nil
}

// runtime is what a runtime says of a pod.
func (l *life) runtime(name string, port int) *libcni.RuntimeConf {
	return &libcni.RuntimeConf{ContainerID: "id-" + name, NetNS: "/run/netns/" + name, IfName: "eth0",
		Args: [][2]string{{"IgnoreUnknown", "1"}, {"K8S_POD_NAMESPACE", "default"}, {"K8S_POD_NAME", name}},
		CapabilityArgs: map[string]any{
			"portMappings": []map[string]any{{"hostPort": port, "containerPort": 80, "protocol": "tcp"}},
			"bandwidth":    map[string]any{"ingressRate": 1 << 30, "ingressBurst": 1 << 26},
		}}
}

func (l *life) add(rt *libcni.RuntimeConf) (types.Result, error) {
	p, err := l.node.Pod(strings.TrimPrefix(rt.ContainerID, "id-"))
	if err != nil {
		return nil, err
	}
	l.pods = append(l.pods, p)
	return l.cni.AddNetworkList(l.ctx, l.list, rt)
}

func (l *life) gc(valid ...*libcni.RuntimeConf) error {
	args := &libcni.GCArgs{ValidAttachments: []types.GCAttachment{}}
	for _, rt := range valid {
		args.ValidAttachments = append(args.ValidAttachments, types.GCAttachment{ContainerID: rt.ContainerID, IfName: rt.IfName})
	}
	return l.cni.GCNetworkList(l.ctx, l.list, args)
}

// end is what containerd's Remove does: no namespace, and no cached result.
func (l *life) end(pods ...*libcni.RuntimeConf) error {
	err := l.away()
	for _, rt := range pods {
		again := *rt
		again.NetNS = ""
		err = errors.Join(err, l.cni.DelNetworkList(l.ctx, l.list, &again))
	}
	return errors.Join(err, l.quiet())
}

// away takes the namespaces away.
func (l *life) away() (err error) {
	for _, p := range l.pods {
		err = errors.Join(err, p.Delete())
	}
	l.pods = nil
	return err
}

// quiet waits until links whose namespaces are gone have followed.
func (l *life) quiet() error {
	for began := time.Now(); time.Since(began) < 10*time.Second; {
		if now, err := wires(l.ctx); err != nil || now <= l.wires {
			return err
		}
		if _, err := routedveth.Sweep(l.ctx); err != nil {
			return err
		}
		select {
		case <-l.ctx.Done():
			return l.ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}

// wires are the links of the node whose other end is in another namespace.
func wires(ctx context.Context) (n int, err error) {
	s, err := kernel.Read(ctx, "")
	for _, line := range s.Of(kernel.Links) {
		if strings.Contains(line, " peer elsewhere") {
			n++
		}
	}
	return n, err
}

// look writes down all there is to see.
func (l *life) look(when string, result types.Result, err error) error {
	var b strings.Builder
	fmt.Fprintf(&b, "answer: %s\n", answer(err))
	if result != nil {
		text, err := json.Marshal(result)
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "result: %s\n", text)
	}
	places := []string{""}
	for _, p := range l.pods {
		places = append(places, p.Netns)
	}
	for _, netns := range places {
		s, err := kernel.Read(l.ctx, netns)
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "kernel %s\n%s", netns, s.Text())
	}
	leases, err := l.node.Leases(l.ctx)
	if err != nil {
		return err
	}
	for _, lease := range leases {
		fmt.Fprintf(&b, "lease %s %v\n", lease.Attachment, lease.Addresses)
	}
	_ = filepath.WalkDir("/var/lib/cni", func(path string, _ fs.DirEntry, _ error) error {
		fmt.Fprintln(&b, "file", path)
		return nil
	})
	flights, err := flown()
	if err != nil {
		return err
	}
	for _, f := range flights {
		fmt.Fprintln(&b, "flight", f)
	}
	l.looks = append(l.looks, look{when, b.String()})
	return nil
}

// flown are the lines of the flight record without times.
func flown() (lines []string, err error) {
	text, err := os.ReadFile(flightFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for line := range strings.Lines(string(text)) {
		var f skeleton.Flight
		if err := json.Unmarshal([]byte(line), &f); err != nil {
			return nil, fmt.Errorf("flight record: %w: %s", err, line)
		}
		f.T, f.Took, f.Lock, f.Wait = "", 0, 0, 0
		lines = append(lines, fmt.Sprintf("%+v", f))
	}
	return lines, err
}

// answer is an error as a stage said it, without libcni's words around it, which name the plugin.
func answer(err error) string {
	var said []string
	var walk func(error)
	walk = func(err error) {
		var e *types.Error
		switch joined := err.(type) {
		case nil:
		case interface{ Unwrap() []error }:
			for _, e := range joined.Unwrap() {
				walk(e)
			}
		default:
			if errors.As(err, &e) {
				said = append(said, fmt.Sprintf("code %d: %s", e.Code, e.Msg))
			} else {
				said = append(said, err.Error())
			}
		}
	}
	walk(err)
	return strings.Join(said, "\n  ")
}

// random is what upstream's interface plugins choose by chance, and what follows from it: names and MACs of veths.
var random = regexp.MustCompile(`\bveth[0-9a-f]{8}\b|\b[0-9a-f]{2}(:[0-9a-f]{2}){5}\b|\bfe80::[0-9a-f:]+`)

// different says where two lives of one list differ. Chance is left out where a plugin of somebody else's makes the wire.
func different(a, b []look, chance bool) (out []string) {
	if len(a) != len(b) {
		return []string{fmt.Sprintf("one ends after %d steps, the other after %d", len(a), len(b))}
	}
	for i := range a {
		x, y := strings.Split(a[i].Text, "\n"), strings.Split(b[i].Text, "\n")
		if chance {
			for _, lines := range [][]string{x, y} {
				for j := range lines {
					lines[j] = random.ReplaceAllString(lines[j], "CHANCE")
				}
				slices.Sort(lines)
			}
		}
		if !slices.Equal(x, y) {
			out = append(out, fmt.Sprintf("after %s:\n%s", a[i].When, lineDiff(x, y)))
		}
	}
	return out
}

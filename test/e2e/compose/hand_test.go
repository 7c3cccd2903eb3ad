package compose

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/enichain/enichain/chain"
	"github.com/enichain/enichain/test/kernel"
	"github.com/enichain/enichain/test/node"
)

// hand runs a list stage by stage, as libcni does, so that a test can look at the node between two of them.
type hand struct {
	*testing.T
	node *node.Node
	path []string
	list *chain.List
	pod  *node.Pod
}

// refusal is what a stage said when it failed.
type refusal struct {
	Code    int
	Msg     string
	Details string
}

func newHand(t *testing.T, path []string, text []byte) *hand {
	t.Helper()
	n := begin(t)
	if err := n.Reset(t.Context()); err != nil {
		t.Fatal(err)
	}
	list, problems := chain.Parse("hand.conflist", text)
	if list == nil {
		t.Fatal(problems)
	}
	p, err := n.Pod("pod")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Delete() })
	return &hand{T: t, node: n, path: path, list: list, pod: p}
}

// add runs ADD of one stage, from 0, and returns its result or why it refused.
func (h *hand) add(stage int, prev json.RawMessage) (json.RawMessage, *refusal) {
	h.Helper()
	s := h.list.Stages[stage]
	config := map[string]any{}
	if err := json.Unmarshal(s.Config, &config); err != nil {
		h.Fatal(err)
	}
	config["name"], config["cniVersion"] = h.list.Name, h.list.CNIVersion
	if caps, ok := config["capabilities"].(map[string]any); ok && caps["portMappings"] == true {
		config["runtimeConfig"] = map[string]any{"portMappings": []map[string]any{{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}}}
	}
	if prev != nil {
		config["prevResult"] = prev
	}
	text, err := json.Marshal(config)
	if err != nil {
		h.Fatal(err)
	}
	cmd := exec.Command(h.find(s.Type))
	cmd.Env = append(os.Environ(), "CNI_COMMAND=ADD", "CNI_CONTAINERID=by-hand", "CNI_NETNS="+h.pod.Netns, "CNI_IFNAME=eth0",
		"CNI_PATH="+strings.Join(h.path, ":"))
	cmd.Stdin = bytes.NewReader(text)
	out, err := cmd.Output()
	if err == nil {
		return out, nil
	}
	r := &refusal{Code: -1, Msg: string(out)}
	_ = json.Unmarshal(out, r)
	return nil, r
}

func (h *hand) find(plugin string) string {
	h.Helper()
	for _, dir := range h.path {
		if file := filepath.Join(dir, plugin); exists(file) {
			return file
		}
	}
	h.Fatalf("no %s in %v", plugin, h.path)
	return ""
}

// ours are the stages that this project answers for.
func ours() []string { return []string{"eni-ipam", "routed-veth", "snat", "portmap-compat"} }

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// state is everything that a stage could change: the node's and the pod's kernel, the pool, the files of plugins.
func (h *hand) state() string {
	h.Helper()
	var text []string
	for _, netns := range []string{"", h.pod.Netns} {
		s, err := kernel.Read(h.Context(), netns)
		if err != nil {
			h.Fatal(err)
		}
		text = append(text, s.Text())
	}
	leases, err := h.node.Leases(h.Context())
	if err != nil {
		h.Fatal(err)
	}
	text = append(text, fmt.Sprint(leases))
	_ = filepath.WalkDir("/var/lib/cni", func(path string, _ os.DirEntry, _ error) error {
		text = append(text, path)
		return nil
	})
	return strings.Join(text, "\n")
}

// refuses runs the stages before the last and returns what that one said, nil if it did not refuse. A stage of ours must
// have a code of its own and have done nothing.
func (h *hand) refuses() *refusal {
	h.Helper()
	var prev json.RawMessage
	last := len(h.list.Stages) - 1
	for i := range last {
		out, r := h.add(i, prev)
		if r != nil {
			h.Fatalf("stage %d %s: %v", i+1, h.list.Stages[i].Type, r)
		}
		prev = out
	}
	before := h.state()
	_, r := h.add(last, prev)
	if r == nil || !slices.Contains(ours(), h.list.Stages[last].Type) {
		return r
	}
	if !slices.Contains([]int{1, 2, 4, 6, 7, 100}, r.Code) {
		h.Errorf("stage %d %s refuses with code %d: %s", last+1, h.list.Stages[last].Type, r.Code, r.Msg)
	}
	if diff := cmp.Diff(before, h.state()); diff != "" {
		h.Errorf("stage %d %s refuses, and has changed (-before +after):\n%s", last+1, h.list.Stages[last].Type, diff)
	}
	return r
}

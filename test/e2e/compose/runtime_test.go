package compose

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"

	"github.com/enichain/enichain/test/node"
)

// attachment is one interface of one pod in one network.
type attachment struct {
	network, pod, ifname string
	port                 int // host port to the pod's port 80; 0 for none
}

func (a attachment) capabilities() map[string]any {
	if a.port == 0 {
		return nil
	}
	return map[string]any{"portMappings": []map[string]any{{"hostPort": a.port, "containerPort": 80, "protocol": "tcp"}}}
}

// caller is who calls the stages: a runtime's library, or a person's tool.
type caller interface {
	add(context.Context, attachment) (*types100.Result, error)
	check(context.Context, attachment) error
	del(context.Context, attachment) error
	// gc says that of a network only these attachments are left.
	gc(ctx context.Context, network string, left ...attachment) error
}

// confdir is where the networks' lists lie, by the name of the network.
const confdir = "/run/lists"

// write puts a list where the callers find it.
func write(t *testing.T, network string, text []byte) {
	t.Helper()
	if err := os.MkdirAll(confdir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(confdir, network+".conflist"), text, 0o644); err != nil {
		t.Fatal(err)
	}
}

// library calls as containerd and CRI-O do.
type library struct{ cni *libcni.CNIConfig }

func newLibrary(path []string) library {
	return library{libcni.NewCNIConfigWithCacheDir(path, "/run/cache", nil)}
}

var _ caller = library{}

func (l library) of(a attachment) (*libcni.NetworkConfigList, *libcni.RuntimeConf, error) {
	list, err := libcni.LoadConfList(confdir, a.network)
	return list, &libcni.RuntimeConf{ContainerID: "id-" + a.pod, NetNS: "/run/netns/" + a.pod, IfName: a.ifname, CapabilityArgs: a.capabilities(),
		Args: [][2]string{{"IgnoreUnknown", "1"}, {"K8S_POD_NAMESPACE", "default"}, {"K8S_POD_NAME", a.pod}}}, err
}

func (l library) add(ctx context.Context, a attachment) (*types100.Result, error) {
	list, rt, err := l.of(a)
	if err != nil {
		return nil, err
	}
	result, err := l.cni.AddNetworkList(ctx, list, rt)
	if err != nil {
		return nil, err
	}
	return types100.NewResultFromResult(result)
}

func (l library) check(ctx context.Context, a attachment) error {
	list, rt, err := l.of(a)
	if err != nil {
		return err
	}
	return l.cni.CheckNetworkList(ctx, list, rt)
}

func (l library) del(ctx context.Context, a attachment) error {
	list, rt, err := l.of(a)
	if err != nil {
		return err
	}
	return l.cni.DelNetworkList(ctx, list, rt)
}

func (l library) gc(ctx context.Context, network string, left ...attachment) error {
	list, err := libcni.LoadConfList(confdir, network)
	if err != nil {
		return err
	}
	valid := []types.GCAttachment{}
	for _, a := range left {
		valid = append(valid, types.GCAttachment{ContainerID: "id-" + a.pod, IfName: a.ifname})
	}
	return l.cni.GCNetworkList(ctx, list, &libcni.GCArgs{ValidAttachments: valid})
}

// tool calls by cnitool, as a person does.
type tool struct{ path []string }

var _ caller = tool{}

func (c tool) run(ctx context.Context, command string, a attachment) ([]byte, error) {
	capabilities, err := json.Marshal(a.capabilities())
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(c.path[0], "cnitool"), command, a.network, "/run/netns/"+a.pod)
	cmd.Env = append(os.Environ(), "NETCONFPATH="+confdir, "CNI_PATH="+strings.Join(c.path, ":"), "CNI_IFNAME="+a.ifname)
	if a.port != 0 {
		cmd.Env = append(cmd.Env, "CAP_ARGS="+string(capabilities))
	}
	out, err := cmd.Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		err = fmt.Errorf("cnitool %s %s: %w: %s", command, a.network, err, exit.Stderr)
	}
	return out, err
}

func (c tool) add(ctx context.Context, a attachment) (*types100.Result, error) {
	out, err := c.run(ctx, "add", a)
	if err != nil {
		return nil, err
	}
	result, err := types100.NewResult(out)
	if err != nil {
		return nil, fmt.Errorf("cannot read cnitool's result %s: %w", out, err)
	}
	return types100.NewResultFromResult(result)
}

func (c tool) check(ctx context.Context, a attachment) error {
	_, err := c.run(ctx, "check", a)
	return err
}

func (c tool) del(ctx context.Context, a attachment) error {
	_, err := c.run(ctx, "del", a)
	return err
}

// gc of cnitool deletes every attachment of the network that it knows, and tells the stages of none: there is no way to
// say what is left. So it is only for a network that is left by all.
func (c tool) gc(ctx context.Context, network string, left ...attachment) error {
	if len(left) > 0 {
		return nil
	}
	_, err := c.run(ctx, "gc", attachment{network: network, pod: "nobody", ifname: "eth0"})
	return err
}

// begin makes the node of this process, once.
func begin(t *testing.T) *node.Node {
	t.Helper()
	made.once.Do(func() { made.node, made.err = node.New(t.Context(), node.Options{IPv6: true, Prefix: true}) })
	if made.err != nil {
		t.Fatal(made.err)
	}
	return made.node
}

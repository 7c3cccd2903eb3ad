//go:build ipamd

package ipamd

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/enichain/enichain/test/lab/fabric"
	"github.com/enichain/enichain/test/lab/imds"
	"github.com/enichain/enichain/test/lab/vpc"
	"github.com/enichain/enichain/test/lab/wire"
	"github.com/enichain/enichain/test/need"
)

// module is the agent, as the Go module proxy serves it.
const module = "github.com/aws/amazon-vpc-cni-k8s"

const version = "v1.23.2"

// program is the agent's binary: $IPAMD, or built once into the user's cache folder.
func program(t *testing.T) string {
	t.Helper()
	need.NetAdmin(t)
	need.Tool(t, "nft", "nftables")
	need.Tool(t, "iptables", "iptables")
	if given := os.Getenv("IPAMD"); given != "" {
		return given
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	binary := filepath.Join(cache, "enichain", "aws-k8s-agent-"+version)
	if _, err := os.Stat(binary); err == nil {
		return binary
	}
	t.Logf("building %s %s, which takes minutes", module, version)
	folder := t.TempDir() // a module of its own: ours knows nothing of it
	for _, args := range [][]string{{"mod", "init", "example.test/ipamd"}, {"get", module + "@" + version},
		{"build", "-trimpath", "-o", binary, module + "/cmd/aws-k8s-agent"}} {
		cmd := exec.Command(need.Tool(t, "go", "golang"), args...)
		cmd.Dir = folder
		cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off", "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			need.Module(t, module+"@"+version, fmt.Errorf("go %s: %w: %s", args[0], err, out[max(0, len(out)-500):]))
		}
	}
	return binary
}

// lab is a VPC with one m5.large.
type lab struct {
	t        *testing.T
	world    *vpc.World
	fabric   *fabric.Fabric
	instance vpc.Instance
	node     *fabric.Node

	following sync.Mutex // changes are applied in order
	words     bytes.Buffer
	ended     chan struct{}
}

const (
	ec2Address  = "169.254.169.252"
	imdsAddress = "169.254.169.254"
)

func newLab(t *testing.T) *lab {
	t.Helper()
	cidr, six := netip.MustParsePrefix("10.110.10.0/24"), netip.MustParsePrefix("2001:db8:110:a::/64")
	l := &lab{t: t, ended: make(chan struct{}),
		world: vpc.New(vpc.Config{Latency: vpc.Typical(0.2), Buckets: vpc.Published(1)}, rand.New(rand.NewPCG(1, 2)))}
	v := must(l.world.AddVPC(vpc.VPC{CIDRs: []netip.Prefix{netip.MustParsePrefix("10.110.0.0/16")}, IPv6: netip.MustParsePrefix("2001:db8:110::/56")}))(t)
	s := must(l.world.AddSubnet(vpc.Subnet{VPC: v.ID, Zone: "lab-1a", CIDR: cidr, IPv6: six}))(t)
	l.fabric = must(fabric.Up(t.Context(), fabric.Config{Networks: l.world.Networks(v.ID), Subnets: []netip.Prefix{cidr, six},
		Services: []netip.Addr{netip.MustParseAddr(ec2Address), netip.MustParseAddr(imdsAddress)}}))(t)
	t.Cleanup(func() {
		if err := l.fabric.Close(); err != nil {
			t.Error(err)
		}
	})
	l.node = must(l.fabric.Instance(t.Context(), "node-1"))(t)
	var err error
	if l.instance, _, err = l.world.AddInstance(time.Now(), vpc.Launch{Type: "m5.large", Subnet: s.ID}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	go l.follow(ctx)
	l.serve(ctx, ec2Address, wire.Handler(l.world, wire.RealClock{}, l.apply))
	l.serve(ctx, imdsAddress, imds.Handler(l.world, l.instance.ID, wire.RealClock{}))
	l.apply(time.Now())
	return l
}

// follow applies changes in their time.
func (l *lab) follow(ctx context.Context) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			l.apply(time.Now())
		}
	}
}

func (l *lab) apply(now time.Time) {
	l.following.Lock()
	defer l.following.Unlock()
	for _, c := range l.world.Advance(now) {
		mac, err := net.ParseMAC(c.ENI.MAC)
		if err != nil {
			l.t.Error(err)
			return
		}
		i := fabric.Interface{ID: c.ENI.ID, MAC: mac, Addresses: append(c.ENI.Addresses(), c.ENI.IPv6...),
			Prefixes: append(c.ENI.Prefixes, c.ENI.IPv6Prefixes...)}
		if c.ENI.Attachment != nil {
			i.Device, i.Boot = c.ENI.Attachment.Device, c.ENI.Attachment.Device == 0
		}
		switch c.Kind {
		case vpc.LinkAttached:
			err = l.fabric.Attach(context.Background(), "node-1", i)
		case vpc.AddressesChanged:
			err = l.fabric.Addresses(context.Background(), i)
		case vpc.LinkDetached:
			err = l.fabric.Detach(context.Background(), i.ID)
		}
		if err != nil {
			l.t.Error(err)
		}
	}
}

func (l *lab) serve(ctx context.Context, address string, handler http.Handler) {
	listener := must(l.fabric.Router().Listen(net.JoinHostPort(address, "80")))(l.t)
	s := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() { s.Close() })
	go s.Serve(listener)
}

// nobody is an API server that is not there. The agent goes on without one, after 30 s, but not without knowing where
// one would be: its client for Kubernetes is nil then, and it dies of that as soon as its pool is to grow.
const nobody = `apiVersion: v1
kind: Config
clusters: [{ name: none, cluster: { server: "http://127.0.0.1:1" } }]
contexts: [{ name: none, context: { cluster: none, user: none } }]
users: [{ name: none, user: {} }]
current-context: none
`

// run starts the agent in the node and returns where its log is.
func (l *lab) run(agent string, env []string) string {
	l.t.Helper()
	if err := os.MkdirAll(l.node.Path("/run/aws-node"), 0o755); err != nil {
		l.t.Fatal(err)
	}
	if err := os.WriteFile(l.node.Path("/run/aws-node/kubeconfig"), []byte(nobody), 0o600); err != nil {
		l.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := l.node.Command(ctx, agent)
	cmd.Env = append([]string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "MY_NODE_NAME=node-1", "CLUSTER_NAME=lab",
		"AWS_REGION=lab-1", "AWS_ACCESS_KEY_ID=IPAMD", "AWS_SECRET_ACCESS_KEY=none", "AWS_EC2_ENDPOINT=http://" + ec2Address,
		"AWS_EC2_METADATA_SERVICE_ENDPOINT=http://" + imdsAddress, "KUBECONFIG=/run/aws-node/kubeconfig",
		"AWS_VPC_K8S_CNI_LOG_FILE=/run/aws-node/ipamd.log", "AWS_VPC_K8S_CNI_LOGLEVEL=DEBUG", "AWS_VPC_K8S_CNI_RANDOMIZESNAT=prng",
		"AWS_VPC_K8S_CNI_VETHPREFIX=eni", "WARM_ENI_TARGET=1", "WARM_PREFIX_TARGET=1"}, env...)
	cmd.Stdout, cmd.Stderr = &l.words, &l.words
	if err := cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	go func() {
		_ = cmd.Wait() // until it says why by the log, or the test kills it
		close(l.ended)
	}()
	l.t.Cleanup(func() { // it takes no notice of SIGTERM while there is no API server
		cancel()
		<-l.ended
	})
	return l.node.Path("/run/aws-node/ipamd.log")
}

// must is the value of a call that must not fail.
func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

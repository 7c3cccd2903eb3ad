package containerd

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/enichain/enichain/test/need"
)

// socket is containerd's inside the node, whose /run is its own.
const socket = "/run/containerd/containerd.sock"

// configuration is containerd's: nothing of the machine's, state in the node's own /run, which is a tmpfs (an overlay
// cannot lie on the overlay that is the node's /var/lib). 2.x reads version 2, too.
const configuration = `version = 2
root = "/run/containerd-root"
state = "/run/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.blockfile", "io.containerd.snapshotter.v1.erofs",
  "io.containerd.internal.v1.opt", "io.containerd.nri.v1.nri"]
[grpc]
  address = "%[1]s"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "%[2]s"
  restrict_oom_score_adj = true
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "%[3]s"
    conf_dir = "/etc/cni/net.d"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "%[4]s"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
`

// mountCgroups shows the machine's cgroups in the node, whose /sys is fresh: every hierarchy of version 1 that this
// process is in, or version 2.
const mountCgroups = `
mount -t tmpfs -o mode=755 cgroup /sys/fs/cgroup
first=
while IFS=: read -r number controllers path; do
  case "$controllers" in
    "") continue ;;
    name=*) dir=${controllers#name=}; kind=none,$controllers ;;
    *) dir=$controllers; kind=$controllers ;;
  esac
  mkdir /sys/fs/cgroup/$dir; mount -t cgroup -o $kind cgroup /sys/fs/cgroup/$dir; first=yes
done </proc/self/cgroup
[ "$first" ] || { umount /sys/fs/cgroup; mount -t cgroup2 cgroup2 /sys/fs/cgroup; }
`

// daemon is a running containerd and a connection to its CRI.
type daemon struct {
	*lab
	release release
	process *exec.Cmd
	ended   chan error
	cri.RuntimeServiceClient
}

// cgroup is where the lab's containers are: they leave empty cgroups when they are killed with the lab.
func (l *lab) cgroup() string { return "/enichain-" + filepath.Base(l.dir) }

func (l *lab) removeCgroups() {
	remove := exec.Command("unshare", "--mount", "sh", "-ec", mountCgroups+
		`find /sys/fs/cgroup -depth -type d -path "*`+l.cgroup()+`*" -exec rmdir {} +`)
	if out, err := remove.CombinedOutput(); err != nil {
		l.t.Errorf("cannot remove the cgroups %s: %v: %s", l.cgroup(), err, out)
	}
}

// boot prepares the node for containerd, starts it and gives it its image.
func (l *lab) boot(r release) *daemon {
	l.t.Helper()
	l.sh(mountCgroups + "mkdir -p /run/containerd-root")
	snapshotter := "overlayfs"
	if _, err := l.try(l.node("sh", "-ec", `cd /run/containerd-root; mkdir a b c d; mount -t overlay -o lowerdir=a,upperdir=b,workdir=c overlay d
		umount d; rmdir a b c/* c d`)); err != nil {
		snapshotter = "native"
	}
	l.write(l.configFile(), fmt.Sprintf(configuration, socket, image, bin, snapshotter))
	d := &daemon{lab: l, release: r}
	d.start()
	connection, err := grpc.NewClient("passthrough:///containerd", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", l.root+socket)
		}), grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.Config{BaseDelay: 20 * time.Millisecond, Multiplier: 1,
			MaxDelay: 20 * time.Millisecond}, MinConnectTimeout: time.Second}))
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { connection.Close() })
	d.RuntimeServiceClient = cri.NewRuntimeServiceClient(connection)
	tar := filepath.Join(l.dir, "image.tar")
	l.write(tar, string(imageArchive(l.t)))
	d.await()
	l.must(l.node(r.ctr, "-a", socket, "-n", "k8s.io", "images", "import", "--snapshotter", snapshotter, tar))
	return d
}

func (l *lab) configFile() string { return filepath.Join(l.dir, "containerd.toml") }
func (l *lab) logFile() string    { return filepath.Join(l.dir, "containerd.log") }

// start starts containerd in the node; its log goes to the test's output when the test fails.
func (d *daemon) start() {
	d.t.Helper()
	log, err := os.OpenFile(d.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		d.t.Fatal(err)
	}
	defer log.Close()
	d.process = d.node("env", "PATH="+d.release.path+":/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin", d.release.containerd,
		"--config", d.configFile())
	d.process.Stdout, d.process.Stderr = log, log
	if err := d.process.Start(); err != nil {
		d.t.Fatal(err)
	}
	ended := make(chan error, 1)
	process := d.process
	go func() { ended <- process.Wait() }()
	d.ended = ended
}

// kill is kill -9, waited for. The process that was started is nsenter, whose only child became containerd.
func (d *daemon) kill() {
	d.t.Helper()
	pid := d.process.Process.Pid
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	child := 0
	if err == nil {
		child, err = strconv.Atoi(strings.TrimSpace(string(text)))
	}
	if err == nil {
		err = syscall.Kill(child, syscall.SIGKILL)
	}
	if err != nil {
		d.t.Fatalf("cannot kill containerd: %v", err)
	}
	select {
	case <-d.ended:
	case <-time.After(patience):
		d.t.Fatal("containerd outlived kill -9")
	}
}

// restart starts a containerd that was killed, and waits until it answers.
func (d *daemon) restart() {
	d.t.Helper()
	d.start()
	d.await()
}

// await waits until CRI answers and the network is ready.
func (d *daemon) await() {
	d.t.Helper()
	eventually(d.t, "containerd's network is ready", func() string {
		select {
		case err := <-d.ended:
			d.t.Fatalf("containerd ended: %v\n%s", err, d.log())
		default:
		}
		ready, why := d.network()
		if ready {
			return ""
		}
		return why
	})
}

// network is what kubelet reads: the condition NetworkReady and its message.
func (d *daemon) network() (ready bool, message string) {
	ctx, cancel := d.deadline()
	defer cancel()
	answer, err := d.Status(ctx, &cri.StatusRequest{})
	if err != nil {
		return false, err.Error()
	}
	for _, c := range answer.GetStatus().GetConditions() {
		if c.Type == cri.NetworkReady {
			return c.Status, c.Reason + ": " + c.Message
		}
	}
	return false, "containerd names no condition " + cri.NetworkReady
}

// deadline is a call's: kubelet gives two minutes, a test has less.
func (d *daemon) deadline() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), 40*time.Second)
}

// log is what containerd said lately.
func (l *lab) log() string {
	text, _ := os.ReadFile(l.logFile())
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-25):], "\n")
}

func debian(t *testing.T) release {
	t.Helper()
	r := release{name: "containerd of Debian"}
	for _, p := range []struct {
		name string
		path *string
	}{{"containerd", &r.containerd}, {"ctr", &r.ctr}} {
		*p.path = need.Tool(t, p.name, "containerd")
	}
	return r
}

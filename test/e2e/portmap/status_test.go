package portmap

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/enichain/enichain/test/need"
)

// TestStatus breaks what a backend needs, and wants to hear of it within a second.
func TestStatus(t *testing.T) {
	need.Tool(t, "setpriv", "util-linux")
	const hidden = "for p in /usr/sbin/xtables-nft-multi /usr/sbin/xtables-legacy-multi; do mount --bind /dev/null $p; done; "
	noRight := []string{"setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"}
	for _, tt := range []struct {
		name, backend string
		before        string   // lines of a shell in a mount namespace of its own
		through       []string // a program that starts the stage
		locked        bool     // somebody holds the lock of the older iptables
		want          string   // in the error; "" for health
	}{
		{name: "nftables", backend: "nftables"},
		{name: "iptables", backend: "iptables"},
		{name: "no iptables", backend: "iptables", before: hidden, want: "the program iptables is not installed"},
		{name: "no iptables, nobody needs it", backend: "nftables", before: hidden},
		{name: "iptables, no right", backend: "iptables", through: noRight, want: "ermission denied"},
		{name: "nftables, no right", backend: "nftables", through: noRight, want: "operation not permitted"},
		{name: "a held lock is no illness", backend: "iptables", locked: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eachVariant(t, func(t *testing.T, n *node) {
				if tt.locked {
					fd, err := unix.Open("/run/xtables.lock", unix.O_CREAT|unix.O_RDWR, 0o600)
					if err != nil {
						t.Fatal(err)
					}
					defer unix.Close(fd)
					if err := unix.Flock(fd, unix.LOCK_EX); err != nil {
						t.Fatal(err)
					}
				}
				cmd := n.status(tt.backend, tt.before, tt.through)
				start := time.Now()
				out, err := cmd.Output()
				if took := time.Since(start); took > 1500*time.Millisecond {
					t.Errorf("it took %v", took)
				}
				var fault struct {
					Code int
					Msg  string
				}
				if len(out) > 0 {
					if err := json.Unmarshal(out, &fault); err != nil {
						t.Fatalf("%v: %s", err, out)
					}
				}
				switch {
				case tt.want == "" && err != nil:
					t.Errorf("STATUS = %v, %s", err, out)
				case tt.want != "" && (fault.Code != 50 || !strings.Contains(fault.Msg, tt.want)):
					t.Errorf("STATUS = %v, code %d, %q; want 50 and %q", err, fault.Code, fault.Msg, tt.want)
				}
			})
		})
	}
}

// status is a STATUS in a mount namespace of its own, behind lines of a shell or through another program.
func (n *node) status(backend, before string, through []string) *exec.Cmd {
	n.t.Helper()
	cmd := n.command(compat, "STATUS", podA, nil, object{"cniVersion": "1.1.0", "prevResult": nil, "backend": backend})
	inside := exec.Command("unshare", append([]string{"--mount", "sh", "-euc", before + `exec "$@"`, "sh"}, cmd.Args...)...)
	if len(through) > 0 { // nsenter needs the right that the stage shall not have
		args := append([]string{"--net=/run/netns/" + n.name}, through...)
		inside = exec.Command("nsenter", append(args, filepath.Join(n.bin, compat))...)
	}
	inside.Stdin, inside.Env = cmd.Stdin, cmd.Env
	if before != "" { // the folder of links leads to what is hidden: only /usr/sbin is left
		inside.Env = append(inside.Env, "PATH=/usr/bin:/bin")
	}
	return inside
}

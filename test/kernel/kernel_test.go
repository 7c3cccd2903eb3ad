package kernel

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/enichain/enichain/test/need"
)

// namespace makes a network namespace that lasts as long as the test, and a way to run a script in it.
func namespace(t testing.TB) (path string, run func(script string)) {
	t.Helper()
	need.NetAdmin(t)
	for tool, from := range map[string]string{"ip": "iproute2", "tc": "iproute2", "nft": "nftables", "iptables-nft": "iptables"} {
		need.Tool(t, tool, from)
	}
	type made struct {
		file *os.File
		err  error
	}
	done := make(chan made)
	go func() {
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			done <- made{err: err}
			return
		}
		f, err := os.Open("/proc/thread-self/ns/net")
		done <- made{f, err}
	}()
	m := <-done
	if m.err != nil {
		t.Fatal(m.err)
	}
	t.Cleanup(func() { m.file.Close() })
	path = fmt.Sprintf("/proc/self/fd/%d", m.file.Fd())
	return path, func(script string) {
		t.Helper()
		err := inside(path, func(*reader) error {
			cmd := exec.Command("sh", "-e")
			cmd.Stdin = strings.NewReader(script)
			cmd.Env = append(os.Environ(), "XTABLES_LOCKFILE="+filepath.Join(t.TempDir(), "lock")) // /run may be another user's
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Logf("%s", out)
			}
			return err
		})
		if err != nil {
			t.Fatalf("cannot run the script: %v", err)
		}
	}
}

// everything is a namespace with one thing of each kind that a plugin may make.
const everything = `
ip link set lo up
ip link add name br0 address 02:00:00:00:00:0b type bridge
ip link add name pod0 address 02:00:00:00:00:0a type veth peer name pod1 address 02:00:00:00:00:0c
ip link set pod0 up master br0 alias "a pod" group 7001
ip link set pod1 up mtu 1400
ip address add 10.0.0.1/24 dev pod1
ip -6 address add 2001:db8::1/64 dev pod1 nodad
ip route add 10.9.0.0/16 via 10.0.0.2 mtu 1300 table 77 proto 233
ip -6 route add default via 2001:db8::2
ip rule add from 10.0.0.1 lookup 77 priority 500
ip neighbour add 10.0.0.3 lladdr 02:00:00:00:00:03 dev pod1 nud permanent
ip neighbour add proxy 10.0.0.4 dev pod1
tc qdisc add dev pod1 root tbf rate 1mbit burst 32kbit latency 400ms
tc qdisc add dev pod1 handle ffff: ingress
tc filter add dev pod1 parent ffff: protocol ip prio 1 u32 match u32 0 0 action mirred egress redirect dev lo
iptables-nft -t nat -N CNI-X
iptables-nft -t nat -A POSTROUTING -s 1.2.3.4 -j MASQUERADE
iptables-legacy -t filter -A FORWARD -s 1.2.3.4 -j ACCEPT
nft -f - <<END
table inet own {
	comment "a table"
	map ports {
		type inet_proto . inet_service : ipv4_addr . inet_service
		elements = { udp . 53 comment "n/c, {2}/e" : 10.0.0.2 . 53, tcp . 80 comment "n/c/e" : 10.0.0.1 . 80 }
	}
	chain in {
		type nat hook prerouting priority dstnat + 10; policy accept;
		ip saddr 1.2.3.4 counter accept comment "one"
		meta l4proto { tcp, udp } jump other
	}
	chain other {
	}
}
END
sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.pod1.rp_filter=2
`

func TestDiffSaysWhatWasMade(t *testing.T) {
	path, run := namespace(t)
	ctx := context.Background()
	before, err := Read(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	run(everything)
	after, err := Read(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	want := `
- link      lo mtu 65536 down mac 00:00:00:00:00:00
+ link      br0 bridge mtu 1500 down mac 02:00:00:00:00:0b
+ link      lo mtu 65536 up mac 00:00:00:00:00:00
+ link      pod0 veth mtu 1500 up mac 02:00:00:00:00:0a peer pod1 master br0 group 7001 alias "a pod"
+ link      pod1 veth mtu 1400 up mac 02:00:00:00:00:0c peer pod0
+ address   10.0.0.1/24 dev pod1 scope global
+ address   127.0.0.1/8 dev lo scope host
+ address   2001:db8::1/64 dev pod1 scope global nodad
+ address   ::1/128 dev lo scope host
+ route     10.0.0.0/24 dev pod1 proto kernel scope link src 10.0.0.1
+ route     10.9.0.0/16 via 10.0.0.2 dev pod1 table 77 proto enichain mtu 1300
+ route     2001:db8::/64 dev pod1 proto kernel metric 256
+ route     ::/0 via 2001:db8::2 dev pod1
+ rule      500: from 10.0.0.1 lookup 77
+ neighbour 10.0.0.3 dev pod1 lladdr 02:00:00:00:00:03 permanent
+ neighbour 10.0.0.4 dev pod1 proxy
+ nft       table inet own
+ nft       inet own: comment "a table"
+ nft       inet own map ports
+ nft       inet own map ports: type inet_proto . inet_service : ipv4_addr . inet_service
+ nft       inet own map ports: element tcp . 80 comment "n/c/e" : 10.0.0.1 . 80
+ nft       inet own map ports: element udp . 53 comment "n/c, {2}/e" : 10.0.0.2 . 53
+ nft       inet own chain in
+ nft       inet own chain in: type nat hook prerouting priority dstnat + 10; policy accept;
+ nft       inet own chain in: ip saddr 1.2.3.4 counter accept comment "one"
+ nft       inet own chain in: meta l4proto { tcp, udp } jump other
+ nft       inet own chain other
+ iptables  iptables-nft table nat
+ iptables  iptables-nft nat chain CNI-X
+ iptables  iptables-nft nat -A POSTROUTING -s 1.2.3.4/32 -j MASQUERADE
+ iptables  iptables-legacy table filter
+ iptables  iptables-legacy filter -A FORWARD -s 1.2.3.4/32 -j ACCEPT
+ tc        filter dev pod1 protocol ip pref 1 u32 chain 0
+ tc        filter dev pod1 protocol ip pref 1 u32 chain 0 fh 800: ht divisor 1
+ tc        filter dev pod1 protocol ip pref 1 u32 chain 0 fh 800::800 order 2048 key ht 800 bkt 0 terminal flowid not_in_hw match 00000000/00000000 at 0 action order 1: mirred (Egress Redirect to device lo) stolen
+ tc        qdisc ingress ffff: dev pod1 parent ffff:fff1
+ tc        qdisc tbf auto: dev pod1 root rate 1Mbit burst 4Kb/1 mpu 0b lat 400ms linklayer ethernet
- sysctl    net.ipv4.conf.all.accept_redirects = 1
+ sysctl    net.ipv4.conf.all.accept_redirects = 0
- sysctl    net.ipv4.conf.all.forwarding = 0
+ sysctl    net.ipv4.conf.all.forwarding = 1
- sysctl    net.ipv4.conf.default.forwarding = 0
+ sysctl    net.ipv4.conf.default.forwarding = 1
+ sysctl    net.ipv4.conf.pod1.rp_filter = 2
- sysctl    net.ipv4.ip_forward = 0
+ sysctl    net.ipv4.ip_forward = 1
`
	if diff := cmp.Diff(strings.Split(strings.TrimLeft(want, "\n"), "\n"), strings.Split(Text(Diff(before, after)), "\n")); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	again, err := Read(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	if changes := Diff(after, again); len(changes) > 0 {
		t.Errorf("nobody did anything, and yet:\n%s", Text(changes))
	}
}

func BenchmarkRead(b *testing.B) {
	path, run := namespace(b)
	run(everything)
	for b.Loop() {
		if _, err := Read(context.Background(), path); err != nil {
			b.Fatal(err)
		}
	}
}

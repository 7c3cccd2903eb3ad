//go:build ipamd

// Package ipamd runs amazon-vpc-cni-k8s's own agent, unmodified, against the lab: whether EC2, metadata and links are
// good enough for a program that knows only the real ones. 'make test-ipamd' runs it; it builds that agent from its Go
// module first, which takes minutes, so 'make test' does not.
package ipamd

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/enichain/enichain/test/lab/vpc"
)

// The agent comes up and fills its pool, in each of its modes, by calls that are all granted.
func TestFillsItsPool(t *testing.T) {
	agent := program(t)
	for _, test := range []struct {
		name     string
		env      []string
		total    string         // of its metric awscni_total_ip_addresses, when full
		mutating map[string]int // calls that change something
		links    string
		has      func(all []vpc.NetworkInterface) string
		want     string
	}{
		{"secondary addresses", []string{"ENABLE_IPv4=true", "ENABLE_IPv6=false", "MINIMUM_IP_TARGET=25", "WARM_IP_TARGET=2"}, "25",
			map[string]int{"AssignPrivateIpAddresses": 1, "AttachNetworkInterface": 2, "CreateNetworkInterface": 2,
				"CreateTags": 1, "ModifyNetworkInterfaceAttribute": 3},
			"eth0 eth1 eth2", singles, "3 interfaces, 25 addresses"},
		{"prefixes", []string{"ENABLE_IPv4=true", "ENABLE_IPv6=false", "ENABLE_PREFIX_DELEGATION=true", "MINIMUM_IP_TARGET=40", "WARM_IP_TARGET=2"}, "48",
			map[string]int{"AssignPrivateIpAddresses": 1, "CreateTags": 1, "ModifyNetworkInterfaceAttribute": 1},
			"eth0", blocks, "3 /28, 0 /80"},
		{"IPv6", []string{"ENABLE_IPv4=false", "ENABLE_IPv6=true", "ENABLE_PREFIX_DELEGATION=true"}, "2.81474976710656e+14",
			map[string]int{"AssignIpv6Addresses": 1, "CreateTags": 1, "ModifyNetworkInterfaceAttribute": 1},
			"eth0", blocks, "0 /28, 1 /80"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			log := l.run(agent, test.env)
			l.until(log, "awscni_total_ip_addresses "+test.total)
			got := map[string]int{}
			for _, c := range l.world.Counts() {
				if c.Throttled+c.Refused > 0 {
					t.Errorf("%s: %d calls were throttled, %d refused", c.Action, c.Throttled, c.Refused)
				}
				if !strings.HasPrefix(c.Action, "Describe") {
					got[c.Action] = c.Accepted
				}
				t.Logf("%-32s %d", c.Action, c.Accepted)
			}
			if diff := cmp.Diff(test.mutating, got); diff != "" {
				t.Errorf("calls up to a full pool (-want +got):\n%s", diff)
			}
			if got := test.has(l.world.Attached(time.Now(), l.instance.ID)); got != test.want {
				t.Errorf("EC2 has %s, want %s", got, test.want)
			}
			up, err := l.node.Exec(t.Context(), "sh", "-c", "ip -o link show up | grep -o 'eth[0-9]' | sort -u | tr '\\n' ' '")
			if err != nil || strings.TrimSpace(up) != test.links {
				t.Errorf("links that are up: %q, want %q: %v", up, test.links, err)
			}
			if l.get("http://127.0.0.1:61679/v1/enis") == "" {
				t.Error("its introspection does not answer")
			}
		})
	}
}

func singles(all []vpc.NetworkInterface) string {
	n := 0
	for _, e := range all {
		n += len(e.Secondary)
	}
	return fmt.Sprintf("%d interfaces, %d addresses", len(all), n)
}

func blocks(all []vpc.NetworkInterface) string {
	four, six := 0, 0
	for _, e := range all {
		four, six = four+len(e.Prefixes), six+len(e.IPv6Prefixes)
	}
	return fmt.Sprintf("%d /28, %d /80", four, six)
}

// until waits for a line of the agent's metrics.
func (l *lab) until(log, line string) {
	l.t.Helper()
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	end := time.After(3 * time.Minute)
	for {
		if strings.Contains(l.get("http://127.0.0.1:61678/metrics"), line+"\n") {
			return
		}
		select {
		case <-tick.C:
		case <-end:
			text, _ := os.ReadFile(log)
			l.t.Fatalf("its metrics never say %q; the end of its log:\n%s", line, text[max(0, len(text)-4000):])
		case <-l.ended:
			text, _ := os.ReadFile(log)
			l.t.Fatalf("it ended; the end of its log:\n%s\n%s", text[max(0, len(text)-2000):], l.words.String())
		}
	}
}

// get asks inside of the node; an empty text if nobody answers. The transport dials on a thread of its own, so the
// connection is made here first.
func (l *lab) get(url string) string {
	address := strings.Split(url, "/")[2]
	var connection net.Conn
	err := l.node.Do(func() (err error) {
		connection, err = net.DialTimeout("tcp", address, 2*time.Second)
		return err
	})
	if err != nil {
		return ""
	}
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(context.Context, string, string) (net.Conn, error) { return connection, nil }}}
	r, err := client.Get(url)
	if err != nil {
		return ""
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return ""
	}
	return string(text)
}

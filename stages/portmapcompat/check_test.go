package portmapcompat

import (
	"errors"
	"strings"
	"testing"

	"github.com/enichain/enichain/stages"
)

func TestCheckFindsDriftAndAddMends(t *testing.T) {
	const table = "inet enichain-portmap-compat "
	tests := []struct{ name, damage, want string }{
		{"element gone", "nft delete element " + table + "ports '{ tcp . 8080 }'", "host port 8080/tcp is missing"},
		{"element leads elsewhere", "nft delete element " + table + "ports '{ tcp . 8080 }'; nft add element " + table +
			`ports '{ tcp . 8080 comment "enichain/a/eth0" : 10.0.1.2 . 80 }'`, "host port 8080/tcp leads to 10.0.1.2:80, not to 10.0.1.1:80"},
		{"element without an owner", "nft delete element " + table + "ports6 '{ tcp . 8080 }'; nft add element " + table +
			`ports6 '{ tcp . 8080 : fd00:1::1 . 80 }'`, "host port 8080/tcp belongs to nobody now; see nft list table inet enichain-portmap-compat"},
		{"hairpin gone", "nft flush set " + table + "hairpin", "its element of set hairpin is missing"},
		{"rules gone", "nft flush chain " + table + "to-pods", "chain to-pods in table enichain-portmap-compat has 0 rules, not 4"},
		{"hook gone", "nft flush chain " + table + "prerouting", "chain prerouting in table enichain-portmap-compat has 0 rules, not 1"},
		{"masquerading gone", "nft flush chain " + table + "postrouting", "chain postrouting in table enichain-portmap-compat has 0 rules, not 4"},
		{"index gone", "nft flush set " + table + "pods", "its element of set pods is missing"},
		{"index deleted", "nft delete set " + table + "pods", "its element of set pods is missing"},
		{"table gone", "nft delete table " + table, "host port 8080/tcp is missing from table enichain-portmap-compat"},
		{"setting gone", "echo 0 > /proc/sys/net/ipv4/conf/pod-a/route_localnet", "net/ipv4/conf/pod-a/route_localnet is 0, not 1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			r := request("a", "", web)
			w.add(r)
			w.node.Script(tt.damage)
			err := w.do(Stage{}.Check, r)
			var e *stages.Error
			if !errors.As(err, &e) || e.Token != stages.Drift || !strings.Contains(e.Text, tt.want) {
				t.Errorf("Check = %v, want DRIFT with %q", err, tt.want)
			}
			w.add(r)
			w.must(Stage{}.Check, r)
			if got := ask(t, w.outside, "tcp", "198.51.100.1", "10.0.0.10:8080"); got != "a sees 198.51.100.1" {
				t.Errorf("after Add: %s", got)
			}
		})
	}
}

func TestGC(t *testing.T) {
	w := newWorld(t)
	w.add(request("a", "", web))
	w.add(request("b", "", dns))
	foreign := request("b", "", `{"hostPort":9000,"containerPort":80,"protocol":"tcp"}`)
	foreign.Network, foreign.Container = "enichain2", "x"
	foreign.Prev.IPs = foreign.Prev.IPs[:1]
	foreign.Prev.IPs[0].Address = cidr("10.0.1.3/32")
	w.node.Run("ip", "route", "add", "10.0.1.3", "dev", "pod-b")
	w.add(foreign)
	gc := &stages.Request{Command: "GC", Attachment: stages.Attachment{Network: "enichain"}, Config: []byte(`{}`)}
	w.must(Stage{}.GC, gc)
	if text := w.table(); !strings.Contains(text, "enichain/a/") {
		t.Errorf("a GC without a list took something:\n%s", text)
	}
	gc.Valid = []stages.Attachment{request("b", "", "").Attachment}
	w.must(Stage{}.GC, gc)
	w.must(Stage{}.Check, request("b", "", dns))
	w.must(Stage{}.Check, foreign)
	if text := w.table(); strings.Contains(text, "enichain/a/") {
		t.Errorf("after GC:\n%s", text)
	}
	gc.Valid = []stages.Attachment{}
	w.must(Stage{}.GC, gc)
	w.must(Stage{}.Check, foreign)
	gc.Network = "enichain2"
	w.must(Stage{}.GC, gc)
	if text := w.table(); text != "" {
		t.Errorf("after the last GC:\n%s", text)
	}
}

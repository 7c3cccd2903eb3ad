package routedveth_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/enichain/enichain/stages/internal/linktest"
	"github.com/enichain/enichain/stages/routedveth"
)

// Upstream's loopback stands first in many lists, and says the addresses of lo.
const lo = `"interfaces":[{"name":"lo","mac":"00:00:00:00:00:00","sandbox":"/x"}],"ips":[{"address":"127.0.0.1/8","interface":0},` +
	`{"address":"::1/128","interface":0}]`

// TestBehindLoopback: what belongs to lo is no address to wire, and nobody's business behind it.
func TestBehindLoopback(t *testing.T) {
	n := newNode(t)
	n.prepare(routedveth.ENI{N: 0, MAC: mac0})
	pod := linktest.New(t)
	r := request(t, "c1", pod, `{"cniVersion":"1.0.0",`+lo+`}`)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "pool"), []byte(strings.ReplaceAll(delegate, "LOG", dir+"/log")), 0o755); err != nil {
		t.Fatal(err)
	}
	r.Config = []byte(`{"cniVersion":"1.0.0","name":"enichain","type":"routed-veth","ipam":{"type":"pool"}}`)
	r.Path, r.Environ = []string{dir}, os.Environ()
	added := n.add(r)
	text, _ := json.Marshal(added.IPs)
	same(t, "addresses", `[{"interface":1,"address":"192.168.100.9/32","gateway":"169.254.1.1"}]`, string(text))
	if len(added.Interfaces) != 2 || added.Interfaces[1].Name != "eth0" {
		t.Errorf("interfaces %v", added.Interfaces)
	}
	if err := n.check(r, added); err != nil {
		t.Error(err)
	}
}

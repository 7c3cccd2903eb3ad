package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/reconcile"
)

func TestFleet(t *testing.T) {
	n := newNode(t)
	n.daemon(`{"version":"v1","bus":{"connected":true}}`, "")
	n.golden(exitBlind, `
enichainctl: the daemon of this machine is no reconciler, or does not answer for it now
ask where it has the role reconciler: mostly on the control plane`, "fleet")
	n = newNode(t)
	counts := func(leased, free, cooling int) map[ipam.State]int {
		return map[ipam.State]int{ipam.Leased: leased, ipam.Free: free, ipam.Cooling: cooling}
	}
	picture, err := json.Marshal(map[string]any{"reconciler": reconcile.Picture{Leading: true, Orphans: 1,
		Nodes: []reconcile.NodeState{
			{Instance: "i-1", Type: "m5.large", State: "running", Silent: 12 * time.Second, ENIs: 2, Pools: []reconcile.PoolState{
				{Name: "default", Counts: counts(10, 4, 1), Ceiling: 27},
				{Name: "payments", Counts: counts(0, 0, 0), Waiting: 2, Why: &ipam.Why{Code: reconcile.WhyNoSubnet, Text: "no subnet of pool payments in zone a"}}}},
			{Instance: "i-2", Type: "m5.large", State: "running", Silent: time.Second, ENIs: 1, Pools: []reconcile.PoolState{{Name: "default", Counts: counts(3, 4, 0)}}},
		},
		Subnets: []reconcile.SubnetState{{ID: "subnet-a", Zone: "a", Free: 0, Refused: "InsufficientFreeAddressesInSubnet", Blocked: 29600 * time.Millisecond},
			{ID: "subnet-b", Zone: "b", Free: 200, Fragmented: 9 * time.Minute}, {ID: "subnet-c", Zone: "b", Free: 4}}}})
	if err != nil {
		t.Fatal(err)
	}
	n.daemon(string(picture), "")
	n.golden(exitWrong, `
NODE  TYPE      STATE    HEARD    INTERFACES  POOL      LEASED  WARM  COOLING  WAITING  CEILING  WHY
i-1   m5.large  running  12s ago  2           default   10      4     1        0        27       -
                                              payments  0       0     0        2        -        no subnet of pool payments in zone a (NoSubnet)
i-2   m5.large  running  1s ago   1           default   3       4     0        0        -        -

SUBNET    ZONE  FREE  REFUSED                            NEXT TRY
subnet-a  a     0     InsufficientFreeAddressesInSubnet  in 30s
subnet-b  b     200   no free /28                        in 9m00s
subnet-c  b     4     -                                  -

2 nodes: 13 leased  8 warm  1 cooling; 1 interface without a node`, "fleet")
	n.golden(exitOK, `
NODE  TYPE      STATE    HEARD    INTERFACES  POOL     LEASED  WARM  COOLING  WAITING  CEILING  WHY
i-1   m5.large  running  12s ago  2           default  10      4     1        0        27       -
i-2   m5.large  running  1s ago   1           default  3       4     0        0        -        -

SUBNET    ZONE  FREE  REFUSED                            NEXT TRY
subnet-a  a     0     InsufficientFreeAddressesInSubnet  in 30s
subnet-b  b     200   no free /28                        in 9m00s
subnet-c  b     4     -                                  -

2 nodes: 13 leased  8 warm  1 cooling; 1 interface without a node`, "fleet", "--name", "default")
}

// TestRefusedConfiguration is told, for the daemon goes on with an earlier one.
func TestRefusedConfiguration(t *testing.T) {
	n := full(t)
	n.tell(nil, nil)
	n.daemon(`{"version":"v1","bus":{"connected":true},"config":{"file":"/etc/enichain/enichaind.yaml","faults":["pools[0].mode is \"x\""],`+
		`"restart":["socket"]}}`, "")
	text, code := n.run("status")
	for _, want := range []string{`WRONG   /etc/enichain/enichaind.yaml is not taken: pools[0].mode is "x"` + "\n",
		"WRONG   /etc/enichain/enichaind.yaml changed socket: restart enichaind\n"} {
		if code != exitWrong || !strings.Contains(text, want) {
			t.Errorf("exit %d, no %q in\n%s", code, want, text)
		}
	}
}

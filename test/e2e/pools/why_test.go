package pools_test

import (
	"fmt"
	"maps"
	"testing"

	"github.com/enichain/enichain/test/e2e/live"
)

// TestWhy: a pod that gets no address is told the cause, each in words of its own. A full subnet, throttling, a dead
// daemon and a dead bus are tried in test/e2e/outage.
func TestWhy(t *testing.T) {
	t.Parallel()
	const policy = "    - name: default\n      mode: "
	for _, tt := range []struct {
		name, lab string
		fault     []string
		list      map[string]any // keys of eni-ipam
		pods      int            // that run before
		says      string         // pattern of the error, behind the stage's name
	}{
		{name: "the instance type carries no more", lab: live.OneNode("t3.small", policy+"secondary\n"+hurry), pods: 9,
			says: `POOL_EMPTY .* after \d+ s: 9 of 9 leased; .*t3\.small.*`},
		{name: "the pool's maximum", lab: live.OneNode("t3.medium", policy+"secondary\n      warm: { free: 2, maximum: 3 }\n      cooldown: 1s\n"), pods: 3,
			says: `POOL_EMPTY .* after \d+ s: 3 of 3 leased; the policy allows 3 addresses of pool default on a node .*`},
		{name: "EC2 denies", lab: live.OneNode("t3.medium", policy+"secondary\n      warm: { free: 2 }\n      cooldown: 1s\n"), pods: 2,
			fault: []string{"deny", "AssignPrivateIpAddresses"},
			says:  `POOL_EMPTY .* after \d+ s: 2 of 2 leased; EC2 refuses AssignPrivateIpAddresses: the reconciler's role lacks ec2:AssignPrivateIpAddresses.*; next try (now|in \d+ s).*`},
		{name: "the subnet has no free /28", lab: live.OneNode("t3.medium", policy+"prefix\n      warm: { free: 1 }\n      cooldown: 1s\n"), pods: 16,
			fault: []string{"fragment", "subnet-a"},
			says:  `POOL_EMPTY .* after \d+ s: 16 of 16 leased; subnet-\w+ \(10\.110\.10\.0/24\) .*/28.*`},
		{name: "a pool that nobody configured", lab: live.OneNode("t3.medium", policy+"secondary\n"+hurry), list: map[string]any{"pool": "gold"},
			says: `POOL_EMPTY .* after \d+ s: .*no pool "gold" is configured; this node's only pool is default.*`},
		{name: "a family that the pool has not", lab: live.OneNode("t3.medium", policy+"secondary\n"+hurry), list: map[string]any{"families": []string{"ipv6"}}, // nobody waits
			says: `CONFIG .*families: it asks for "ipv6", and pool "default" has \["ipv4"\] alone;.*`},
		{name: "an instance type without prefixes", lab: live.OneNode("t2.medium", policy+"secondary\n"+hurry+"    - name: dense\n      mode: prefix\n      usePrimary: false\n"),
			list: map[string]any{"pool": "dense"},
			says: `POOL_EMPTY .* after \d+ s: 0 of 0 leased in pool "dense"; .*t2\.medium.*prefixes.*`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := live.Up(t, "why", tt.lab)
			if tt.pods > 0 {
				l.Pool("node-1", "default", "addresses for its first pods", func(p live.Pool) bool { return p.Counts.Free > 0 })
			}
			if tt.fault != nil {
				l.Must("fault", "set", tt.fault[0], tt.fault[1])
			}
			for i := range tt.pods {
				l.Start(fmt.Sprint("warm", i), "--node", "node-1")
			}
			keys := map[string]any{"wait": "2s"}
			maps.Copy(keys, tt.list)
			l.Told(tt.says, "late", "--node", "node-1", "--conflist", l.List("05-enichain.conflist", keys))
		})
	}
}

package reconcile

import (
	"fmt"
	"hash/fnv"
	"strings"
	"time"

	"github.com/enichain/enichain/ipam"
)

// gate is something that EC2 has refused to one node and would refuse to the others: until its time nobody asks again,
// then one node at a time, and everybody after some of those in a row were granted.
type gate struct {
	code       string
	text       string // for people
	subnet     ipam.SubnetID
	since      time.Time
	until      time.Duration
	fails      int
	granted    int
	probe      ipam.InstanceID // who is asking now
	configured bool            // it is about the configuration: a new one opens it
}

// What gates are about: the rest of the key says which.
const (
	gateBlocks = "blocks " // a subnet's free /28
	gateSix    = "ipv6 "   // a subnet's free /80 and IPv6 addresses
	gateSubnet = "subnet " // a subnet that EC2 does not know
	gateGroups = "groups " // security groups
	gateDenied = "denied " // an action
	gateQuota  = "quota "  // an action
	reopen     = 3         // grants in a row that open a gate
	fragmented = 10 * time.Minute
	gateLeast  = 10 * time.Second
	gateMost   = 5 * time.Minute
)

// shut says whether a node must not ask now.
func (g *gate) shut(now Now, n *node) bool {
	return g != nil && (now.At < g.until || g.probe != "" && g.probe != n.id)
}

// groupsGate is the key of the gate of some security groups: nodes of one pool may have others, those of their primary
// interfaces.
func groupsGate(groups []string) string { return gateGroups + strings.Join(groups, " ") }

// gatesOf are the keys of the gates that a call has to pass.
func gatesOf(call Call) []string {
	keys := []string{gateDenied + string(call.Action), gateQuota + string(call.Action)}
	switch call.Action {
	case Create:
		keys = append(keys, groupsGate(call.Groups), gateSubnet+string(call.Subnet))
	case Bind:
		if len(call.Groups) > 0 {
			keys = append(keys, groupsGate(call.Groups))
		}
	case Assign6:
		keys = append(keys, gateSix+string(call.Subnet))
	}
	if call.Prefixes > 0 {
		keys = append(keys, gateBlocks+string(call.Subnet))
	}
	return keys
}

// pass says whether a node may make a call now, as far as others' refusals go.
func (c *Core) pass(now Now, n *node, call Call) bool {
	for _, key := range gatesOf(call) {
		if c.gates[key].shut(now, n) {
			return false
		}
	}
	return true
}

// probing notes that a node asks, and tried what came of it.
func (c *Core) probing(n *node, call Call) {
	for _, key := range gatesOf(call) {
		if g := c.gates[key]; g != nil {
			g.probe = n.id
		}
	}
}

func (c *Core) tried(call Call, n *node, a Answer) {
	for _, key := range gatesOf(call) {
		g := c.gates[key]
		if g == nil || g.probe != n.id {
			continue
		}
		g.probe = ""
		if a.Class == Done {
			if g.granted++; g.granted >= reopen {
				delete(c.gates, key)
			}
		}
	}
}

// bolt shuts what a refused call was refused by, if others would be refused for the same; false if it is the node's affair.
func (c *Core) bolt(now Now, call Call, a Answer, text string) bool {
	key, least, most := "", gateLeast, gateMost
	switch a.Class {
	case SubnetFull:
		switch least, most = fragmented, fragmented; {
		case call.Prefixes > 0:
			key = gateBlocks + string(call.Subnet)
		case call.Action == Assign6:
			key = gateSix + string(call.Subnet)
		}
	case Denied:
		key = gateDenied + string(call.Action)
	case Quota:
		key = gateQuota + string(call.Action)
	case BadConfig:
		switch {
		case strings.HasPrefix(a.Code, "InvalidSubnet"):
			key = gateSubnet + string(call.Subnet)
		case len(call.Groups) > 0:
			key = groupsGate(call.Groups)
		}
	}
	if key == "" {
		return false
	}
	g := c.gates[key]
	if g == nil {
		g = &gate{since: now.Wall}
		c.gates[key] = g
	}
	g.code, g.text, g.granted, g.probe = a.Code, text, 0, ""
	g.configured = a.Class == BadConfig
	if a.Class == SubnetFull {
		g.subnet = call.Subnet
	}
	g.fails++
	g.until = now.At + spread(backoff(g.fails, least, most), key, g.fails)
	return true
}

// spread lengthens a time by up to a quarter, by its subject, so that not everything comes at once.
func spread(d time.Duration, subject any, turn int) time.Duration {
	h := fnv.New32a()
	fmt.Fprint(h, subject, turn)
	return d + d/4*time.Duration(h.Sum32()%1000)/1000
}

// why tells people about a gate; nil if it is open.
func (g *gate) why(now Now) *ipam.Why {
	if g == nil {
		return nil
	}
	return &ipam.Why{Code: g.code, Text: g.text, Subnet: g.subnet, Since: g.since, RetryIn: seconds(g.until - now.At)}
}

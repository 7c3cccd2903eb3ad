package pods

import (
	"fmt"
	"strings"
)

// subject is a chain under test.
type subject struct {
	id      string // in the IDs of figures
	name    string // for people
	plugins string // of the list, as JSON; /STATE stands for the file or folder of its addresses
	list    string // the whole list as JSON, where it is not made of plugins
	ports   int    // host ports that each pod asks for
	pool    bool   // needs prepared interfaces and a pool file
	check   bool   // has the verb CHECK
	floor   bool   // needs the floor's ruleset
	daemon  bool   // takes over the sockets that stages would wait for
}

const (
	stateMark = "/STATE"
	mappings  = `"capabilities": {"portMappings": true}`
	hostLocal = `"ipam": {"type": "host-local", "dataDir": "` + stateMark + `", "ranges": [[{"subnet": "10.244.0.0/16"}]], "routes": [{"dst": "0.0.0.0/0"}]}`
	ptp       = `{"type": "ptp", "ipMasq": false, ` + hostLocal + `}`
	bridge    = `{"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": false, ` + hostLocal + `}`
	iptables  = `{"type": "portmap", "backend": "iptables", "snat": true, ` + mappings + `}`
	nftables  = `{"type": "portmap", "backend": "nftables", "snat": true, ` + mappings + `}`
	// As shipped (misc/10-aws.conflist), but for egress-cni, which that list has disabled and which does nothing then.
	awsCNI = `{"type": "aws-cni", "vethPrefix": "eni", "mtu": "9001", "podSGEnforcingMode": "strict", "pluginLogFile": "` + stateMark + `.log", "pluginLogLevel": "DEBUG", "capabilities": {"io.kubernetes.cri.pod-annotations": true}}`
	ours   = `{"type": "eni-ipam", "poolFile": "` + stateMark + `"}, {"type": "routed-veth"}, {"type": "snat"}, {"type": "portmap-compat", ` + mappings + `}`
	lease  = `"leases": "` + stateMark + `"`
	floor4 = `{"type": "floor-address", ` + lease + `}, {"type": "floor-veth"}, {"type": "floor-snat"}, {"type": "floor-ports", ` + mappings + `}`
	floor1 = `{"type": "floor-fused", ` + lease + `, ` + mappings + `}`
)

// The chains that others are held against.
const (
	awsPortmap = "aws-portmap" // "b" of the baseline
	awsAlone   = "aws"         // "a"
	floorFused = "floor-fused" // "F1": one process, whose DEL leaves the links to the end of the pod's namespace
)

// own are our chains; what is fused has its list from enichainctl.
func own(fused string) []subject {
	all := []subject{
		{id: "ours-1port", name: "enichain, 4 stages", plugins: ours, ports: 1, pool: true, check: true},
		{id: "ours-daemon", name: "enichain, 4 stages, daemon running", plugins: ours, ports: 1, pool: true, check: true, daemon: true},
		{id: "ours-0port", name: "enichain, 4 stages, no host port", plugins: ours, pool: true, check: true},
	}
	if fused != "" {
		all = append(all,
			subject{id: "fused-1port", name: "enichain, fused", list: fused, ports: 1, pool: true, check: true},
			subject{id: "fused-daemon", name: "enichain, fused, daemon running", list: fused, ports: 1, pool: true, check: true, daemon: true},
			subject{id: "fused-0port", name: "enichain, fused, no host port", list: fused, pool: true, check: true})
	}
	return all
}

// others are upstream's chains, amazon-vpc-cni-k8s's, and the floors.
func others(aws bool) []subject {
	all := []subject{
		{id: "ptp-iptables", name: "ptp + host-local + portmap (iptables)", plugins: ptp + ", " + iptables, ports: 1, check: true},
		{id: "ptp-nftables", name: "ptp + host-local + portmap (nftables)", plugins: ptp + ", " + nftables, ports: 1, check: true},
		{id: "bridge-iptables", name: "bridge + host-local + portmap (iptables)", plugins: bridge + ", " + iptables, ports: 1, check: true},
		{id: floorFused, name: "floor: one process", plugins: floor1, ports: 1, floor: true},
		{id: "floor-four", name: "floor: four processes", plugins: floor4, ports: 1, floor: true},
	}
	if aws {
		all = append([]subject{
			{id: awsPortmap, name: "aws-cni + portmap (iptables)", plugins: awsCNI + ", " + iptables, ports: 1},
			{id: awsAlone, name: "aws-cni alone, no host port", plugins: awsCNI}}, all...)
	}
	return all
}

// conflist is the subject's list with its state at a path.
func (s subject) conflist(state string) string {
	text := s.list
	if text == "" {
		text = fmt.Sprintf(`{"cniVersion": "1.0.0", "name": %q, "plugins": [%s]}`, s.id, s.plugins)
	}
	return strings.ReplaceAll(text, stateMark, state)
}

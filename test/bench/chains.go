package main

import "fmt"

// chain is a list under test. The first one is what the others are compared with.
type chain struct {
	name string
	list string // a conflist; stateMark stands for the file or folder where its addresses are kept
	pool bool   // needs a pool file and prepared interfaces
}

const ports = `"capabilities": {"portMappings": true}`

var chains = []chain{
	{name: "ptp+host-local+portmap(iptables)", list: list("a", hostLocalPTP, `{"type": "portmap", "backend": "iptables", "snat": true, `+ports+`}`)},
	{name: "ptp+host-local+portmap(nftables)", list: list("b", hostLocalPTP, `{"type": "portmap", "backend": "nftables", "snat": true, `+ports+`}`)},
	{name: "ptp+host-local", list: list("c", hostLocalPTP)},
	{name: "enichain, four stages", pool: true, list: list("d", eniIPAM, `{"type": "routed-veth"}`, `{"type": "snat"}`, `{"type": "portmap-compat", `+ports+`}`)},
	{name: "enichain, two stages", pool: true, list: list("e", eniIPAM, `{"type": "routed-veth"}`)},
}

const (
	stateMark    = "STATE"
	hostLocalPTP = `{"type": "ptp", "ipMasq": false, "ipam": {"type": "host-local", "dataDir": "` + stateMark + `", "ranges": [[{"subnet": "10.244.0.0/16"}]], "routes": [{"dst": "0.0.0.0/0"}]}}`
	eniIPAM      = `{"type": "eni-ipam", "poolFile": "` + stateMark + `"}`
)

func list(name string, stages ...string) string {
	text := fmt.Sprintf(`{"cniVersion": "1.0.0", "name": %q, "plugins": [`, name)
	for i, s := range stages {
		if i > 0 {
			text += ", "
		}
		text += s
	}
	return text + "]}"
}

// Command routed-veth is a CNI stage: a wire from the node to the pod, and the routing that makes the pod's packets
// leave by the right network interface. stages/routedveth/README.md is its manual.
//
//go:debug updatemaxprocs=0
package main

import (
	"github.com/enichain/enichain/stages"
	"github.com/enichain/enichain/stages/routedveth"
)

func main() { stages.Main("routed-veth", routedveth.New()) }

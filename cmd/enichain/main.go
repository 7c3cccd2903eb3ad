// Command enichain is all stages in one: neighbours in a list that "enichainctl chain fuse" put together run in one
// process instead of one each.
//
//go:debug updatemaxprocs=0
package main

import (
	"github.com/enichain/enichain/chain/contract"
	"github.com/enichain/enichain/stages"
	"github.com/enichain/enichain/stages/eniipam"
	"github.com/enichain/enichain/stages/fastpath"
	"github.com/enichain/enichain/stages/portmapcompat"
	"github.com/enichain/enichain/stages/routedveth"
	"github.com/enichain/enichain/stages/snat"
)

func main() {
	stages.Main(contract.Fused, stages.Fuse(
		stages.Named{Type: "eni-ipam", Stage: eniipam.Stage{}},
		stages.Named{Type: "routed-veth", Stage: routedveth.New()},
		stages.Named{Type: "snat", Stage: snat.New()},
		stages.Named{Type: "portmap-compat", Stage: portmapcompat.New()},
		stages.Named{Type: "fastpath", Stage: fastpath.New()},
	))
}

// Command portmap-compat is a CNI stage: ports of the host lead to the pod, configured as upstream's portmap.
// stages/portmapcompat/README.md is its manual.
//
//go:debug updatemaxprocs=0
package main

import (
	"github.com/enichain/enichain/stages"
	"github.com/enichain/enichain/stages/portmapcompat"
)

func main() { stages.Main("portmap-compat", portmapcompat.New()) }

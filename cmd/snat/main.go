// Command snat is a CNI stage: packets that leave the VPC get the node's primary address. stages/snat/README.md is its
// manual.
//
//go:debug updatemaxprocs=0
package main

import (
	"github.com/enichain/enichain/stages"
	"github.com/enichain/enichain/stages/snat"
)

func main() { stages.Main("snat", snat.New()) }

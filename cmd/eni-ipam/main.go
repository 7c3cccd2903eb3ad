// Command eni-ipam is the stage that gives a container an address of the node's network interfaces.
//
//go:debug updatemaxprocs=0
package main

import (
	"github.com/enichain/enichain/stages"
	"github.com/enichain/enichain/stages/eniipam"
)

func main() { stages.Main("eni-ipam", eniipam.Stage{}) }

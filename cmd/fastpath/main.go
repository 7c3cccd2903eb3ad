// Command fastpath is a CNI stage: packets of established flows go straight from link to link. stages/fastpath/README.md
// is its manual.
package main

import (
	"github.com/enichain/enichain/stages"
	"github.com/enichain/enichain/stages/fastpath"
)

func main() { stages.Main("fastpath", fastpath.New()) }

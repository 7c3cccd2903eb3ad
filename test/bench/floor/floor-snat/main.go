// Floor-snat has the pod leave as the node, the third of four.
//
//go:debug updatemaxprocs=0
package main

import "github.com/enichain/enichain/test/bench/floor"

func main() {
	floor.Run(func(p *floor.Pod) error {
		var b floor.Batch
		p.Translate(&b)
		return b.Commit()
	})
}

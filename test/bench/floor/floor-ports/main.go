// Floor-ports opens host ports, the last of four.
//
//go:debug updatemaxprocs=0
package main

import "github.com/enichain/enichain/test/bench/floor"

func main() {
	floor.Run(func(p *floor.Pod) error {
		var b floor.Batch
		p.Open(&b)
		return b.Commit()
	})
}

// Floor-fused does all that a chain does for a pod, in one process.
//
//go:debug updatemaxprocs=0
package main

import "github.com/enichain/enichain/test/bench/floor"

func main() {
	floor.Run(func(p *floor.Pod) error {
		if err := p.Lease(); err != nil {
			return err
		}
		var b floor.Batch
		p.Translate(&b)
		p.Open(&b)
		if err := b.Commit(); err != nil {
			return err
		}
		return p.Wire() // the last: it ends in the pod's namespace
	})
}

// Floor-veth lays the wire, the second of four.
//
//go:debug updatemaxprocs=0
package main

import "github.com/enichain/enichain/test/bench/floor"

func main() { floor.Run((*floor.Pod).Wire) }

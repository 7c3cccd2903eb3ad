package fastpath

import (
	"github.com/enichain/enichain/stages/internal/bpf"
)

// The program, which runs at both hooks of every link that packets of pods come in and leave by. Where a packet leaves, it
// learns: a packet that came this far has passed all rules, and conntrack knows what it was when it came in. What the
// packet has become, its link and its Ethernet header go into a map under what it was. Where a packet comes in, it looks
// there, makes of the packet what it would become, and sends it straight out of that link. What it does not know goes the
// kernel's own way.

// assemble writes the program; maps are the open files of the families' maps.
func assemble(c conntrack, maps map[string]int) ([]byte, error) {
	a := &bpf.Assembly{}
	a.Do(bpf.Set, bpf.R6, bpf.R1)
	a.Load(bpf.Word, bpf.R1, bpf.R6, skbType)
	a.JumpIf(bpf.R1, bpf.Different, 0, "next") // for another host, or for all
	a.Load(bpf.Word, bpf.R7, bpf.R6, skbData)
	a.Load(bpf.Word, bpf.R2, bpf.R6, skbDataEnd)
	a.Do(bpf.Set, bpf.R3, bpf.R7)
	a.DoImm(bpf.Add, bpf.R3, 14)
	a.JumpIfReg(bpf.R3, bpf.Above, bpf.R2, "next")
	a.Load(bpf.Half, bpf.R3, bpf.R7, 12)
	a.Load(bpf.Word, bpf.R4, bpf.R6, skbLink)
	a.Load(bpf.Word, bpf.R5, bpf.R6, skbCameBy)
	a.JumpIfReg(bpf.R4, bpf.Different, bpf.R5, "leaves")
	for _, f := range []family{ipv4(), ipv6()} {
		a.JumpIf(bpf.R3, bpf.Equal, f.kind, "in"+f.name)
	}
	a.Jump("next")
	a.Label("leaves")
	a.JumpIf(bpf.R5, bpf.Equal, 0, "next") // the node's own
	a.Load(bpf.Word, bpf.R1, bpf.R6, skbTCIndex)
	a.JumpIf(bpf.R1, bpf.Equal, passed, "passed")
	for _, f := range []family{ipv4(), ipv6()} {
		a.JumpIf(bpf.R3, bpf.Equal, f.kind, "out"+f.name)
	}
	a.Jump("next")
	for _, f := range []family{ipv4(), ipv6()} {
		f.forward(a, maps[f.name])
		f.learn(a, c, maps[f.name])
	}
	a.Label("passed")
	a.DoImm(bpf.Set, bpf.R1, 0)
	a.Store(bpf.Word, bpf.R6, skbTCIndex, bpf.R1)
	a.Label("next")
	a.DoImm(bpf.Set, bpf.R0, answerNext)
	a.Exit()
	return a.Code()
}

// parse refuses what is no ordinary packet of TCP or UDP. R7 is the packet and R2 its end; it leaves the protocol in the
// key, the transport header's length in R9, and in R8 the flags by which a connection begins or ends.
func (f family) parse(a *bpf.Assembly, where string) {
	a.Do(bpf.Set, bpf.R3, bpf.R7)
	a.DoImm(bpf.Add, bpf.R3, int32(f.ports)+8)
	a.JumpIfReg(bpf.R3, bpf.Above, bpf.R2, "next")
	if f.address == 4 {
		a.Load(bpf.Byte, bpf.R3, bpf.R7, 14)
		a.JumpIf(bpf.R3, bpf.Different, 0x45, "next") // with options
		a.Load(bpf.Half, bpf.R3, bpf.R7, 20)
		a.JumpIf(bpf.R3, bpf.AnyOf, 0xff3f, "next") // a fragment
	}
	a.Load(bpf.Byte, bpf.R3, bpf.R7, f.hops)
	a.JumpIf(bpf.R3, bpf.Below, 2, "next")
	a.Load(bpf.Byte, bpf.R5, bpf.R7, f.next)
	a.Store(bpf.Word, bpf.R10, stackKey+keyProtocol, bpf.R5)
	a.DoImm(bpf.Set, bpf.R8, 0)
	a.DoImm(bpf.Set, bpf.R9, 8)
	a.JumpIf(bpf.R5, bpf.Equal, protocolUDP, where+"whole")
	a.JumpIf(bpf.R5, bpf.Different, protocolTCP, "next")
	a.Do(bpf.Set, bpf.R3, bpf.R7)
	a.DoImm(bpf.Add, bpf.R3, int32(f.ports)+20)
	a.JumpIfReg(bpf.R3, bpf.Above, bpf.R2, "next")
	a.Load(bpf.Byte, bpf.R8, bpf.R7, f.ports+13)
	a.DoImm(bpf.And, bpf.R8, beginsOrEnds)
	a.Load(bpf.Byte, bpf.R9, bpf.R7, f.ports+12)
	a.DoImm(bpf.Right, bpf.R9, 2)
	a.DoImm(bpf.And, bpf.R9, 0x3c)
	a.Label(where + "whole")
}

// words calls do for each four bytes of the two addresses.
func (f family) words(do func(at int16)) {
	for at := int16(0); at < 2*f.address; at += 4 {
		do(at)
	}
}

// forward sends a packet on whose flow is known.
func (f family) forward(a *bpf.Assembly, table int) {
	where := "in" + f.name
	a.Label(where)
	f.parse(a, where)
	a.Load(bpf.Word, bpf.R1, bpf.R6, skbLink)
	a.Store(bpf.Word, bpf.R10, stackKey+keyLink, bpf.R1)
	a.Load(bpf.Word, bpf.R1, bpf.R7, f.ports)
	a.Store(bpf.Word, bpf.R10, stackKey+keyPorts, bpf.R1)
	f.words(func(at int16) {
		a.Load(bpf.Word, bpf.R1, bpf.R7, f.src+at)
		a.Store(bpf.Word, bpf.R10, stackKey+keyAddress+at, bpf.R1)
	})
	a.LoadMap(bpf.R1, table)
	a.Do(bpf.Set, bpf.R2, bpf.R10)
	a.DoImm(bpf.Add, bpf.R2, stackKey)
	a.JumpIf(bpf.R8, bpf.Different, 0, where+"ends")
	a.Call(mapLookup)
	a.JumpIf(bpf.R0, bpf.Equal, 0, "next")
	a.Do(bpf.Set, bpf.R8, bpf.R0)
	a.Call(coarseClock)
	a.Load(bpf.Long, bpf.R1, bpf.R8, valueUntil)
	a.JumpIfReg(bpf.R0, bpf.Above, bpf.R1, "next")
	f.fits(a, where)
	a.Load(bpf.Word, bpf.R1, bpf.R8, valueNAT)
	a.JumpIf(bpf.R1, bpf.Equal, 0, where+"as it is")
	f.translate(a, where)
	a.Label(where + "as it is")
	a.Load(bpf.Byte, bpf.R1, bpf.R7, f.hops)
	a.DoImm(bpf.Sub, bpf.R1, 1)
	a.Store(bpf.Byte, bpf.R7, f.hops, bpf.R1)
	if f.address == 4 { // the header's sum grows by what the TTL lost; RFC 1624
		a.Load(bpf.Half, bpf.R1, bpf.R7, 24)
		a.DoImm(bpf.Add, bpf.R1, 1)
		a.JumpIf(bpf.R1, bpf.Below, 0xffff, where+"sum")
		a.DoImm(bpf.Add, bpf.R1, 1)
		a.Label(where + "sum")
		a.Store(bpf.Half, bpf.R7, 24, bpf.R1)
	}
	for at := int16(0); at < 12; at += 4 {
		a.Load(bpf.Word, bpf.R1, bpf.R8, valueMACs+at)
		a.Store(bpf.Word, bpf.R7, at, bpf.R1)
	}
	a.DoImm(bpf.Set, bpf.R1, passed)
	a.Store(bpf.Word, bpf.R6, skbTCIndex, bpf.R1)
	a.Load(bpf.Word, bpf.R1, bpf.R8, valueLink)
	a.DoImm(bpf.Set, bpf.R2, 0)
	a.Call(redirect)
	a.Exit()
	a.Label(where + "ends") // what else comes this way is conntrack's to see: the last packets of a connection
	a.Call(mapDelete)
	a.Jump("next")
}

// fits leaves a packet that is too large for the link to the kernel, which says so to its sender.
func (f family) fits(a *bpf.Assembly, where string) {
	a.Load(bpf.Word, bpf.R2, bpf.R8, valueMTU)
	a.Load(bpf.Word, bpf.R1, bpf.R6, skbSegment)
	a.JumpIf(bpf.R1, bpf.Different, 0, where+"many")
	a.Load(bpf.Word, bpf.R1, bpf.R6, skbLength)
	a.DoImm(bpf.Sub, bpf.R1, 14)
	a.Jump(where + "size")
	a.Label(where + "many") // segments with a header each
	a.DoImm(bpf.Add, bpf.R1, int32(f.ports)-14)
	a.Do(bpf.Add, bpf.R1, bpf.R9)
	a.Label(where + "size")
	a.JumpIfReg(bpf.R1, bpf.Above, bpf.R2, "next")
}

// translate writes the flow's other addresses and ports. The sums come first: a kernel that cannot do them gets the packet
// as it was.
func (f family) translate(a *bpf.Assembly, where string) {
	a.Do(bpf.Set, bpf.R1, bpf.R10)
	a.DoImm(bpf.Add, bpf.R1, stackKey+keyAddress)
	a.DoImm(bpf.Set, bpf.R2, 2*int32(f.address))
	a.Do(bpf.Set, bpf.R3, bpf.R8)
	a.DoImm(bpf.Add, bpf.R3, valueAddress)
	a.DoImm(bpf.Set, bpf.R4, 2*int32(f.address))
	a.DoImm(bpf.Set, bpf.R5, 0)
	a.Call(checksumDiff)
	a.Do(bpf.Set, bpf.R9, bpf.R0)
	for _, half := range []struct {
		what  string
		flags int32
	}{{"addresses", f.pseudo}, {"ports", 4}} {
		a.Do(bpf.Set, bpf.R1, bpf.R6)
		a.DoImm(bpf.Set, bpf.R2, int32(f.ports)+16)
		a.DoImm(bpf.Set, bpf.R5, half.flags)
		a.Load(bpf.Word, bpf.R3, bpf.R10, stackKey+keyProtocol)
		a.JumpIf(bpf.R3, bpf.Equal, protocolTCP, where+half.what)
		a.DoImm(bpf.Set, bpf.R2, int32(f.ports)+6)
		a.DoImm(bpf.Set, bpf.R5, half.flags|zeroIsNone)
		a.Label(where + half.what)
		if half.what == "addresses" {
			a.DoImm(bpf.Set, bpf.R3, 0)
			a.Do(bpf.Set, bpf.R4, bpf.R9)
		} else {
			a.Load(bpf.Word, bpf.R3, bpf.R10, stackKey+keyPorts)
			a.Load(bpf.Word, bpf.R4, bpf.R8, valuePorts)
		}
		a.Call(replaceL4Sum)
		a.JumpIf(bpf.R0, bpf.Different, 0, "next")
	}
	if f.address == 4 {
		a.Do(bpf.Set, bpf.R1, bpf.R6)
		a.DoImm(bpf.Set, bpf.R2, 24)
		a.DoImm(bpf.Set, bpf.R3, 0)
		a.Do(bpf.Set, bpf.R4, bpf.R9)
		a.DoImm(bpf.Set, bpf.R5, 0)
		a.Call(replaceL3Sum)
	}
	a.Load(bpf.Word, bpf.R7, bpf.R6, skbData) // the helpers may have moved the packet
	a.Load(bpf.Word, bpf.R2, bpf.R6, skbDataEnd)
	a.Do(bpf.Set, bpf.R3, bpf.R7)
	a.DoImm(bpf.Add, bpf.R3, int32(f.ports)+8)
	a.JumpIfReg(bpf.R3, bpf.Above, bpf.R2, "next")
	f.words(func(at int16) {
		a.Load(bpf.Word, bpf.R1, bpf.R8, valueAddress+at)
		a.Store(bpf.Word, bpf.R7, f.src+at, bpf.R1)
	})
	a.Load(bpf.Word, bpf.R1, bpf.R8, valuePorts)
	a.Store(bpf.Word, bpf.R7, f.ports, bpf.R1)
}

// learn notes what a packet has become.
func (f family) learn(a *bpf.Assembly, c conntrack, table int) {
	where := "out" + f.name
	a.Label(where)
	f.parse(a, where)
	a.JumpIf(bpf.R8, bpf.Different, 0, "next")
	f.connection(a, c, where)
	a.Load(bpf.Word, bpf.R1, bpf.R6, skbCameBy)
	a.Store(bpf.Word, bpf.R10, stackKey+keyLink, bpf.R1)
	a.Load(bpf.Byte, bpf.R1, bpf.R10, stackOptions+9) // the direction of the tuple found; the packet's is the other
	a.JumpIf(bpf.R1, bpf.Equal, 0, where+"reply")
	f.origin(a, c, 0)
	a.Jump(where + "origin")
	a.Label(where + "reply")
	f.origin(a, c, 1)
	a.Label(where + "origin")
	f.outcome(a, where)
	a.LoadMap(bpf.R1, table)
	a.Do(bpf.Set, bpf.R2, bpf.R10)
	a.DoImm(bpf.Add, bpf.R2, stackKey)
	a.Do(bpf.Set, bpf.R3, bpf.R10)
	a.DoImm(bpf.Add, bpf.R3, stackValue)
	a.DoImm(bpf.Set, bpf.R4, 0)
	a.Call(mapUpdate)
	a.Label(where + "release")
	a.Do(bpf.Set, bpf.R1, bpf.R8)
	a.CallKernel(c.release)
	a.Jump("next")
}

// connection finds the packet's connection by the answer to the packet, whose tuple conntrack has in either direction:
// R8, and only if it is established.
func (f family) connection(a *bpf.Assembly, c conntrack, where string) {
	for at := int16(0); at < f.address; at += 4 {
		a.Load(bpf.Word, bpf.R1, bpf.R7, f.src+f.address+at)
		a.Store(bpf.Word, bpf.R10, stackTuple+at, bpf.R1)
		a.Load(bpf.Word, bpf.R1, bpf.R7, f.src+at)
		a.Store(bpf.Word, bpf.R10, stackTuple+f.address+at, bpf.R1)
	}
	a.Load(bpf.Half, bpf.R1, bpf.R7, f.ports+2)
	a.Store(bpf.Half, bpf.R10, stackTuple+2*f.address, bpf.R1)
	a.Load(bpf.Half, bpf.R1, bpf.R7, f.ports)
	a.Store(bpf.Half, bpf.R10, stackTuple+2*f.address+2, bpf.R1)
	a.StoreImm(bpf.Word, bpf.R10, stackOptions, -1) // this network namespace's
	a.StoreImm(bpf.Word, bpf.R10, stackOptions+4, 0)
	a.StoreImm(bpf.Word, bpf.R10, stackOptions+8, 0)
	a.StoreImm(bpf.Word, bpf.R10, stackOptions+12, 0)
	a.Load(bpf.Word, bpf.R9, bpf.R10, stackKey+keyProtocol)
	a.Store(bpf.Byte, bpf.R10, stackOptions+8, bpf.R9)
	a.Do(bpf.Set, bpf.R1, bpf.R6)
	a.Do(bpf.Set, bpf.R2, bpf.R10)
	a.DoImm(bpf.Add, bpf.R2, stackTuple)
	a.DoImm(bpf.Set, bpf.R3, 2*int32(f.address)+4)
	a.Do(bpf.Set, bpf.R4, bpf.R10)
	a.DoImm(bpf.Add, bpf.R4, stackOptions)
	a.DoImm(bpf.Set, bpf.R5, 16)
	a.CallKernel(c.lookup)
	a.JumpIf(bpf.R0, bpf.Equal, 0, "next")
	a.Do(bpf.Set, bpf.R8, bpf.R0)
	a.Load(bpf.Long, bpf.R1, bpf.R8, c.status)
	a.JumpIf(bpf.R1, bpf.AnyOf, special, where+"release")
	a.DoImm(bpf.And, bpf.R1, established)
	a.JumpIf(bpf.R1, bpf.Different, established, where+"release")
	a.JumpIf(bpf.R9, bpf.Different, protocolTCP, where+"established")
	a.Load(bpf.Byte, bpf.R1, bpf.R8, c.tcp)
	a.JumpIf(bpf.R1, bpf.Different, tcpEstablished, where+"release")
	a.Label(where + "established")
}

// origin writes into the key what the packets of a direction are when they come in.
func (f family) origin(a *bpf.Assembly, c conntrack, direction int) {
	tuple := c.tuple[direction]
	for at := int16(0); at < f.address; at += 4 {
		a.Load(bpf.Word, bpf.R1, bpf.R8, tuple+at)
		a.Store(bpf.Word, bpf.R10, stackKey+keyAddress+at, bpf.R1)
		a.Load(bpf.Word, bpf.R1, bpf.R8, tuple+c.dst+at)
		a.Store(bpf.Word, bpf.R10, stackKey+keyAddress+f.address+at, bpf.R1)
	}
	a.Load(bpf.Half, bpf.R1, bpf.R8, tuple+c.srcPort)
	a.Store(bpf.Half, bpf.R10, stackKey+keyPorts, bpf.R1)
	a.Load(bpf.Half, bpf.R1, bpf.R8, tuple+c.dstPort)
	a.Store(bpf.Half, bpf.R10, stackKey+keyPorts+2, bpf.R1)
}

// outcome writes the value: what the packet is now, and how long that counts.
func (f family) outcome(a *bpf.Assembly, where string) {
	a.StoreImm(bpf.Word, bpf.R10, stackMTU, 0)
	a.Do(bpf.Set, bpf.R1, bpf.R6)
	a.DoImm(bpf.Set, bpf.R2, 0)
	a.Do(bpf.Set, bpf.R3, bpf.R10)
	a.DoImm(bpf.Add, bpf.R3, stackMTU)
	a.DoImm(bpf.Set, bpf.R4, 0)
	a.DoImm(bpf.Set, bpf.R5, 0)
	a.Call(checkMTU)
	a.JumpIf(bpf.R0, bpf.Different, 0, where+"release")
	a.Load(bpf.Word, bpf.R1, bpf.R10, stackMTU)
	a.Store(bpf.Word, bpf.R10, stackValue+valueMTU, bpf.R1)
	a.Call(coarseClock)
	a.DoImm(bpf.Add, bpf.R0, learnt)
	a.Store(bpf.Long, bpf.R10, stackValue+valueUntil, bpf.R0)
	a.Load(bpf.Word, bpf.R1, bpf.R6, skbLink)
	a.Store(bpf.Word, bpf.R10, stackValue+valueLink, bpf.R1)
	for at := int16(0); at < 12; at += 4 {
		a.Load(bpf.Word, bpf.R1, bpf.R7, at)
		a.Store(bpf.Word, bpf.R10, stackValue+valueMACs+at, bpf.R1)
	}
	a.Load(bpf.Word, bpf.R1, bpf.R7, f.ports)
	a.Store(bpf.Word, bpf.R10, stackValue+valuePorts, bpf.R1)
	a.Load(bpf.Word, bpf.R2, bpf.R10, stackKey+keyPorts)
	a.Do(bpf.Xor, bpf.R2, bpf.R1)
	f.words(func(at int16) {
		a.Load(bpf.Word, bpf.R1, bpf.R7, f.src+at)
		a.Store(bpf.Word, bpf.R10, stackValue+valueAddress+at, bpf.R1)
		a.Load(bpf.Word, bpf.R3, bpf.R10, stackKey+keyAddress+at)
		a.Do(bpf.Xor, bpf.R3, bpf.R1)
		a.Do(bpf.Or, bpf.R2, bpf.R3)
	})
	for at := uint32(valueAddress + 2*f.address); at < f.valueSize(); at += 4 {
		a.StoreImm(bpf.Word, bpf.R10, stackValue+int16(at), 0)
	}
	a.StoreImm(bpf.Word, bpf.R10, stackValue+valueNAT, 0)
	a.JumpIf(bpf.R2, bpf.Equal, 0, where+"same")
	a.StoreImm(bpf.Word, bpf.R10, stackValue+valueNAT, 1)
	a.Label(where + "same")
}

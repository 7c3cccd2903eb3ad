// Package bpf writes small programs for the kernel's virtual machine and loads them. It knows just the instructions and calls that the stages' programs need. Programs are written instruction by instruction: a
// stage is one static binary, and neither a compiler nor an object file stands beside it.
package bpf

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Reg is a register. A call takes R1 to R5, answers in R0 and keeps R6 to R9; R10 is the end of the stack of 512 bytes.
type Reg uint8

// The registers.
const (
	R0 Reg = iota
	R1
	R2
	R3
	R4
	R5
	R6
	R7
	R8
	R9
	R10
)

// Size is how many bytes an instruction moves.
type Size uint8

// The sizes, as the instruction's code has them (Documentation/bpf/standardization/instruction-set.rst).
const (
	Byte Size = 0x10
	Half Size = 0x08
	Word Size = 0x00
	Long Size = 0x18
)

// Op is an arithmetic or bitwise operation on 64 bits.
type Op uint8

// The operations.
const (
	Add   Op = 0x00
	Sub   Op = 0x10
	Or    Op = 0x40
	And   Op = 0x50
	Left  Op = 0x60
	Right Op = 0x70
	Xor   Op = 0xa0
	Set   Op = 0xb0
)

// Test is a comparison of 64 bits without sign.
type Test uint8

// The comparisons.
const (
	Equal     Test = 0x10
	Above     Test = 0x20
	AtLeast   Test = 0x30
	AnyOf     Test = 0x40 // have a bit in common
	Different Test = 0x50
	Below     Test = 0xa0
)

// Assembly collects instructions; the zero value is ready. A label is a place that jumps lead to, forward only.
type Assembly struct {
	code   []byte
	jumps  map[string][]int // where instructions stand that lead to a label
	failed error
}

const instruction = 8 // bytes

func (a *Assembly) emit(code uint8, dst, src Reg, offset int16, imm int32) {
	a.code = append(a.code, code, uint8(dst)|uint8(src)<<4)
	a.code = binary.NativeEndian.AppendUint16(a.code, uint16(offset))
	a.code = binary.NativeEndian.AppendUint32(a.code, uint32(imm))
}

// Do is dst = dst op with.
func (a *Assembly) Do(op Op, dst, with Reg) { a.emit(0x0f|uint8(op), dst, with, 0, 0) }

// DoImm is dst = dst op with.
func (a *Assembly) DoImm(op Op, dst Reg, with int32) { a.emit(0x07|uint8(op), dst, 0, 0, with) }

// Load is dst = *(from + offset).
func (a *Assembly) Load(s Size, dst, from Reg, offset int16) {
	a.emit(0x61|uint8(s), dst, from, offset, 0)
}

// Store is *(to + offset) = src.
func (a *Assembly) Store(s Size, to Reg, offset int16, src Reg) {
	a.emit(0x63|uint8(s), to, src, offset, 0)
}

// StoreImm is *(to + offset) = value.
func (a *Assembly) StoreImm(s Size, to Reg, offset int16, value int32) {
	a.emit(0x62|uint8(s), to, 0, offset, value)
}

// LoadMap is dst = the map that is open as fd.
func (a *Assembly) LoadMap(dst Reg, fd int) {
	const mapFD = 1 // BPF_PSEUDO_MAP_FD
	a.emit(0x18, dst, mapFD, 0, int32(fd))
	a.emit(0, 0, 0, 0, 0)
}

// Jump leads to label.
func (a *Assembly) Jump(label string) { a.lead(0x05, 0, 0, 0, label) }

// JumpIf leads to label if reg compares so with value.
func (a *Assembly) JumpIf(reg Reg, t Test, value int32, label string) {
	a.lead(0x05|uint8(t), reg, 0, value, label)
}

// JumpIfReg leads to label if reg compares so with another.
func (a *Assembly) JumpIfReg(reg Reg, t Test, other Reg, label string) {
	a.lead(0x0d|uint8(t), reg, other, 0, label)
}

func (a *Assembly) lead(code uint8, dst, src Reg, imm int32, label string) {
	if a.jumps == nil {
		a.jumps = map[string][]int{}
	}
	a.jumps[label] = append(a.jumps[label], len(a.code))
	a.emit(code, dst, src, 0, imm)
}

// Label is the place that all jumps to the name before it lead to.
func (a *Assembly) Label(name string) {
	for _, at := range a.jumps[name] {
		distance := (len(a.code)-at)/instruction - 1
		if distance > 1<<15-1 {
			a.failed = fmt.Errorf("cannot jump to %s: it is %d instructions away", name, distance)
		}
		binary.NativeEndian.PutUint16(a.code[at+2:], uint16(distance))
	}
	delete(a.jumps, name)
}

// Call calls one of the kernel's numbered helpers (linux/bpf.h, __BPF_FUNC_MAPPER).
func (a *Assembly) Call(helper int32) { a.emit(0x85, 0, 0, 0, helper) }

// CallKernel calls a function of the kernel by its number in the kernel's own types (Types.Function).
func (a *Assembly) CallKernel(function int32) {
	const kernelFunction = 2 // BPF_PSEUDO_KFUNC_CALL
	a.emit(0x85, 0, kernelFunction, 0, function)
}

// Exit ends the program; R0 is its answer.
func (a *Assembly) Exit() { a.emit(0x95, 0, 0, 0, 0) }

// Code is the program.
func (a *Assembly) Code() ([]byte, error) {
	for label := range a.jumps {
		return nil, errors.New("cannot assemble: no place is called " + label)
	}
	return a.code, a.failed
}

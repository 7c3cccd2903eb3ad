package bpf

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"runtime"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// MaxName is the longest name of a program or map, in bytes.
const MaxName = unix.BPF_OBJ_NAME_LEN - 1

// attr is the argument of one call: union bpf_attr, whose members stand at fixed places (linux/bpf.h).
type attr [144]byte

func (a *attr) put32(at int, v uint32) { binary.NativeEndian.PutUint32(a[at:], v) }
func (a *attr) put64(at int, v uint64) { binary.NativeEndian.PutUint64(a[at:], v) }

// point puts the address of memory that pin keeps where it is until the call is done.
func (a *attr) point(at int, pin *runtime.Pinner, memory []byte) {
	pin.Pin(&memory[0])
	a.put64(at, uint64(uintptr(unsafe.Pointer(&memory[0]))))
}

func (a *attr) call(command int) (int, error) {
	r, _, errno := unix.Syscall(unix.SYS_BPF, uintptr(command), uintptr(unsafe.Pointer(a)), unsafe.Sizeof(*a))
	if errno != 0 {
		return 0, errno
	}
	return int(r), nil
}

// NewMap makes a hash map that gives up what was used longest ago when it is full. It lives as long as the file, or a
// program that uses it.
func NewMap(name string, key, value, entries uint32) (*os.File, error) {
	var a attr
	a.put32(0, unix.BPF_MAP_TYPE_LRU_HASH)
	a.put32(4, key)
	a.put32(8, value)
	a.put32(12, entries)
	copy(a[28:28+MaxName], name)
	fd, err := a.call(unix.BPF_MAP_CREATE)
	if err != nil {
		return nil, fmt.Errorf("cannot make map %s: %w", name, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// loadTries is how often a program is handed over while signals come in between.
const loadTries = 30

// licence lets a program call those functions of the kernel that only GPL-compatible programs may call: what this module
// loads may be had under either.
const licence = "Dual BSD/GPL"

// Load hands a classifier of packets to the kernel, which proves that it ends and touches nothing it may not.
func Load(name string, code []byte) (*os.File, error) {
	fd, err := load(name, code, nil)
	if err == nil {
		return os.NewFile(uintptr(fd), name), nil
	}
	log := make([]byte, 1<<20)
	if _, again := load(name, code, log); again != nil {
		log, _, _ = bytes.Cut(log, []byte{0})
		lines := strings.Split(strings.TrimSpace(string(log)), "\n")
		if said := strings.Join(lines[max(0, len(lines)-4):], "; "); said != "" {
			err = fmt.Errorf("%w: %s", err, said)
		}
	}
	return nil, fmt.Errorf("cannot load program %s: %w", name, err)
}

func load(name string, code, log []byte) (int, error) {
	const schedCls = 3 // BPF_PROG_TYPE_SCHED_CLS
	var pin runtime.Pinner
	defer pin.Unpin()
	var a attr
	a.put32(0, schedCls)
	a.put32(4, uint32(len(code)/instruction))
	a.point(8, &pin, code)
	a.point(16, &pin, append([]byte(licence), 0))
	if log != nil {
		a.put32(24, 1)
		a.put32(28, uint32(len(log)))
		a.point(32, &pin, log)
	}
	copy(a[48:48+MaxName], name)
	// A signal that comes while the program is proved ends the call with EAGAIN (Linux 4.20 and later), and Go's runtime
	// sends signals to itself: they preempt goroutines. A proof takes less than a millisecond, and they come 10 apart.
	for try := 1; ; try++ {
		fd, err := a.call(unix.BPF_PROG_LOAD)
		if err != unix.EAGAIN || try == loadTries {
			return fd, err
		}
	}
}

// Open opens a program by its number; os.ErrNotExist where it is gone.
func Open(program uint32) (*os.File, error) { return open(unix.BPF_PROG_GET_FD_BY_ID, program) }

// OpenMap opens a map by its number; os.ErrNotExist where it is gone.
func OpenMap(number uint32) (*os.File, error) { return open(unix.BPF_MAP_GET_FD_BY_ID, number) }

func open(command int, number uint32) (*os.File, error) {
	var a attr
	a.put32(0, number)
	fd, err := a.call(command)
	if err != nil {
		return nil, fmt.Errorf("cannot open object %d of the kernel's virtual machine: %w", number, err)
	}
	return os.NewFile(uintptr(fd), "bpf"), nil
}

// Info is what the kernel tells of a program.
type Info struct {
	Number uint32
	Name   string
	Maps   []uint32 // by their numbers
}

// Describe tells of an open program.
func Describe(program *os.File) (Info, error) {
	var pin runtime.Pinner
	defer pin.Unpin()
	maps, info := make([]byte, 4*8), make([]byte, 80)
	binary.NativeEndian.PutUint32(info[52:], uint32(len(maps)/4))
	pin.Pin(&maps[0])
	binary.NativeEndian.PutUint64(info[56:], uint64(uintptr(unsafe.Pointer(&maps[0]))))
	var a attr
	a.put32(0, uint32(program.Fd()))
	a.put32(4, uint32(len(info)))
	a.point(8, &pin, info)
	if _, err := a.call(unix.BPF_OBJ_GET_INFO_BY_FD); err != nil {
		return Info{}, fmt.Errorf("cannot tell which program it is: %w", err)
	}
	name, _, _ := bytes.Cut(info[64:80], []byte{0})
	i := Info{Number: binary.NativeEndian.Uint32(info[4:]), Name: string(name)}
	for n := range min(binary.NativeEndian.Uint32(info[52:]), uint32(len(maps)/4)) {
		i.Maps = append(i.Maps, binary.NativeEndian.Uint32(maps[4*n:]))
	}
	return i, nil
}

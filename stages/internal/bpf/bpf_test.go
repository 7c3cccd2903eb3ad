package bpf_test

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/enichain/enichain/stages/internal/bpf"
	"github.com/enichain/enichain/test/need"
)

// TestAssembly compares with what bpftool(8) says of these instructions ("bpftool prog dump xlated opcodes").
func TestAssembly(t *testing.T) {
	a := &bpf.Assembly{}
	a.Do(bpf.Set, bpf.R6, bpf.R1)
	a.Load(bpf.Word, bpf.R2, bpf.R6, 76)
	a.JumpIf(bpf.R2, bpf.Equal, 5, "end")
	a.StoreImm(bpf.Half, bpf.R10, -8, -1)
	a.LoadMap(bpf.R1, 7)
	a.Call(1)
	a.JumpIfReg(bpf.R0, bpf.Above, bpf.R2, "end")
	a.Label("end")
	a.Exit()
	code, err := a.Code()
	if err != nil {
		t.Fatal(err)
	}
	want := "bf 16 0000 00000000\n61 62 004c 00000000\n15 02 0005 00000005\n6a 0a fff8 ffffffff\n" +
		"18 11 0000 00000007\n00 00 0000 00000000\n85 00 0000 00000001\n2d 20 0000 00000000\n95 00 0000 00000000\n"
	if diff := cmp.Diff(want, opcodes(code)); diff != "" {
		t.Errorf("code (-want +got):\n%s", diff)
	}
	a.Jump("nowhere")
	if _, err := a.Code(); err == nil || !strings.Contains(err.Error(), "nowhere") {
		t.Errorf("a jump to no place: %v", err)
	}
}

func opcodes(code []byte) string {
	var b strings.Builder
	for ; len(code) >= 8; code = code[8:] {
		b.WriteString(hex(uint64(code[0]), 2) + " " + hex(uint64(code[1]), 2) + " " +
			hex(uint64(binary.NativeEndian.Uint16(code[2:])), 4) + " " + hex(uint64(binary.NativeEndian.Uint32(code[4:])), 8) + "\n")
	}
	return b.String()
}

func hex(v uint64, digits int) string {
	const digit = "0123456789abcdef"
	out := make([]byte, digits)
	for i := range out {
		out[digits-1-i] = digit[v&15]
		v >>= 4
	}
	return string(out)
}

// written are the types of struct outer { const struct inner pair[2]; union { char c; __u32 word; }; }, struct inner {
// __u32 a, b; }, and a function "call".
func written() []byte {
	names, at := []byte{0}, map[string]uint32{"": 0}
	name := func(s string) uint32 {
		if _, ok := at[s]; !ok {
			at[s] = uint32(len(names))
			names = append(append(names, s...), 0)
		}
		return at[s]
	}
	var types []byte
	put := func(words ...uint32) {
		for _, w := range words {
			types = binary.NativeEndian.AppendUint32(types, w)
		}
	}
	put(name("__u32"), 1<<24, 4, 32)                                  // 1
	put(name("inner"), 4<<24|2, 8, name("a"), 1, 0, name("b"), 1, 32) // 2
	put(0, 10<<24, 2)                                                 // 3 const
	put(0, 3<<24, 0, 3, 1, 2)                                         // 4 array of two
	put(0, 5<<24|2, 4, name("c"), 1, 0, name("word"), 1, 0)           // 5 union
	put(name("outer"), 4<<24|2, 20, name("pair"), 4, 0, 0, 5, 128)    // 6
	put(0, 13<<24, 0)                                                 // 7 prototype
	put(name("call"), 12<<24, 7)                                      // 8
	put(name("elsewhere"), 4<<24|1, 4, name("word"), 1, 0)            // 9
	head := []byte{0x9f, 0xeb, 1, 0}
	for _, w := range []uint32{24, 0, uint32(len(types)), uint32(len(types)), uint32(len(names))} {
		head = binary.NativeEndian.AppendUint32(head, w)
	}
	return append(append(head, types...), names...)
}

func TestTypes(t *testing.T) {
	whole := written()
	file := filepath.Join(t.TempDir(), "btf")
	read := func(b []byte) (*bpf.Types, error) {
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return bpf.ReadTypes(file, "outer", "inner", "call")
	}
	types, err := read(whole)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int16{"pair": 0, "pair.b": 4, "word": 16} {
		if got, err := types.Offset("outer", path); err != nil || got != want {
			t.Errorf("outer.%s is at %d, %v, want %d", path, got, err, want)
		}
	}
	if got, err := types.Size("outer", "pair"); err != nil || got != 8 {
		t.Errorf("an item of outer.pair has %d bytes, %v, want 8", got, err)
	}
	if got, err := types.Function("call"); err != nil || got != 8 {
		t.Errorf("call is %d, %v, want 8", got, err)
	}
	if _, err := types.Offset("outer", "pair.c"); err == nil {
		t.Error("pair.c was found")
	}
	if _, err := types.Offset("elsewhere", "word"); err == nil {
		t.Error("a structure was found that nobody asked for")
	}
	if _, err := types.Size("outer", "pair.c"); err == nil {
		t.Error("pair.c has a size")
	}
	if _, err := types.Function("outer"); err == nil {
		t.Error("a structure is a function")
	}
	for cut := range whole {
		if _, err := read(whole[:cut]); err == nil {
			t.Errorf("cut after %d bytes of %d: no error", cut, len(whole))
		}
	}
}

// TestKernelTypes asks this machine's kernel for what everybody's has.
func TestKernelTypes(t *testing.T) {
	types, err := bpf.ReadTypes(bpf.KernelTypes, "iphdr")
	if errors.Is(err, os.ErrNotExist) {
		t.Skip(err) // it names what the kernel lacks
	} else if err != nil {
		t.Fatal(err)
	}
	if got, err := types.Offset("iphdr", "daddr"); err != nil || got != 16 {
		t.Errorf("iphdr.daddr is at %d, %v, want 16", got, err)
	}
}

// TestLoadBetweenSignals: a program is loaded although signals come while the kernel proves it, as those that Go's runtime
// sends to itself do.
func TestLoadBetweenSignals(t *testing.T) {
	need.MachinesRoot(t, "for programs in the kernel are for nobody else")
	a := &bpf.Assembly{}
	for range 2000 { // the longer it is, the longer the proof
		a.DoImm(bpf.Set, bpf.R0, 1)
	}
	a.Exit()
	code, err := a.Code()
	if err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	loader, stop, stopped := unix.Gettid(), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				_ = unix.Tgkill(os.Getpid(), loader, unix.SIGURG)
				time.Sleep(200 * time.Microsecond) // the signals' own pace: what Go sends comes 10 ms apart
			}
		}
	}()
	for range 300 {
		program, err := bpf.Load("between", code)
		if err != nil {
			t.Error(err)
			break
		}
		program.Close()
	}
	close(stop)
	<-stopped
}

package pods

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCountSamples(t *testing.T) {
	const script = `
eni-ipam
	    ffffffff81 memset ([kernel.kallsyms])
	    ffffffff82 __x64_sys_mmap ([kernel.kallsyms])
	    ffffffff83 do_syscall_64 ([kernel.kallsyms])
	        46f2a0 runtime.mmap (/cache/eni-ipam)

eni-ipam
	    ffffffff84 clear_page_erms ([kernel.kallsyms])
	    ffffffff85 asm_exc_page_fault ([kernel.kallsyms])
	        46f2a0 runtime.schedinit (/cache/eni-ipam)

eni-ipam
	        46f2a0 encoding/json.(*decodeState).object (/cache/eni-ipam)

snat
	        46f2a0 github.com/enichain/enichain/stages/internal/nft.Commit[go.shape.int] (/cache/snat)

snat
	        46f2a0 memeqbody (/cache/snat)

pods.test
	    ffffffff86 begin_new_exec ([kernel.kallsyms])
	    ffffffff87 __x64_sys_execve ([kernel.kallsyms])

pods.test
	        46f2a0 runtime.mallocgc (/tmp/pods.test)
`
	want := map[string]float64{"system call mmap": 1, "page faults": 1, "package encoding/json": 1, "package stages/internal/nft": 1,
		"package runtime": 1, "system call execve": 1}
	if diff := cmp.Diff(want, countSamples(strings.NewReader(script))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

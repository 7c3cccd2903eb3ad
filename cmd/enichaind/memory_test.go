package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestProgramPages: what is the program's, cannot be written and was not, and nothing else.
func TestProgramPages(t *testing.T) {
	mapping := func(line string, anonymous int) string {
		return fmt.Sprintf("%s\nSize: 8 kB\nRss: 8 kB\nAnonymous: %d kB\nVmFlags: rd mr\n", line, anonymous)
	}
	smaps := mapping("00400000-01174000 r-xp 00000000 fe:00 9978801                            /opt/enichaind", 0) +
		mapping("01174000-01e7b000 r--p 00d74000 fe:00 9978801                            /opt/enichaind", 4) + // a breakpoint
		mapping("01e7b000-01ef2000 rw-p 01a7b000 fe:00 9978801                            /opt/enichaind", 0) +
		mapping("01ef2000-03f3a000 rw-p 00000000 00:00 0", 0) +
		mapping("7f483f671000-7f483f675000 r--p 00000000 00:00 0                          [vvar]", 0) +
		mapping("7f4840000000-7f4840002000 r--s 00000000 fe:00 7                          /run/enichain/pool.db", 0)
	if diff := cmp.Diff([]pages{{0x400000, 0x1174000}}, programPages([]byte(smaps)), cmp.AllowUnexported(pages{})); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// TestUnmap: this program goes on without its pages, and less of it is resident.
func TestUnmap(t *testing.T) {
	resident := func() (kB int) {
		text, err := os.ReadFile("/proc/self/status")
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(text), "RssFile:")
		if _, err := fmt.Sscan(rest, &kB); err != nil {
			t.Fatal(err)
		}
		return kB
	}
	text, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	found := programPages(text)
	if len(found) < 2 {
		t.Fatalf("%d mappings of this program; want code and constants", len(found))
	}
	before := resident()
	for _, p := range found {
		if err := unmap(p); err != nil {
			t.Error(err)
		}
	}
	if after := resident(); after >= before {
		t.Errorf("%d kB of files are resident, and %d before", after, before)
	}
}

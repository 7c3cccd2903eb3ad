package spelling_test

import (
	"strings"
	"testing"

	"github.com/enichain/enichain/chain/spelling"
)

func TestNearest(t *testing.T) {
	keys := []string{"pool", "poll", "families", "hostPortConflict", "mtu"}
	for _, tt := range []struct{ name, word, want string }{
		{"a letter changed", "pohl", "pool"}, // poll is as near: the first
		{"a letter missing", "familes", "families"},
		{"a letter too many", "mtuu", "mtu"},
		{"letters swapped", "mut", "mtu"},
		{"letter case", "HOSTPORTCONFLICT", "hostPortConflict"},
		{"several slips in a long word", "hostPrtConflcit", "hostPortConflict"},
		{"another word", "mode", ""},
		{"another short word", "mac", ""},
		{"nothing", "", ""},
		{"an essay", strings.Repeat("pool", 100), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := spelling.Nearest(tt.word, keys); got != tt.want {
				t.Errorf("Nearest(%q) = %q, want %q", tt.word, got, tt.want)
			}
		})
	}
}

package ipam

import "testing"

func TestPoolsHere(t *testing.T) {
	for want, names := range map[string][]string{
		"this node has no pool":                           nil,
		"this node's only pool is default":                {"default"},
		"this node has pools default and payments":        {"default", "payments"},
		"this node has pools default, payments and batch": {"default", "payments", "batch"},
	} {
		if got := PoolsHere(names); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

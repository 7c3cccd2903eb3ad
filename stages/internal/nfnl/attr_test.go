package nfnl

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAttributesComeBack(t *testing.T) {
	var inner, list Attrs
	inner.Text(1, "steer")
	inner.Uint64(2, 1<<40)
	list.Uint8(1, 7)
	list.Uint16(2, 8080)
	list.Uint32(3, 0x01020304)
	list.Nest(4, inner)
	list.Bytes(5|0x8000, []byte{1, 2, 3, 4, 5})
	m, err := Parse(list)
	if err != nil {
		t.Fatal(err)
	}
	nest, err := m.Nest(4)
	if err != nil {
		t.Fatal(err)
	}
	got := []any{m[1], m[2], m.Uint32(3), nest.Text(1), nest.Uint64(2), m[5], len(list) % 4}
	want := []any{[]byte{7}, []byte{0x1f, 0x90}, uint32(0x01020304), "steer", uint64(1 << 40), []byte{1, 2, 3, 4, 5}, 0}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("parsed attributes (-want +got):\n%s", diff)
	}
	if m.Uint32(1) != 0 || m.Uint64(3) != 0 || m.Text(9) != "" {
		t.Error("an attribute of another length was read as a number")
	}
}

func TestCutAttributesAreRefused(t *testing.T) {
	var list Attrs
	list.Text(1, "steer")
	for n := 1; n < len(list)-2; n++ { // the last two bytes are padding, which may be missing
		if _, err := Parse(list[:n]); !errors.Is(err, ErrCut) {
			t.Errorf("Parse of the first %d of %d bytes = %v, want ErrCut", n, len(list), err)
		}
	}
	for name, b := range map[string][]byte{
		"length zero":      {0, 0, 1, 0},
		"length too small": {3, 0, 1, 0},
		"length too large": {9, 0, 1, 0, 0, 0, 0, 0},
	} {
		if _, err := Parse(b); !errors.Is(err, ErrCut) {
			t.Errorf("Parse of an attribute with %s = %v, want ErrCut", name, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	var list Attrs
	list.Text(1, "x")
	list.Uint32(2, 1)
	f.Add([]byte(list))
	f.Add([]byte{4, 0, 1, 0, 5, 0, 2, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		var again Attrs
		err := Each(b, func(kind uint16, v []byte) error {
			again.Bytes(kind, v)
			return nil
		})
		if err != nil {
			return
		}
		first, err1 := Parse(b)
		second, err2 := Parse(again)
		if err1 != nil || err2 != nil {
			t.Fatalf("Each took it, Parse did not: %v, %v", err1, err2)
		}
		if diff := cmp.Diff(first, second); diff != "" {
			t.Errorf("attributes written again read differently (-first +second):\n%s", diff)
		}
	})
}

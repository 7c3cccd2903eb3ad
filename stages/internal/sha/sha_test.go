package sha_test

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha512"
	"encoding/hex"
	"testing"

	"github.com/enichain/enichain/stages/internal/sha"
)

// TestSums compares with the standard library at every length around the blocks' ends, and once with the standards' own
// examples.
func TestSums(t *testing.T) {
	data := make([]byte, 300)
	for i := range data {
		data[i] = byte(i * 7)
	}
	for n := range data {
		if got, want := sha.Sum1(data[:n]), sha1.Sum(data[:n]); got != want {
			t.Errorf("SHA-1 of %d bytes: %x, want %x", n, got, want)
		}
		if got, want := sha.Sum512(data[:n]), sha512.Sum512(data[:n]); got != want {
			t.Errorf("SHA-512 of %d bytes: %x, want %x", n, got, want)
		}
	}
	one, five := sha.Sum1([]byte("abc")), sha.Sum512([]byte("abc"))
	if got := hex.EncodeToString(one[:]); got != "a9993e364706816aba3e25717850c26c9cd0d89d" {
		t.Errorf("SHA-1 of abc: %s", got)
	}
	if got := hex.EncodeToString(five[:8]); got != "ddaf35a193617aba" {
		t.Errorf("SHA-512 of abc begins with %s", got)
	}
}

func FuzzSums(f *testing.F) {
	f.Add([]byte("abc"))
	f.Fuzz(func(t *testing.T, data []byte) {
		before := bytes.Clone(data)
		if sha.Sum1(data) != sha1.Sum(data) || sha.Sum512(data) != sha512.Sum512(data) || !bytes.Equal(data, before) {
			t.Errorf("%x", data)
		}
	})
}

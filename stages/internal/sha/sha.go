// Package sha is SHA-1 and SHA-512 (FIPS 180-4; RFC 3174, RFC 6234) for names that others make alike: host ends as
// Calico names them, iptables chains as upstream's portmap does. Nothing secret is hashed.
//
// Our own, because crypto/sha1 and crypto/sha512 link Go's whole FIPS 140 module into each stage: 184 kB of code and a
// dozen package initializations in a process that lives for two milliseconds (2026-12).
package sha

import (
	"encoding/binary"
	"math/bits"
)

// Sum1 is the SHA-1 of data.
func Sum1(data []byte) (sum [20]byte) {
	h := [5]uint32{0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0}
	in := padded(data, 64, 8)
	for ; len(in) > 0; in = in[64:] {
		var w [80]uint32
		for i := range 16 {
			w[i] = binary.BigEndian.Uint32(in[4*i:])
		}
		for i := 16; i < 80; i++ {
			w[i] = bits.RotateLeft32(w[i-3]^w[i-8]^w[i-14]^w[i-16], 1)
		}
		a, b, c, d, e := h[0], h[1], h[2], h[3], h[4]
		for i, word := range w {
			f, k := b^c^d, uint32(0xca62c1d6)
			switch {
			case i < 20:
				f, k = b&c|^b&d, 0x5a827999
			case i < 40:
				k = 0x6ed9eba1
			case i < 60:
				f, k = b&c|b&d|c&d, 0x8f1bbcdc
			}
			a, b, c, d, e = bits.RotateLeft32(a, 5)+f+e+k+word, a, bits.RotateLeft32(b, 30), c, d
		}
		for i, v := range [...]uint32{a, b, c, d, e} {
			h[i] += v
		}
	}
	for i, v := range h {
		binary.BigEndian.PutUint32(sum[4*i:], v)
	}
	return sum
}

// padded is data with a one bit, zeros and the number of its bits behind it, in whole blocks; the number takes at least
// length bytes.
func padded(data []byte, block, length int) []byte {
	n := len(data) + 1 + length
	out := make([]byte, (n+block-1)/block*block)
	copy(out, data)
	out[len(data)] = 0x80
	binary.BigEndian.PutUint64(out[len(out)-8:], uint64(len(data))*8)
	return out
}

package nft

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func FuzzDecodeElement(f *testing.F) {
	f.Add([]byte(Element{Key: Addr(netip.MustParseAddr("10.0.0.1")), Comment: "net/c/eth0"}.encode()))
	f.Add([]byte(Element{Key: Number(7001), Jump: "eni-1"}.encode()))
	f.Add([]byte(Element{Key: Concat(Proto(6), Port(80)), Data: Concat(Proto(1)), End: true}.encode()))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := decodeElement(b)
		if err != nil {
			return
		}
		again, err := decodeElement(e.encode())
		if err != nil {
			t.Fatalf("what was read cannot be written and read again: %v", err)
		}
		if e.Jump != "" {
			e.Data = nil // an element has one of the two; the kernel never gives both
		}
		if len(e.Comment) <= 250 {
			if diff := cmp.Diff(e, again, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("element (-first +again):\n%s", diff)
			}
		}
	})
}

func FuzzExpressions(f *testing.F) {
	f.Add([]byte(All(FibLocal(), DNATByPort(IPv4, "ports"))))
	f.Add([]byte(All(IIfGroup(7000, 7127), MarkSet(0x7f, 0))))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, err := expressions(Expr(b))
		if same := sameExpr(Expr(b), Expr(b)); err == nil && !same {
			t.Error("a rule that can be read differs from itself")
		}
	})
}

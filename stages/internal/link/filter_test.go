package link_test

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/enichain/enichain/stages/internal/link"
	"github.com/enichain/enichain/stages/internal/linktest"
)

func TestLinksShareFilters(t *testing.T) {
	ns := linktest.New(t)
	ns.Script("ip link add a1 type veth peer name b1\nip link add c1 type veth peer name d1\nip link add e1 type veth peer name f1\ntc qdisc add dev f1 clsact")
	want := link.Blocks{In: 2330, Out: 2331}
	ns.Do(func(c *link.Conn) {
		var links []int
		for _, name := range []string{"a1", "c1", "f1", "e1"} {
			l, err := c.LinkByName(name)
			if err != nil {
				t.Fatal(err)
			}
			links = append(links, l.Index)
		}
		if have, err := c.SharedBlocks(links[0]); !errors.Is(err, link.ErrAbsent) {
			t.Errorf("a link without a classifier: %v, %v", have, err)
		}
		if err := c.Do(link.ShareBlocks(links[0], want), link.ShareBlocks(links[1], want)); err != nil {
			t.Fatal(err)
		}
		if err := c.Do(link.ShareBlocks(links[0], want)); !errors.Is(err, unix.EEXIST) {
			t.Errorf("twice: %v, want EEXIST", err)
		}
		if have, err := c.SharedBlocks(links[1]); err != nil || have != want {
			t.Errorf("shared blocks are %v, %v, want %v", have, err, want)
		}
		if have, err := c.SharedBlocks(links[2]); err != nil || have != (link.Blocks{}) {
			t.Errorf("somebody else's classifier: %v, %v", have, err)
		}
		if have, err := c.Sharing(want); err != nil || len(have) != 2 || have[0] != links[0] || have[1] != links[1] {
			t.Errorf("sharing are %v, %v, want %v", have, err, links[:2])
		}
		if _, err := c.BlockProgram(want.In); !errors.Is(err, link.ErrAbsent) {
			t.Errorf("filter of an empty block: %v", err)
		}
		if err := c.Do(link.UnshareBlocks(links[0]), link.UnshareBlocks(links[0]), link.UnshareBlocks(links[3])); err != nil {
			t.Errorf("twice, and where nothing is: %v", err)
		}
		if _, err := c.SharedBlocks(links[0]); !errors.Is(err, link.ErrAbsent) {
			t.Errorf("after all: %v", err)
		}
	})
}

package routedveth

import (
	"context"
	"errors"
	"strings"

	"github.com/enichain/enichain/stages"
	"github.com/enichain/enichain/stages/internal/link"
	"github.com/enichain/enichain/stages/internal/nft"
)

// GC deletes the wires of this network whose attachments are not in the list: all of them are severed first, then
// deleted. A link without a readable note belongs to an ADD that did not end; its DEL or its namespace takes it.
func (Stage) GC(ctx context.Context, r *stages.Request) error {
	conf, err := decode(r)
	if err != nil {
		return err
	}
	if r.Valid == nil {
		return conf.delegate(ctx, r, "GC")
	}
	c, err := link.Open()
	if err != nil {
		return err
	}
	defer c.Close()
	keep := map[link.MAC]bool{}
	for _, a := range r.Valid {
		mac, _ := link.OwnerMACs(a.String())
		keep[mac] = true
	}
	links, err := c.Links()
	if err != nil {
		return err
	}
	var stale, severing []link.Message
	for _, l := range links {
		owner, _ := readPodAlias(l.Alias)
		if ours(l) && nft.Owned(owner, r.Network) && !keep[l.MAC] {
			severing = append(severing, sever(l))
			stale = append(stale, link.DelLink(l.Index))
		}
	}
	return errors.Join(c.Do(severing...), c.Do(stale...), conf.delegate(ctx, r, "GC"))
}

// Sweep deletes the wires that a DEL has severed, and says which. Each costs 14 to 20 ms in the kernel; it stops
// between two when ctx ends. Links that somebody else set down are left alone: their pods may live.
func Sweep(ctx context.Context) (removed []string, err error) {
	c, err := link.Open()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	links, err := c.Links()
	if err != nil {
		return nil, err
	}
	for _, l := range links {
		if ctx.Err() != nil {
			return removed, ctx.Err()
		}
		if !severed(l) {
			continue
		}
		if err := c.Do(link.DelLink(l.Index)); err != nil {
			return removed, err
		}
		owner, _ := readPodAlias(l.Alias)
		removed = append(removed, strings.TrimSpace(l.Name+" "+owner))
	}
	return removed, nil
}

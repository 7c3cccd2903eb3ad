package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/enichain/enichain/ipam/store"
)

// poolView is a node's pool as its file has it, for the demo's pictures and checks.
type poolView struct {
	ENIs    []poolENI `json:"enis"`
	Waiting int       `json:"waiting"`
	Leases  int       `json:"leases"`
}

type poolENI struct {
	ID     string       `json:"id"`
	Link   string       `json:"link"`
	N      int          `json:"n"`
	Counts store.Counts `json:"counts"`
	Listed bool         `json:"listed"`
}

// readPool runs inside a node: the file alone is asked, no daemon.
func readPool(ctx context.Context) (poolView, error) {
	s := store.New(store.DefaultPath, store.Options{})
	var p poolView
	err := s.View(ctx, func(tx *store.Tx) error {
		state := tx.State()
		p.Waiting, p.Leases = len(state.Tickets), len(state.Leases)
		for _, e := range state.ENIs {
			p.ENIs = append(p.ENIs, poolENI{string(e.ENI), e.Link, e.N, e.Counts, e.Listed && e.Present})
		}
		return nil
	})
	return p, err
}

// free counts the addresses that a pod could have at once.
func (p poolView) free() (n int) {
	for _, e := range p.ENIs {
		n += e.Counts.Free
	}
	return n
}

// interfaces counts those that are here and wanted.
func (p poolView) interfaces() (n int) {
	for _, e := range p.ENIs {
		if e.Listed {
			n++
		}
	}
	return n
}

// picture draws the pool, a glyph per address: P the primary (never a pod's), ■ leased, □ warm, ◌ cooling, ▨ given up.
func (p poolView) picture(slots int) string {
	var parts []string
	for _, e := range p.ENIs {
		if !e.Listed {
			continue
		}
		c := e.Counts
		glyphs := strings.Repeat("■", c.Leased) + strings.Repeat("□", c.Free) + strings.Repeat("◌", c.Cooling) +
			strings.Repeat("▨", c.Fenced)
		empty := slots - c.Leased - c.Free - c.Cooling - c.Fenced
		parts = append(parts, fmt.Sprintf("%s P%s%s", e.Link, glyphs, strings.Repeat("·", max(empty, 0))))
	}
	return strings.Join(parts, "  ")
}

// statusOf is what the demo looks at in a daemon's own status.
type statusOf struct {
	Agent      *struct{ Connected bool }
	Reconciler *struct{ Leading bool }
}

// writeLocal prints what the machine's daemon answers on its socket.
func writeLocal(ctx context.Context, path string) error {
	client := http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", "/run/enichain/enichaind.sock")
		}}}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://enichaind"+path, nil)
	if err != nil {
		return err
	}
	answer, err := client.Do(r)
	if err != nil {
		return fmt.Errorf("cannot ask enichaind: %w", err)
	}
	defer answer.Body.Close()
	_, err = io.Copy(os.Stdout, answer.Body)
	return err
}

// writePool answers the verb pool of insideCommand.
func writePool(ctx context.Context) error {
	p, err := readPool(ctx)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(p)
}

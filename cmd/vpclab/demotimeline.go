package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/enichain/enichain/test/lab/vpc"
)

// moment is a line of a timeline; moments of one kind in a row become one line.
type moment struct {
	at         time.Time
	kind, text string
}

// timeline prints, in order, what nodes said on the bus since then and what the reconciler did to EC2.
func (d *demo) timeline(ctx context.Context, since time.Time, node string) error {
	moments, err := d.calls(ctx, since)
	if err != nil {
		return err
	}
	told, err := d.events(ctx, since, node)
	if err != nil {
		return err
	}
	moments = append(moments, told...)
	slices.SortStableFunc(moments, func(a, b moment) int { return a.at.Compare(b.at) })
	for i := 0; i < len(moments); {
		same := i + 1
		for same < len(moments) && moments[same].kind == moments[i].kind && strings.HasPrefix(moments[i].kind, "pod.") {
			same++
		}
		text := moments[i].text
		if same-i > 1 {
			text = fmt.Sprintf("×%d", same-i)
		}
		d.say("%s  %-31s %s", moments[i].at.Local().Format("15:04:05.000"), moments[i].kind, text)
		i = same
	}
	return nil
}

// calls are the reconciler's mutations of EC2 since then.
func (d *demo) calls(ctx context.Context, since time.Time) ([]moment, error) {
	var entries []vpc.Entry
	if err := ask(ctx, d.state, http.MethodGet, "/v1/journal", nil, &entries); err != nil {
		return nil, err
	}
	var all []moment
	for _, e := range entries {
		if !e.At.Before(since) && e.Caller == reconcilerKey && !strings.HasPrefix(e.Action, "Describe") {
			took := e.Answered.Sub(e.At).Round(10 * time.Millisecond)
			all = append(all, moment{e.At, e.Action, fmt.Sprintf("%s  %s%s", e.Subject, took, prefixed("  ", e.Code))})
		}
	}
	return all, nil
}

// events are what one node said since then, as the hub heard it.
func (d *demo) events(ctx context.Context, since time.Time, node string) ([]moment, error) {
	n, err := d.view.node(node)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	out, err := d.in(ctx, control, self, "__inside", "events", control)
	if err != nil {
		return nil, err
	}
	var all []moment
	for lines := bufio.NewScanner(strings.NewReader(out)); lines.Scan(); {
		text, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		var e struct {
			Source string
			Time   time.Time
			Data   struct {
				Verb, ENI, Pod string
				Address        []string
			}
		}
		if err := json.Unmarshal([]byte(text), &e); err != nil {
			return nil, fmt.Errorf("cannot read an event: %w: %s", err, text)
		}
		if e.Source == "/node/"+n.Instance && !e.Time.Before(since) && !strings.HasPrefix(e.Data.Verb, "ip.") {
			words := []string{e.Data.Pod, e.Data.ENI, strings.Join(e.Data.Address, " ")}
			words = slices.DeleteFunc(words, func(w string) bool { return w == "" })
			all = append(all, moment{e.Time, e.Data.Verb, strings.Join(words, "  ")})
		}
	}
	return all, nil
}

func prefixed(prefix, text string) string {
	if text == "" {
		return ""
	}
	return prefix + text
}

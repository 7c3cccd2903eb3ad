package sim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/enichain/enichain/ipam/agent"
	"github.com/enichain/enichain/ipam/reconcile"
	"github.com/enichain/enichain/ipam/record"
)

// again runs a record through new cores and names the first step that differs.
func again(text []byte) (steps int, err error) {
	cores := map[string]func(record.Line) any{}
	from := record.NewReader(bytes.NewReader(text))
	for {
		e, err := from.Next()
		switch {
		case errors.Is(err, io.EOF):
			return steps, nil
		case err != nil:
			return steps, err
		case e.Header != nil && e.Header.Core == record.Agent:
			var options agent.Options
			must(json.Unmarshal(e.Header.Config, &options))
			core := agent.New(options, randOf(*e.Header.Seed))
			cores[e.Header.Node] = func(l record.Line) any {
				var now agent.Now
				var in agent.Input
				must(errors.Join(json.Unmarshal(l.Now, &now), json.Unmarshal(l.In, &in)))
				return core.Step(now, in)
			}
		case e.Header != nil:
			var config reconcile.Config
			must(json.Unmarshal(e.Header.Config, &config))
			core := reconcile.New(config)
			cores[e.Header.Node] = func(l record.Line) any {
				var now reconcile.Now
				var in reconcile.Input
				must(errors.Join(json.Unmarshal(l.Now, &now), json.Unmarshal(l.In, &in)))
				return core.Step(now, in)
			}
		default:
			steps++
			out, err := json.Marshal(cores[e.Line.Node](*e.Line))
			must(err)
			if string(out) != string(e.Line.Out) {
				return steps, fmt.Errorf("step %d of %s %s:\n in       %s\n recorded %s\n again    %s", e.Line.N, e.Line.Core, e.Line.Node, e.Line.In, e.Line.Out, out)
			}
		}
	}
}

// TestL6_Replay: what was recorded of whole runs with faults has the same effects in new cores, byte for byte.
func TestL6_Replay(t *testing.T) {
	t.Parallel()
	dir := scratch(t)
	seeds, least, total := uint64(12), 50_000, 0
	if slow {
		seeds, least = 2, 5_000
	}
	for seed := range seeds {
		seed++
		r, err := Run(Generate(seed, 20*time.Minute, 2), Settings{Dir: dir, Record: true})
		if err != nil {
			t.Fatal(err)
		}
		steps, err := again(r.Recording)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		total += steps
		if seed > 1 {
			continue
		}
		// The control: an answer that was another one.
		changed := bytes.Replace(r.Recording, []byte(`"class":"done"`), []byte(`"class":"limit"`), 1)
		if _, err := again(changed); err == nil || bytes.Equal(changed, r.Recording) {
			t.Error("a record that was changed has the same effects: L6 is not looked at")
		}
	}
	if total < least {
		t.Errorf("only %d steps", total)
	}
}

package agent

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/enichain/enichain/ipam"
)

// TestReplay is protocol L6: a recorded run, read back from its JSON, gives the same effects, byte for byte.
func TestReplay(t *testing.T) {
	var run bytes.Buffer
	n := ready(t)
	n.shell.config.Record = &run
	core := New(n.shell.config.Options, rand.New(rand.NewPCG(7, 7)))
	n.shell.core = core
	first := n.shell.file.look(t.Context(), n.now, "start")
	feed := func(in Input) {
		n.shell.step(t.Context(), in)
		for len(n.shell.jobs) > 0 {
			n.shell.step(t.Context(), (<-n.shell.jobs)(t.Context()))
		}
	}
	feed(Input{Start: &Start{Pool: *first}})
	feed(Input{Bus: &BusState{Up: true}})
	wish := n.supply(eni(0, 6), eni(1, 3))
	wish.Release = []ipam.Release{{ENI: "eni-00", Count: 2}}
	n.attach(1)
	feed(Input{Wake: &Wake{Links: true, Who: "ip (pid 9)"}})
	feed(Input{Supply: &wish})
	n.kernel.missing = []string{"2 routes"}
	for range 200 {
		n.moveTo(n.now.After(750 * time.Millisecond))
		feed(Input{Timer: true})
	}
	n.detach(1)
	feed(Input{Wake: &Wake{Links: true}})
	for range 10 {
		n.moveTo(n.now.After(time.Second))
		feed(Input{Timer: true})
	}
	again := New(n.shell.config.Options, rand.New(rand.NewPCG(7, 7)))
	lines := bytes.Split(bytes.TrimSpace(run.Bytes()), []byte("\n"))
	effects := 0
	for i, line := range lines {
		var turn Turn
		check(t, json.Unmarshal(line, &turn))
		out := again.Step(turn.Now, turn.In)
		effects += len(out)
		text, err := json.Marshal(Turn{turn.Now, turn.In, out})
		check(t, err)
		if diff := cmp.Diff(string(line), string(text)); diff != "" {
			t.Fatalf("turn %d (-recorded +replayed):\n%s", i, diff)
		}
	}
	if len(lines) < 200 || effects < 50 {
		t.Errorf("%d turns with %d effects: too few to say anything", len(lines), effects)
	}
}

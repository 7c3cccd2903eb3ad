package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type now struct{ At int }

func write(t *testing.T, steps int) string {
	t.Helper()
	var b bytes.Buffer
	w := NewWriter(&b)
	if err := w.Begin(Agent, "i-1", &[2]uint64{1, 2}, map[string]string{"a": "b"}); err != nil {
		t.Fatal(err)
	}
	if err := w.Begin(Reconcile, "", nil, struct{}{}); err != nil {
		t.Fatal(err)
	}
	for i := range steps {
		core, node := Agent, "i-1"
		if i%3 == 0 {
			core, node = Reconcile, ""
		}
		if err := w.Step(core, node, now{i}, map[string]int{"in": i}, []int{i}); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

func read(text string) ([]Entry, error) {
	r := NewReader(strings.NewReader(text))
	var all []Entry
	for {
		e, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		all = append(all, e)
	}
}

func TestRoundTrip(t *testing.T) {
	text := write(t, 7)
	all, err := read(text)
	if err != nil {
		t.Fatal(err)
	}
	again := ""
	for _, e := range all {
		again += lineOf(t, e)
	}
	if diff := cmp.Diff(text, again); diff != "" {
		t.Errorf("(-written +read):\n%s", diff)
	}
	if len(all) != 9 || all[0].Header == nil || all[8].Line == nil || all[8].Line.N != 3 {
		t.Errorf("%d entries: %s", len(all), again)
	}
}

func lineOf(t *testing.T, e Entry) string {
	t.Helper()
	var what any = e.Line
	switch {
	case e.Header != nil:
		what = e.Header
	case e.End != nil:
		what = e.End
	}
	text, err := json.Marshal(what)
	if err != nil {
		t.Fatal(err)
	}
	return string(text) + "\n"
}

func TestClosedEarly(t *testing.T) {
	var b bytes.Buffer
	w := NewWriter(&b)
	if err := errors.Join(w.Begin(Agent, "", nil, struct{}{}), w.Step(Agent, "", 1, 1, 1), w.Close("1m0s are over")); err != nil {
		t.Fatal(err)
	}
	all, err := read(b.String())
	if err != nil {
		t.Fatal(err)
	}
	if last := all[len(all)-1]; last.End == nil || last.End.Reason != "1m0s are over" {
		t.Errorf("the last line does not say why: %s", lineOf(t, last))
	}
}

// full takes so many bytes.
type full int

func (f *full) Write(text []byte) (int, error) {
	if *f -= full(len(text)); *f < 0 {
		return 0, errors.New("no space left")
	}
	return len(text), nil
}

func TestNobodyTakesIt(t *testing.T) {
	to := full(100)
	w := NewWriter(&to)
	if err := w.Begin(Agent, "", nil, struct{}{}); err != nil {
		t.Fatal(err)
	}
	first := w.Step(Agent, "", 1, 1, strings.Repeat("x", 100))
	if first == nil || !strings.Contains(first.Error(), "no space left") {
		t.Errorf("got %v", first)
	}
	to = 1000
	if again := w.Close("all is well"); again != first {
		t.Errorf("a record with a hole in it went on: %v", again)
	}
}

func TestCutWhileWritten(t *testing.T) {
	text := write(t, 3)
	all, err := read(text[:len(text)-5])
	if err != nil || len(all) != 4 {
		t.Errorf("%d entries, %v; want 4: the torn line is left out", len(all), err)
	}
}

func TestRefuses(t *testing.T) {
	header := `{"enichain":"record","v":1,"core":"agent","config":{}}` + "\n"
	for name, c := range map[string]struct{ text, want string }{
		"nothing":         {"", "it is empty"},
		"no JSON":         {"x\n", "line 1: no JSON object"},
		"another version": {`{"enichain":"record","v":9,"core":"agent","config":{}}` + "\n", "v is 9; this program reads 1"},
		"another core":    {`{"enichain":"record","v":1,"core":"x","config":{}}` + "\n", `core is "x"`},
		"another thing":   {`{"enichain":"conflist"}` + "\n", `enichain is "conflist"`},
		"no header":       {`{"core":"agent","n":1,"now":1,"in":1,"out":1}` + "\n", "no header of it before"},
		"a gap":           {header + `{"core":"agent","n":2,"now":1,"in":1,"out":1}` + "\n", "step 2 of agent follows step 0"},
		"half a step":     {header + `{"core":"agent","n":1,"now":1}` + "\n", "has not all of"},
		"behind the end":  {header + `{"enichain":"end","reason":"x"}` + "\n" + header, "line 3: something follows"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := read(c.text); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want …%s…", err, c.want)
			}
		})
	}
}

func TestWriterRefuses(t *testing.T) {
	w := NewWriter(io.Discard)
	if err := w.Step(Agent, "", 1, 1, 1); err == nil || !strings.Contains(err.Error(), "has not begun") {
		t.Errorf("a step before the header: %v", err)
	}
	if err := w.Begin("x", "", nil, 1); err == nil {
		t.Error("a core that does not exist was taken")
	}
	if err := w.Begin(Agent, "", nil, func() {}); err == nil {
		t.Error("a configuration that is no JSON was taken")
	}
}

// FuzzReader: whatever the file is, the reader ends, and what it takes is written back the same.
func FuzzReader(f *testing.F) {
	f.Add(`{"enichain":"record","v":1,"core":"agent","config":{}}` + "\n" + `{"core":"agent","n":1,"now":1,"in":{},"out":null}` + "\n")
	f.Add(`{"enichain":"end"}` + "\n\n")
	f.Add("{}\n")
	f.Fuzz(func(t *testing.T, text string) {
		all, err := read(text)
		if err != nil || len(all) == 0 {
			return
		}
		first := ""
		for _, e := range all {
			first += lineOf(t, e)
		}
		again, err := read(first)
		if err != nil {
			t.Fatalf("what was read is refused when written back: %v\n%s", err, first)
		}
		second := ""
		for _, e := range again {
			second += lineOf(t, e)
		}
		if diff := cmp.Diff(first, second); diff != "" {
			t.Errorf("(-once +twice):\n%s", diff)
		}
	})
}

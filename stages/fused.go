package stages

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/enichain/enichain/chain/contract"
)

// Named is a stage under the name by which a list calls it.
type Named struct {
	Type  string
	Stage Stage
}

// Fused runs stages that are neighbours in a list in one process. Its entry there has a member "stages", whose elements
// are the stages' own entries. A runtime gives the entry what it would give each of them; Fused hands on to each what
// that one would have got, and does what libcni does with a row of plugins: ADD and CHECK in order, each ADD with the
// result of the one before it, DEL backwards, STATUS to the first error, GC of all whatever fails. A failure is that
// stage's own, in token, code and words; what the stages before it did stays until the runtime's DEL, as it does between
// processes. Each stage has a line of its own in the flight record.
//
// A stage that delegates to another of them finds it here and starts no process.
type Fused struct{ stages []Named }

// Fuse makes one stage of several; a list may use any of them, in any order.
func Fuse(stages ...Named) Fused { return Fused{stages} }

var _ Stage = Fused{}

// Contract says which stages there are, and no more: VERSION comes without a configuration, and what an entry needs and
// adds is said by its members.
func (f Fused) Contract() contract.Contract {
	c := contract.Contract{V: contract.V, Previous: contract.Uses, Stages: map[string]contract.Contract{},
		Keys: map[string]string{contract.FusedKey: "list of object (the stages' own entries, in order)"}}
	for _, s := range f.stages {
		own := s.Stage.Contract()
		c.Stages[s.Type] = own
		c.Capabilities = append(c.Capabilities, own.Capabilities...)
	}
	slices.Sort(c.Capabilities)
	c.Capabilities = slices.Compact(c.Capabilities)
	return c
}

// Add implements Stage.
func (f Fused) Add(ctx context.Context, r *Request) (*Result, error) {
	x, err := f.begin(r)
	if err != nil {
		return nil, err
	}
	defer x.end()
	result := r.Prev
	for _, m := range x.members {
		err := x.run(m, result, func(c *call) (err error) {
			result, err = c.result(ctx)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return result, nil
}

// Check implements Stage.
func (f Fused) Check(ctx context.Context, r *Request) error {
	return f.each(r, false, func(c *call) error { return c.stage.Check(ctx, c.request) })
}

// Del implements Stage.
func (f Fused) Del(ctx context.Context, r *Request) error {
	return f.each(r, true, func(c *call) error { return c.stage.Del(ctx, c.request) })
}

// Status implements Stage. Each stage has its own second.
func (f Fused) Status(ctx context.Context, r *Request) error {
	return f.each(r, false, func(c *call) error { return c.status(ctx) })
}

// GC implements Stage. Token and code are those of the first stage that fails; what others said follows it.
func (f Fused) GC(ctx context.Context, r *Request) error {
	x, err := f.begin(r)
	if err != nil {
		return err
	}
	defer x.end()
	var errs []error
	for _, m := range x.members {
		errs = append(errs, x.run(m, nil, func(c *call) error { return c.stage.GC(ctx, c.request) }))
	}
	return oneLine(errs)
}

// oneLine is the first of some errors, with the others in its text; nil where there is none.
func oneLine(errs []error) error {
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	if len(errs) == 0 {
		return nil
	}
	first := *asError(errs[0])
	for _, err := range errs[1:] {
		e := asError(err)
		first.Text += "; " + e.Stage + ": " + e.Error()
	}
	return &first
}

// each runs a verb of all stages, up to the first that fails.
func (f Fused) each(r *Request, backwards bool, verb func(*call) error) error {
	x, err := f.begin(r)
	if err != nil {
		return err
	}
	defer x.end()
	if backwards {
		slices.Reverse(x.members)
	}
	for _, m := range x.members {
		if err := x.run(m, r.Prev, verb); err != nil {
			return err
		}
	}
	return nil
}

// asked is the stage that a runtime would have asked first, were each a process: what is refused before any stage is told
// under its name. It is otherwise where no stage can be read.
func (f Fused) asked(r *Request, otherwise string) string {
	var stages []struct {
		Type string `json:"type"`
	}
	if raw, ok := r.members[contract.FusedKey]; !ok || json.Unmarshal(raw, &stages) != nil || len(stages) == 0 {
		return otherwise
	}
	i := 0
	if r.Command == cmdDel {
		i = len(stages) - 1
	}
	if stages[i].Type == "" {
		return otherwise
	}
	return stages[i].Type
}

// fusedRun is one verb of an entry.
type fusedRun struct {
	fused   Fused
	r       *Request // the entry's
	process Process
	quiet   bool      // an ADD is undone: its stages have their lines already
	began   time.Time // of the stage whose turn is next
	flight  *os.File  // the record, from the first line on
	members []fusedMember
	runtime map[string]json.RawMessage // runtimeConfig, taken apart
}

// fusedMember is one stage with its part of the configuration.
type fusedMember struct {
	Named
	config map[string]json.RawMessage
}

// begin takes the entry apart, before any stage does anything. A DEL bears what is wrong beside the stages.
func (f Fused) begin(r *Request) (*fusedRun, error) {
	var entry struct {
		Stages []json.RawMessage `json:"stages"`
	}
	if err := r.Decode(&entry); err != nil && (r.Command != cmdDel || len(entry.Stages) == 0) {
		return nil, err
	}
	x := &fusedRun{fused: f, r: r, process: Process{Getenv: func(string) string { return "" }, Now: time.Now}}
	if r.call != nil {
		x.process, x.began, x.quiet = r.call.Process, r.call.began, r.call.request.Command != r.Command
	}
	if len(entry.Stages) == 0 {
		return nil, Errorf(Config, "stages: want the entries of at least one stage, such as [{ \"type\": %q }]", f.types()[0])
	}
	if raw, ok := r.Member("runtimeConfig"); ok && !isNull(raw) {
		runtime, err := objectMembers(raw)
		if err != nil && r.Command != cmdDel {
			return nil, Errorf(Config, "runtimeConfig: want an object, got %s", brief(raw))
		}
		x.runtime = runtime
	}
	for i, raw := range entry.Stages {
		m, err := x.member(raw)
		if err != nil {
			return nil, Errorf(Config, "stages[%s]%w", strconv.Itoa(i), err)
		}
		x.members = append(x.members, m)
	}
	if r.call != nil {
		r.call.recorded = true // from here on the stages say what happens
	}
	return x, nil
}

// member makes of an entry in "stages" the configuration that libcni would have made of it.
func (x *fusedRun) member(raw json.RawMessage) (m fusedMember, err error) {
	if m.config, err = objectMembers(raw); err != nil {
		return m, fmt.Errorf(": want an object with \"type\", got %s", brief(raw))
	}
	if decodeString(m.config["type"], &m.Type) != nil || m.Type == "" {
		return m, errors.New(".type: want a stage's name, such as " + strconv.Quote(x.fused.types()[0]))
	}
	own, ok := x.stage(m.Type)
	if !ok {
		return m, fmt.Errorf(".type: there is no %s in this process, only %s; other plugins stand beside this entry in the list",
			quote(m.Type), strings.Join(x.fused.types(), ", "))
	}
	m.Stage = own.Stage
	for key, value := range x.r.members {
		switch {
		case key == "type" || key == "capabilities" || key == "runtimeConfig":
		case runtimeKey(key):
			m.config[key] = value
		}
	}
	var on map[string]bool
	if raw, ok := m.config["capabilities"]; ok && json.Unmarshal(raw, &on) != nil && x.r.Command != cmdDel {
		return m, fmt.Errorf(".capabilities: want an object of true and false, got %s", brief(raw))
	}
	if supplied := x.supplied(on); supplied != nil {
		m.config["runtimeConfig"] = supplied
	}
	return m, nil
}

// supplied is what a stage gets of what the runtime supplied: the capabilities that it switches on. nil: nothing.
func (x *fusedRun) supplied(on map[string]bool) json.RawMessage {
	own := map[string]json.RawMessage{}
	for name, value := range x.runtime {
		if on[name] {
			own[name] = value
		}
	}
	switch len(own) {
	case 0:
		return nil
	case len(x.runtime):
		return x.r.members["runtimeConfig"]
	}
	text, err := json.Marshal(own)
	if err != nil {
		return nil // of what was JSON before
	}
	return text
}

// stage finds a stage of the process.
func (x *fusedRun) stage(name string) (Named, bool) {
	i := slices.IndexFunc(x.fused.stages, func(s Named) bool { return s.Type == name })
	if i < 0 {
		return Named{}, false
	}
	return x.fused.stages[i], true
}

func (f Fused) types() (names []string) {
	for _, s := range f.stages {
		names = append(names, s.Type)
	}
	return names
}

// run runs one stage's verb as a process of its own would: what the skeleton refuses is refused, a panic is an error,
// and the record gets its line.
func (x *fusedRun) run(m fusedMember, prev *Result, verb func(*call) error) error {
	r := *x.r
	r.Type, r.members, r.Config, r.Prev, r.Waited, r.fused = m.Type, m.config, nil, prev, Waits{}, x
	if m.config["ipam"] != nil { // a delegate gets it as text
		text, err := r.text()
		if err != nil {
			return Errorf(Bug, "%w", err)
		}
		r.Config = text
	}
	return x.turn(m.Named, &r, func(c *call) error {
		if fault := c.admit(nil); fault != nil {
			return fault
		}
		return verb(c)
	})
}

// result is what ADD gives the next stage; one that could not be written down is a failed ADD, and undone.
func (c *call) result(ctx context.Context) (*Result, error) {
	result, err := c.stage.Add(ctx, c.request)
	if err != nil {
		return nil, err
	}
	if result, err = passed(result, c.request.Version); err != nil {
		return nil, errors.Join(Errorf(Bug, "%w", err), c.undo(ctx))
	}
	return result, nil
}

// passed is a result as the next stage would read it. CNI 0.x loses on the way what it has no word for.
func passed(r *Result, version string) (*Result, error) {
	if line(version) != "1" {
		text, err := writeResult(r, version)
		if err != nil {
			return nil, err
		}
		return readResult(text, version)
	}
	if err := writable(r); err != nil {
		return nil, fmt.Errorf("cannot write the result: %w", err)
	}
	r.CNIVersion = inside
	return r, nil
}

// text is the configuration with the result of the stages before, which may stand nowhere else yet.
func (r *Request) text() ([]byte, error) {
	delete(r.members, "prevResult")
	if r.Prev != nil {
		prev, err := writeResult(r.Prev, r.Version)
		if err != nil {
			return nil, err
		}
		r.members["prevResult"] = prev
	}
	return json.Marshal(r.members)
}

// turn is one stage's turn with a request of its own.
func (x *fusedRun) turn(s Named, r *Request, do func(*call) error) (err error) {
	c := &call{Process: x.process, stage: s.Stage, name: s.Type, began: x.began, request: r, recorded: x.quiet}
	if c.began.IsZero() {
		c.began = c.Now()
	}
	x.began = time.Time{}
	defer func() {
		if v := recover(); v != nil {
			if c.Stderr != nil {
				fmt.Fprintf(c.Stderr, "%s: panic: %v\n%s", c.name, v, debug.Stack())
			}
			err = Errorf(Bug, "%s broke down: %v; its standard error has the stack", c.name, v)
		}
		var token Token
		if err != nil {
			e := *asError(err)
			e.Stage, token, err = c.name, e.Token, &e
		}
		x.record(c, token)
	}()
	return do(c)
}

// record writes the stage's line; the file is opened once, and after the first stage's turn: that one may wait long.
func (x *fusedRun) record(c *call, token Token) {
	if c.FlightPath == "" || c.recorded {
		return
	}
	if x.flight == nil {
		x.flight = openFlight(c.FlightPath)
	}
	c.recordTo(x.flight, token)
}

func (x *fusedRun) end() {
	if x.flight != nil {
		x.flight.Close()
	}
}

package stages

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/enichain/enichain/chain/contract"
)

const (
	// statusLimit is how long STATUS may take. containerd asks under a lock, without a deadline of its own that would
	// reach us, and a node whose STATUS hangs turns NotReady.
	statusLimit = time.Second
	// versionPatience is how long VERSION waits for a configuration that says in which version it is asked: runtimes give
	// one at once, people by hand often none.
	versionPatience = 50 * time.Millisecond
	// maxInput is the most bytes of standard input that are read: a list's configuration with a prevResult of
	// thousands of routes stays below.
	maxInput = 8 << 20
	// FlightPath is where the record of every run is appended.
	FlightPath = "/run/enichain/flight.jsonl"
)

// Release is the version that the build wrote in (go build -ldflags "-X …/stages.Release=v0.1.0"). It is told in VERSION
// under ReleaseKey, so that mixed installations can be seen.
var Release = "development"

// ReleaseKey is the member of a VERSION answer that carries Release.
const ReleaseKey = "io.enichain/release"

// Process is what a stage knows of the world around it. Tests give their own.
type Process struct {
	Getenv         func(string) string
	Environ        func() []string
	Stdin          io.Reader // with a method SetReadDeadline if it may block: VERSION waits for no terminal
	Stdout, Stderr io.Writer
	FlightPath     string // "" keeps no record
	Now            func() time.Time
}

// Main runs a stage as the process that a runtime started, and exits. A broken pipe does not kill it: a runtime that
// was killed lets its plugins finish, and an ADD whose result nobody took has to be undone.
func Main(name string, s Stage) {
	os.Exit(Run(context.Background(), Process{
		Getenv: os.Getenv, Environ: os.Environ,
		Stdin: &input{}, Stdout: output(unix.Stdout), Stderr: output(unix.Stderr),
		FlightPath: FlightPath, Now: time.Now,
	}, name, s))
}

// Run runs one command of a stage and returns the exit code. Standard output carries the result, the answer to VERSION
// or one error object, and nothing else.
func Run(ctx context.Context, p Process, name string, s Stage) (exit int) {
	c := &call{Process: p, stage: s, name: name, began: p.Now(), request: &Request{Command: p.Getenv("CNI_COMMAND")}}
	defer func() {
		if v := recover(); v != nil {
			fmt.Fprintf(p.Stderr, "%s: panic: %v\n%s", name, v, debug.Stack())
			exit = c.fail(Errorf(Bug, "%s broke down: %v; its standard error has the stack", name, v))
		}
	}()
	switch c.request.Command {
	case "":
		fmt.Fprintf(p.Stderr, "%s %s is a CNI plugin: a container runtime runs it, and cnitool by hand.\n"+
			"CNI versions: %s\n", name, Release, strings.Join(Versions(), ", "))
		return 0
	case cmdVersion:
		return c.version()
	}
	if err := c.prepare(); err != nil {
		if f, ok := s.(fused); ok {
			c.name = f.asked(c.request, name)
		}
		return c.fail(err)
	}
	out, err := c.dispatch(ctx)
	if err != nil {
		return c.fail(err)
	}
	return c.succeed(ctx, out)
}

// call is one run.
type call struct {
	Process
	stage    Stage
	name     string
	began    time.Time
	request  *Request
	recorded bool
}

// fused is Fused and fusedRow fusedRun, by what a single stage's process asks of them: it has none of their code in it.
type (
	fused interface {
		asked(r *Request, otherwise string) string
	}
	fusedRow interface {
		stage(name string) (Named, bool)
		delegate(ctx context.Context, s Named, config []byte, command string) (*Result, error)
	}
)

func (c *call) version() int {
	text, _ := versionTable(askedVersion(c.Stdin), c.stage.Contract()).Write()
	if _, err := c.Stdout.Write(append(text, '\n')); err != nil {
		fmt.Fprintf(c.Stderr, "%s: cannot write the answer to VERSION: %v\n", c.name, err)
		return 1
	}
	return 0
}

// askedVersion is the cniVersion of the configuration on standard input (CNI specification, "VERSION"), or our newest
// where none comes in time: people ask by hand, with a terminal there.
func askedVersion(stdin io.Reader) string {
	if patient, ok := stdin.(interface{ SetReadDeadline(time.Time) error }); ok && patient.SetReadDeadline(time.Now().Add(versionPatience)) != nil {
		return inside
	}
	first := make([]byte, 512)
	n, err := stdin.Read(first)
	if n == 0 && err != nil {
		return inside
	}
	first = first[:n]
	if version, ok := bare(first); ok {
		return version
	}
	var in struct {
		CNIVersion string `json:"cniVersion"`
	}
	all := io.MultiReader(bytes.NewReader(first), stdin)
	if json.NewDecoder(io.LimitReader(all, maxInput)).Decode(&in) != nil || in.CNIVersion == "" || len(in.CNIVersion) > briefest {
		return inside
	}
	return in.CNIVersion
}

// bare reads what libcni sends, {"cniVersion": "1.1.0"} and no more, without a decoder.
func bare(text []byte) (version string, ok bool) {
	for _, part := range []string{"{", `"cniVersion"`, ":", `"`} {
		if text, ok = bytes.CutPrefix(bytes.TrimLeft(text, " \t\r\n"), []byte(part)); !ok {
			return "", false
		}
	}
	n := 0
	for n < len(text) && n < briefest && (text[n] == '.' || text[n] >= '0' && text[n] <= '9') {
		n++
	}
	rest, ok := bytes.CutPrefix(text[n:], []byte(`"`))
	return string(text[:n]), ok && n > 0 && bytes.HasPrefix(bytes.TrimLeft(rest, " \t\r\n"), []byte("}"))
}

// prepare reads the call and refuses what cannot be, before anything is touched.
func (c *call) prepare() *Error {
	command := c.request.Command
	switch command {
	case cmdAdd, cmdDel, cmdCheck, cmdGC, cmdStatus:
	default:
		c.request.Command = ""
		return Errorf(Env, "CNI_COMMAND=%s: want ADD, DEL, CHECK, GC, STATUS or VERSION", quote(command))
	}
	stdin, err := io.ReadAll(io.LimitReader(c.Stdin, maxInput+1))
	switch {
	case err != nil:
		return Errorf(Config, "cannot read standard input: %w", err).WithCode(Kernel.Code())
	case len(stdin) > maxInput:
		return Errorf(Config, "standard input is longer than %d MiB", maxInput>>20).WithCode(PrevResult.Code())
	}
	request, notes, fault := parse(command, c.Getenv, c.Environ(), stdin)
	c.request = request
	if fault != nil {
		return fault
	}
	return c.admit(notes)
}

// admit holds a request that could be read against the stage's contract and against the world.
func (c *call) admit(notes []string) *Error {
	request, declared := c.request, c.declared()
	request.delegates = declared.Delegates != contract.NoDelegate
	request.call, request.stderr = c, c.Stderr
	if note, fault := checkNetns(request, slices.Contains(declared.Adds, contract.SandboxInterface), c.Getenv("CNI_NETNS_OVERRIDE")); fault != nil {
		return fault
	} else if note != "" {
		notes = append(notes, note)
	}
	if fault := c.inPlace(declared); fault != nil {
		return fault
	}
	for _, note := range notes {
		fmt.Fprintf(c.Stderr, "%s: %s: %s\n", c.name, request.Command, note)
	}
	return nil
}

// declared is the stage's contract. A fused one needs nothing by itself, and its stages are asked one by one.
func (c *call) declared() contract.Contract {
	if _, ok := c.stage.(fused); ok {
		return contract.Contract{Previous: contract.Uses}
	}
	return c.stage.Contract()
}

// inPlace holds the call against the stage's contract: one that builds on others is never called without their result.
func (c *call) inPlace(declared contract.Contract) *Error {
	r := c.request
	needs := declared.Previous == contract.Needs || declared.Previous == "" && len(declared.Requires) > 0 && declared.Delegates == contract.NoDelegate
	if !needs || r.Prev != nil || r.Command != cmdAdd && r.Command != cmdCheck {
		return nil
	}
	what := "a result"
	if len(declared.Requires) > 0 {
		what = "a result with " + strings.Join(words(declared.Requires), ", ")
	}
	return Errorf(NoPrevResult, "%s has no prevResult for %s: it stands behind stages that give %s, never first in a list",
		c.name, r.Attachment, what)
}

func words(facts []contract.Fact) []string {
	out := make([]string, len(facts))
	for i, f := range facts {
		out[i] = string(f)
	}
	return out
}

// dispatch runs the verb; out is what ADD prints.
func (c *call) dispatch(ctx context.Context) (out []byte, err error) {
	switch c.request.Command {
	case cmdAdd:
		return c.add(ctx)
	case cmdDel:
		return nil, c.stage.Del(ctx, c.request)
	case cmdCheck:
		return nil, c.stage.Check(ctx, c.request)
	case cmdGC:
		return nil, c.stage.GC(ctx, c.request)
	}
	if _, ok := c.stage.(fused); ok {
		return nil, c.stage.Status(ctx, c.request) // each of its stages has its second
	}
	return nil, c.status(ctx)
}

// add makes the result's text before it says success: a result that cannot be written down is a failed ADD.
func (c *call) add(ctx context.Context) ([]byte, error) {
	result, err := c.stage.Add(ctx, c.request)
	if err != nil {
		return nil, err
	}
	out, err := writeResult(result, c.request.Version)
	if err != nil {
		return nil, errors.Join(Errorf(Bug, "%w", err), c.undo(ctx))
	}
	return append(out, '\n'), nil
}

// undo takes back an ADD whose result nobody has.
func (c *call) undo(ctx context.Context) error {
	del := *c.request
	del.Command, del.foreignNetns = cmdDel, false // it may be gone since
	return c.stage.Del(ctx, &del)
}

// status gives the stage its second and no more: what hangs in the kernel or on a lock must not hang the node.
func (c *call) status(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, statusLimit)
	defer cancel()
	answer := make(chan error, 1)
	go func() {
		defer func() {
			if v := recover(); v != nil {
				answer <- Errorf(Bug, "%s broke down: %v", c.name, v).WithCode(CodeUnavailable)
			}
		}()
		answer <- c.stage.Status(ctx, c.request)
	}()
	select {
	case err := <-answer:
		if coded := (*Error)(nil); err != nil && !errors.As(err, &coded) {
			return Errorf(Kernel, "%w", err).WithCode(CodeUnavailable)
		}
		return err
	case <-ctx.Done():
		return Errorf(Kernel, "no answer from %s within %s", c.name, statusLimit).WithCode(CodeUnavailable)
	}
}

// succeed writes the record first, then the result: a runtime that died takes the result's reader with it.
func (c *call) succeed(ctx context.Context, out []byte) int {
	c.record("")
	if len(out) == 0 {
		return 0
	}
	_, err := c.Stdout.Write(out)
	if err == nil {
		return 0
	}
	fmt.Fprintf(c.Stderr, "%s: cannot write the result for %s: %v; the ADD is undone\n", c.name, c.request.Attachment, err)
	if err := c.undo(ctx); err != nil {
		fmt.Fprintf(c.Stderr, "%s: cannot undo the ADD of %s: %v\n", c.name, c.request.Attachment, err)
	}
	return 1
}

// fail prints the error object. Its cniVersion is the request's, or the newest when the request had none we speak.
func (c *call) fail(err error) int {
	e := asError(err)
	c.record(e.Token)
	version := c.request.Version
	if version == "" {
		version = inside
	}
	out, marshalErr := json.Marshal(struct {
		CNIVersion string `json:"cniVersion"`
		Code       uint   `json:"code"`
		Msg        string `json:"msg"`
		Details    string `json:"details,omitempty"`
	}{version, e.Code, e.Error(), e.details()})
	if marshalErr != nil {
		out = []byte(`{"code":105,"msg":"BUG cannot encode an error"}`)
	}
	if _, err := c.Stdout.Write(append(out, '\n')); err != nil {
		fmt.Fprintf(c.Stderr, "%s: %v (standard output: %v)\n", c.name, e, err)
	}
	return 1
}

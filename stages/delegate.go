package stages

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// busyTries bounds how often a delegate is started again when its file is just being replaced (ETXTBSY).
const busyTries = 5

// leftBehind is how long the output of a delegate that has ended is waited for, when a process it left behind holds it.
const leftBehind = time.Second

// undoLimit is how long the DEL after a failed ADD may take.
const undoLimit = 10 * time.Second

// Delegate runs another plugin with the same environment, a command and a configuration (CNI specification,
// section 4), and returns its result, which only ADD has. A delegate's own error keeps its code, and what it writes to
// standard error comes out at the stage's. One that fails at ADD is told DEL before Delegate returns.
//
// Our own, because libcni's pkg/invoke links a tracing library that doubles a stage's size (2026-11).
func Delegate(ctx context.Context, r *Request, plugin string, config []byte, command string) (*Result, error) {
	if r.fused != nil {
		if s, ok := r.fused.stage(plugin); ok {
			return r.fused.delegate(ctx, s, config, command)
		}
	}
	path, err := findPlugin(plugin, r.Path)
	if err != nil {
		return nil, err
	}
	d := delegate{r: r, plugin: plugin, path: path, config: config}
	result, err := d.run(ctx, command)
	if err != nil && command == cmdAdd && d.started {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoLimit) // what a killed delegate made must go, too
		defer cancel()
		if _, err := d.run(ctx, cmdDel); err != nil && r.stderr != nil {
			fmt.Fprintf(r.stderr, "cannot undo the ADD of %s: %v\n", r.Attachment, err)
		}
	}
	return result, err
}

// delegate is a plugin with what it is called with.
type delegate struct {
	r            *Request
	plugin, path string
	config       []byte
	started      bool
}

func (d *delegate) run(ctx context.Context, command string) (*Result, error) {
	r := d.r
	var stdout, stderr bytes.Buffer
	var err error
	for try := 1; ; try++ {
		stdout.Reset()
		stderr.Reset()
		cmd := exec.CommandContext(ctx, d.path)
		cmd.Env = withCommand(r.Environ, command)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(d.config), &stdout, &stderr
		if r.stderr != nil {
			cmd.Stderr = io.MultiWriter(&stderr, r.stderr)
		}
		cmd.WaitDelay = leftBehind
		if err = cmd.Run(); errors.Is(err, exec.ErrWaitDelay) {
			err = nil // it ended well; somebody whom it started still holds its output
		}
		d.started = d.started || cmd.Process != nil
		if !errors.Is(err, syscall.ETXTBSY) || try == busyTries {
			break
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(try) * 20 * time.Millisecond):
		}
	}
	if err != nil {
		return nil, delegateError(d.plugin, command, err, stdout.Bytes(), stderr.String())
	}
	if command != cmdAdd {
		return nil, nil
	}
	result, err := readResult(stdout.Bytes(), r.Version)
	if err != nil {
		return nil, Errorf(Delegated, "cannot read the result of %s for %s: %w", d.plugin, r.Attachment, err).
			WithCode(PrevResult.Code())
	}
	return result, nil
}

func findPlugin(plugin string, path []string) (string, error) {
	if plugin == "" || strings.ContainsRune(plugin, filepath.Separator) || plugin == "." || plugin == ".." {
		return "", Errorf(Config, "ipam.type: %s is no plugin's file name", quote(plugin))
	}
	for _, dir := range path {
		file := filepath.Join(dir, plugin)
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() {
			return file, nil
		}
	}
	return "", Errorf(Config, "ipam.type: no %s in CNI_PATH (%s)", quote(plugin), strings.Join(path, ":"))
}

func withCommand(environ []string, command string) []string {
	env := make([]string, 0, len(environ)+1)
	for _, kv := range environ {
		if !strings.HasPrefix(kv, "CNI_COMMAND=") {
			env = append(env, kv)
		}
	}
	return append(env, "CNI_COMMAND="+command)
}

func delegateError(plugin, command string, err error, stdout []byte, stderr string) *Error {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return Errorf(Delegated, "cannot run %s for %s: %w", plugin, command, err)
	}
	var said struct {
		Code    uint   `json:"code"`
		Msg     string `json:"msg"`
		Details string `json:"details"`
	}
	if json.Unmarshal(stdout, &said) != nil || said.Msg == "" {
		reason := lastLine(stderr)
		if reason == "" {
			reason = "it said nothing"
		}
		return Errorf(Delegated, "%s failed at %s (%v): %s", plugin, command, err, reason)
	}
	if said.Details != "" {
		said.Msg += "; " + said.Details
	}
	e := Errorf(Delegated, "%s: %s", plugin, said.Msg)
	if said.Code != 0 {
		e.Code = said.Code
	}
	return e
}

func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return strings.TrimSpace(s[strings.LastIndexByte(s, '\n')+1:])
}

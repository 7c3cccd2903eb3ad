package kernel

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// reader asks the tools of one network namespace. It lives on a thread inside: what it starts inherits the namespace.
type reader struct {
	ctx context.Context
}

// inside runs work on a thread of its own in the namespace at path; "" is the caller's.
func inside(path string, work func(*reader) error) error {
	if path == "" {
		path = fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid())
	}
	ns, err := os.Open(path)
	if err != nil {
		return err
	}
	defer ns.Close()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("cannot enter it: %w", err)
			return
		}
		done <- work(&reader{})
	}()
	return <-done
}

// errMissing says that a tool is not installed.
var errMissing = errors.New("not installed")

// started is a tool that runs.
type started struct {
	cmd      *exec.Cmd
	out, bad bytes.Buffer
	err      error
}

// start starts a tool inside the namespace; it must be called on the reader's own thread.
func (r *reader) start(name string, args ...string) *started { return r.feed("", name, args...) }

// feed is start for a tool that reads its standard input.
func (r *reader) feed(stdin, name string, args ...string) *started {
	s := &started{}
	path, err := find(name)
	if err != nil {
		s.err = err
		return s
	}
	s.cmd = exec.CommandContext(r.ctx, path, args...)
	s.cmd.Env = append(os.Environ(), "LC_ALL=C")
	s.cmd.Stdout, s.cmd.Stderr = &s.out, &s.bad
	if stdin != "" {
		s.cmd.Stdin = strings.NewReader(stdin)
	}
	s.err = s.cmd.Start()
	return s
}

// find looks where Debian has its tools, too: an ordinary user's PATH may lack that.
func find(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin/", "/sbin/"} {
		if path, err := exec.LookPath(dir + name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is %w", name, errMissing)
}

// text waits for the tool and returns what it printed.
func (s *started) text() (string, error) {
	if s.err != nil {
		return "", s.err
	}
	if err := s.cmd.Wait(); err != nil {
		return "", fmt.Errorf("cannot run %s: %w: %s", strings.Join(s.cmd.Args, " "), err, strings.TrimSpace(s.bad.String()))
	}
	return s.out.String(), nil
}

// lines waits for the tool and returns what parse makes of what it printed; for a missing tool, a line that says so.
func (s *started) lines(parse func(string) ([]string, error)) ([]string, error) {
	text, err := s.text()
	if errors.Is(err, errMissing) {
		return []string{"unknown: " + err.Error()}, nil
	}
	if err != nil {
		return nil, err
	}
	return parse(text)
}

// read reads all sections: the tools run side by side. To start one costs as much as what it reads.
func (r *reader) read() (State, error) {
	// Numbers, since names of tables and protocols are the machine's files' (/etc/iproute2), which change: see names.go.
	link := r.start("ip", "-N", "-j", "-d", "link", "show")
	four := r.feed(familyBatch, "ip", "-N", "-o", "-4", "-batch", "-")
	six := r.feed(familyBatch, "ip", "-N", "-o", "-6", "-batch", "-")
	both := r.feed("neighbour show nud permanent\nneighbour show proxy\n", "ip", "-N", "-o", "-batch", "-")
	ruleset := r.start("nft", "-s", "list", "ruleset")
	sysctl := sysctls("/proc/sys/net")

	links, err1 := link.lines(linkLines)
	v4, err2 := four.family()
	v6, err3 := six.family()
	all := v4.with(v6)
	neighbours, err4 := both.lines(neighbourLines)
	tc, err5 := r.traffic()
	nft, iptables, err6 := r.tables(ruleset)
	if err := errors.Join(err1, err2, err3, err4, err5, err6); err != nil {
		return State{}, err
	}
	return State{Sections: []Section{
		sorted(Links, links), sorted(Addresses, all.addresses), sorted(Routes, all.routes), {Rules, all.rules}, sorted(Neighbours, neighbours),
		{NFT, nft}, {IPTables, iptables}, sorted(TC, tc), sorted(Sysctls, sysctl),
	}}, nil
}

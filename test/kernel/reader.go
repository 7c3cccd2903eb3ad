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
func (r *reader) start(name string, args ...string) *started {
	s := &started{}
	path, err := find(name)
	if err != nil {
		s.err = err
		return s
	}
	s.cmd = exec.CommandContext(r.ctx, path, args...)
	s.cmd.Env = append(os.Environ(), "LC_ALL=C")
	s.cmd.Stdout, s.cmd.Stderr = &s.out, &s.bad
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

// read reads all sections: the tools run side by side.
func (r *reader) read() (State, error) {
	// Numbers, since names of tables and protocols are the machine's files' (/etc/iproute2), which change: see names.go.
	link := r.start("ip", "-N", "-j", "-d", "link", "show")
	address := r.start("ip", "-N", "-o", "address", "show")
	routes4 := r.start("ip", "-N", "-4", "-o", "route", "show", "table", "all")
	routes6 := r.start("ip", "-N", "-6", "-o", "route", "show", "table", "all")
	rules4 := r.start("ip", "-N", "-4", "rule", "show")
	rules6 := r.start("ip", "-N", "-6", "rule", "show")
	permanent := r.start("ip", "-N", "-o", "neighbour", "show", "nud", "permanent")
	proxies := r.start("ip", "-N", "-o", "neighbour", "show", "proxy")
	qdisc := r.start("tc", "-d", "qdisc", "show")
	ruleset := r.start("nft", "-s", "list", "ruleset")
	sysctl := sysctls("/proc/sys/net")

	var errs []error
	take := func(s *started, parse func(string) ([]string, error)) []string {
		lines, err := s.lines(parse)
		errs = append(errs, err)
		return lines
	}
	links, addresses := take(link, linkLines), take(address, addressLines)
	routes := append(take(routes4, routeLines), take(routes6, routeLines6)...)
	rules := append(take(rules4, ruleLines), take(rules6, ruleLines6)...)
	neighbours := append(take(permanent, neighbourLines), take(proxies, neighbourLines)...)
	tc, err := r.traffic(qdisc)
	errs = append(errs, err)
	nft, iptables, err := r.tables(ruleset)
	errs = append(errs, err)
	if err := errors.Join(errs...); err != nil {
		return State{}, err
	}
	return State{Sections: []Section{
		sorted(Links, links), sorted(Addresses, addresses), sorted(Routes, routes), {Rules, once(rules)}, sorted(Neighbours, neighbours),
		{NFT, nft}, {IPTables, iptables}, sorted(TC, tc), sorted(Sysctls, sysctl),
	}}, nil
}

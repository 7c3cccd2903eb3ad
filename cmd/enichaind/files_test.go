package main

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/enichain/enichain/chain/generation"
	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/agent"
)

func TestInstallList(t *testing.T) {
	from, to := filepath.Join(t.TempDir(), "05-enichain.conflist"), filepath.Join(t.TempDir(), "net.d")
	write(t, from, `{"name":"enichain","plugins":[{"type":"a"}]}`)
	lists := generation.Store{Dir: filepath.Join(t.TempDir(), "lists"), ConfDir: to, Results: t.TempDir()}
	byHand, other := filepath.Join(to, "05-enichain.conflist"), filepath.Join(to, "10-enichain.conflist")
	steps := []struct {
		name    string
		before  func()
		changed bool
		file    string
	}{
		{"the first time", func() {}, true, filepath.Base(byHand)},
		{"again, nothing to do", func() {}, false, filepath.Base(byHand)},
		{"a new list", func() { write(t, from, `{"name":"enichain","plugins":[{"type":"b"}]}`) }, true, filepath.Base(byHand)},
		{"somebody removed it", func() { os.Remove(byHand) }, true, filepath.Base(byHand)},
		{"another was applied by hand", func() { write(t, byHand, `{"name":"enichain","plugins":[{"type":"c"}]}`) }, false, filepath.Base(byHand)},
		{"it was given another name", func() { os.Rename(byHand, other) }, false, filepath.Base(other)},
		{"a new list, for the other name", func() { write(t, from, `{"name":"enichain","plugins":[{"type":"d"}]}`) }, true, filepath.Base(other)},
		{"again", func() {}, false, filepath.Base(other)},
	}
	for _, step := range steps {
		step.before()
		_, changed, err := offer(t.Context(), lists, from)
		if err != nil || changed != step.changed {
			t.Fatalf("%s: changed %v, error %v; want %v", step.name, changed, err, step.changed)
		}
		if diff := cmp.Diff([]string{step.file}, names(t, to)); diff != "" {
			t.Fatalf("%s: files (-want +got):\n%s", step.name, diff)
		}
	}
}

func TestRotate(t *testing.T) {
	record := filepath.Join(t.TempDir(), "flight.jsonl")
	if rotated, err := rotate(record, 10); rotated || err != nil {
		t.Fatalf("no record: rotated %v, %v", rotated, err)
	}
	write(t, record, "0123456789")
	if rotated, err := rotate(record, 10); rotated || err != nil {
		t.Fatalf("at its limit: rotated %v, %v", rotated, err)
	}
	write(t, record, "0123456789+")
	if rotated, err := rotate(record, 10); !rotated || err != nil {
		t.Fatalf("past its limit: rotated %v, %v", rotated, err)
	}
	if diff := cmp.Diff([]string{"flight.jsonl.1"}, names(t, filepath.Dir(record))); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

// TestListWaitsForAddresses: a node must not turn Ready before a pod could have an address, of either family.
func TestListWaitsForAddresses(t *testing.T) {
	for want, e := range []ipam.ENISummary{
		{Link: true, Pending: 4, Cooling: 3, Held: 2}, {Link: true, Free: 1}, {Link: true, Free: 1, Leased: 1},
		{Link: true, IPv6: ipam.Counts{Free: 2, Leased: 1}},
	} {
		if got := leasable(ipam.Snapshot{ENIs: []ipam.ENISummary{e, {Free: 9}}}); got != want { // the other has no link yet
			t.Errorf("%+v: %d are leasable, want %d", e, got, want)
		}
	}
	d, _, to := keeping(t, 1)
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		if err := d.keepList(ctx); err != nil {
			t.Error(err)
		}
	})
	if _, err := os.Stat(to); err == nil {
		t.Error("installed with readyWhen 1 and none leasable")
	}
}

// keeping is a daemon whose agent has no address at all, its list, and where that is installed.
func keeping(t *testing.T, readyWhen int) (d *daemon, from, to string) {
	t.Helper()
	dir := t.TempDir()
	from, to = filepath.Join(dir, "etc", "05-enichain.conflist"), filepath.Join(dir, "net.d", "05-enichain.conflist")
	if err := os.Mkdir(filepath.Dir(from), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, from, `{"name":"enichain","plugins":[{"type":"a"}]}`)
	d = &daemon{log: slog.New(slog.DiscardHandler), config: Config{CNI: CNIConfig{Conflist: from, ConfDir: filepath.Dir(to),
		Generations: filepath.Join(dir, "lists"), Results: dir, ReadyWhen: readyWhen}}}
	d.agent.Store(&agent.Shell{})
	return d, from, to
}

// TestListIsKept: it is installed, follows its file, and comes back, all by what the folders tell.
func TestListIsKept(t *testing.T) {
	d, from, to := keeping(t, 0)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.keepList(ctx) }()
	has := func(step, part string) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
			if text, err := os.ReadFile(to); err == nil && strings.Contains(string(text), part) {
				return
			}
		}
		t.Fatalf("%s: the list is not there", step)
	}
	has("installed", `"a"`)
	write(t, from, `{"name":"enichain","plugins":[{"type":"b"}]}`)
	has("changed", `"b"`)
	if err := os.Remove(to); err != nil {
		t.Fatal(err)
	}
	has("taken away", `"b"`)
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

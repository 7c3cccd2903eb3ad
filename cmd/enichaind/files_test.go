package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/enichain/enichain/chain/generation"
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

package main

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// TestFollowFile: every way in which files are changed is seen, each change once.
func TestFollowFile(t *testing.T) {
	dir := t.TempDir()
	folder := filepath.Join(dir, "etc")
	path := filepath.Join(folder, "file")
	texts := make(chan string, 100)
	ctx, stop := context.WithCancel(t.Context())
	var follow sync.WaitGroup
	defer follow.Wait()
	defer stop()
	follow.Go(func() {
		watchedFile{path: path, most: 1000, poll: 50 * time.Millisecond}.follow(ctx, func(r reading) {
			if r.err != nil {
				texts <- "error"
				return
			}
			texts <- string(r.text)
		})
	})
	expect := func(step, want string) {
		t.Helper()
		for {
			select {
			case got := <-texts:
				if got == want {
					return
				}
				if got != "error" && got != "" { // a file is gone, or empty, for a moment in some of the ways
					t.Fatalf("%s: read %q, want %q", step, got, want)
				}
			case <-time.After(patience):
				t.Fatalf("%s: nothing was read, want %q", step, want)
			}
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	expect("nothing there", "error")
	must(os.Mkdir(folder, 0o755))
	write(t, path, "a folder that came later")
	expect("a folder that came later", "a folder that came later") // by the slow look
	write(t, path, "in place")
	expect("in place", "in place")
	write(t, path+".tmp", "renamed")
	must(os.Rename(path+".tmp", path))
	expect("renamed over it", "renamed")
	write(t, path, "renamed")
	expect("the same text, written anew", "renamed")
	must(os.Remove(path))
	// As kubelet writes a ConfigMap: file -> ..data/file, ..data -> ..1, and then another ..data is renamed over it.
	for _, version := range []string{"..1", "..2"} {
		must(os.Mkdir(filepath.Join(folder, version), 0o755))
		write(t, filepath.Join(folder, version, "file"), version)
	}
	must(os.Symlink("..1", filepath.Join(folder, "..data")))
	must(os.Symlink("..data/file", path))
	expect("links", "..1")
	must(os.Symlink("..2", filepath.Join(folder, "..data_tmp")))
	must(os.Rename(filepath.Join(folder, "..data_tmp"), filepath.Join(folder, "..data")))
	expect("links swapped", "..2")
	must(os.RemoveAll(folder))
	must(os.Mkdir(folder, 0o755))
	write(t, path, "another folder of the name")
	expect("another folder of the name", "another folder of the name")
	stop()
	follow.Wait()
	for len(texts) > 0 {
		if got := <-texts; got != "error" && got != "" {
			t.Errorf("read %q, which nobody wrote", got)
		}
	}
}

// TestTooLarge: a file that cannot be a configuration is not read.
func TestTooLarge(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	write(t, path, "0123456789")
	if _, r := (watchedFile{path: path, most: 9}).read(); r.err == nil || r.text != nil {
		t.Errorf("read %q, %v", r.text, r.err)
	}
}

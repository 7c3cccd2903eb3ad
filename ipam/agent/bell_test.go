package agent

import (
	"os"
	"path/filepath"
	"testing"
)

// TestPoolNews: a commit is one piece of news, by its bell; a pool file that is another or gone is one by itself.
func TestPoolNews(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pool.db")
	write := func(name string) {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(path)
	isNews := poolNews(path)
	for _, step := range []struct {
		what, name string
		do         func() error
		news       bool
	}{
		{"written", "pool.db", func() error { write(path); return nil }, false},
		{"rung", "pool.db.bell", func() error { return nil }, true},
		{"a neighbour", "agent.lock", func() error { return nil }, false},
		{"the kernel lost count", "", func() error { return nil }, true},
		{"another in its place", "pool.db", func() error { write(path + ".new"); return os.Rename(path+".new", path) }, true},
		{"that one written", "pool.db", func() error { write(path); return nil }, false},
		{"gone", "pool.db", func() error { return os.Remove(path) }, true},
		{"made anew", "pool.db", func() error { write(path); return nil }, true},
	} {
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		if got := isNews(step.name); got != step.news {
			t.Errorf("%s: news %v, want %v", step.what, got, step.news)
		}
	}
}

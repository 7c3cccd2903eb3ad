package store_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/enichain/enichain/ipam/store"
	"github.com/enichain/enichain/ipam/store/storetest"
)

// TestMain lets the test binary play another process: CHILD names what it does with the pool file in POOL.
func TestMain(m *testing.M) {
	s := store.New(os.Getenv("POOL"), store.Options{Boot: storetest.Boot, LockWait: time.Minute, Command: "child " + os.Getenv("CHILD")})
	ctx := context.Background()
	switch os.Getenv("CHILD") {
	case "":
		os.Exit(m.Run())
	case "hold": // take the lock, say so, and sit on it
		err := s.Update(ctx, func(*store.Tx) error {
			fmt.Println("held")
			select {}
		})
		fmt.Println(err)
	case "churn": // lease and release for ever
		for i := 0; ; i++ {
			c := fmt.Sprintf("%d-%d", os.Getpid(), i%3)
			err := s.Update(ctx, func(t *store.Tx) error {
				r := storetest.Request(c)
				if _, ok := t.Release(store.ReadClock(), r.Attachment, ""); ok {
					return nil
				}
				_, err := t.Lease(store.ReadClock(), r)
				var empty *store.EmptyError
				if errors.As(err, &empty) {
					return nil
				}
				return err
			})
			if err != nil {
				fmt.Println(err)
				os.Exit(1)
			}
			fmt.Println(i)
		}
	}
	os.Exit(2)
}

// child starts a process and returns the lines that it says.
func child(t *testing.T, p *storetest.Pool, what string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), "CHILD="+what, "POOL="+p.Path())
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	return c, bufio.NewScanner(out)
}

// real is a pool on the machine's own clock, so that other processes agree with it on time.
func real(t *testing.T, count int) *storetest.Pool {
	t.Helper()
	p := storetest.At(t, filepath.Join(t.TempDir(), "pool.db"), store.Options{Boot: storetest.Boot, LockWait: 50 * time.Millisecond}, store.ReadClock())
	p.Supply.Pools[0].Cooldown = time.Nanosecond
	p.Give(storetest.ENI(0, count))
	return p
}

func TestLockHolderIsNamed(t *testing.T) {
	p := real(t, 1)
	c, lines := child(t, p, "hold")
	if !lines.Scan() || lines.Text() != "held" {
		t.Fatalf("child said %q", lines.Text())
	}
	if err := c.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for range 3 { // and waiting for it again leaves nothing behind
		err := p.View(t.Context(), func(*store.Tx) error { return nil })
		var locked *store.LockedError
		if !errors.As(err, &locked) || locked.PID != c.Process.Pid || locked.Command != "child hold" || locked.Age <= 0 || locked.Age > time.Minute {
			t.Fatalf("want the stopped child named, got %v", err)
		}
		t.Log(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.View(ctx, func(*store.Tx) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if err := p.Defer(storetest.Request("gone").Attachment, "locked"); err != nil {
		t.Errorf("defer needs no lock: %v", err)
	}
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait()
	mute, err := os.Open(p.Path() + ".lock") // a dead holder holds nothing, and is not named for another
	if err == nil {
		err = syscall.Flock(int(mute.Fd()), syscall.LOCK_EX)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := p.View(t.Context(), func(*store.Tx) error { return nil }); err == nil || !strings.Contains(err.Error(), "did not leave its name") {
		t.Errorf("a holder without a name: %v", err)
	}
	mute.Close()
	p.State()
}

// Fifty pods at once on a slow disk: nobody holds the lock for long, and all together do for longer than one may.
func TestMovingLockIsWaitedFor(t *testing.T) {
	p := storetest.At(t, filepath.Join(t.TempDir(), "pool.db"), store.Options{Boot: storetest.Boot}, store.ReadClock())
	lock, err := os.OpenFile(p.Path()+".lock", os.O_RDWR, 0)
	if err == nil {
		err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX)
	}
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	done := make(chan error, 1)
	go func() { done <- p.View(t.Context(), func(*store.Tx) error { return nil }) }()
	others := time.NewTicker(store.DefaultLockWait / 8)
	defer others.Stop()
	for at := range others.C { // one after the other signs
		if at.Sub(began) > store.DefaultLockWait*5/4 {
			break
		}
		if _, err := fmt.Fprintf(lock, "%d %d another\n", os.Getpid(), at.UnixNano()); err != nil {
			t.Fatal(err)
		}
	}
	lock.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestDeferredDELIsSettledFirst(t *testing.T) {
	p := real(t, 2)
	p.Lease(storetest.Request("a"))
	if err := p.Defer(storetest.Request("a").Attachment, "the pool file was locked"); err != nil {
		t.Fatal(err)
	}
	l := p.Lease(storetest.Request("a")) // the same attachment again: a new lease, not the old one
	if l.Repeated {
		t.Error("the deferred DEL was not settled before the ADD")
	}
	p.Do(func(tx *store.Tx) error { tx.SetHint(3, false); return nil })
	if n := len(p.State().Leases); n != 1 {
		t.Errorf("%d leases: a deferred DEL must not end a later lease", n)
	}
	if left, err := os.ReadDir(p.Path() + ".deferred"); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// TestKilledAnywhere kills processes that contend for one file, at random moments, and looks at what they leave.
func TestKilledAnywhere(t *testing.T) {
	p := real(t, 8)
	for round := range 15 {
		a, la := child(t, p, "churn")
		b, lb := child(t, p, "churn")
		for range 2 + rand.IntN(20) {
			if !la.Scan() || !lb.Scan() {
				t.Fatalf("round %d: a churner stopped: %q %q", round, la.Text(), lb.Text())
			}
		}
		_ = a.Process.Kill()
		_ = b.Process.Kill()
		_ = a.Wait()
		_ = b.Wait()
		p.Now = store.ReadClock()
		p.Pass(0)
		s := p.State()
		owners := map[string]bool{}
		for _, x := range s.Addresses {
			if x.Owner.Container != "" {
				owners[x.Owner.Container+x.Address.String()] = true
			}
		}
		if len(owners) != len(s.Leases) || len(s.Addresses) != 8 {
			t.Fatalf("round %d: %d owners, %d leases, %d addresses", round, len(owners), len(s.Leases), len(s.Addresses))
		}
		for _, l := range s.Leases {
			p.Release(l.Container)
		}
	}
}

func TestFilesThatAreRefused(t *testing.T) {
	ok := func(t *testing.T) string {
		p := storetest.New(t, storetest.ENI(0, 50))
		return p.Path()
	}
	edit := func(t *testing.T, f func(text []byte) []byte) string {
		path := ok(t)
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, f(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	put := func(t *testing.T, key, value string) string {
		path := ok(t)
		db, err := bbolt.Open(path, 0o644, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(db.Update(func(tx *bbolt.Tx) error {
			return tx.Bucket([]byte("meta")).Put([]byte(key), []byte(value))
		}), db.Close()); err != nil {
			t.Fatal(err)
		}
		return path
	}
	var notReady *store.NotReadyError
	var schema *store.SchemaError
	var damaged *store.DamagedError
	tests := []struct {
		name string
		path func(*testing.T) string
		as   any
		text string
	}{
		{"none", func(t *testing.T) string { return filepath.Join(t.TempDir(), "no", "pool.db") }, &notReady, "there is no such file; enichaind makes it"},
		{"empty", func(t *testing.T) string { return edit(t, func([]byte) []byte { return nil }) }, &notReady, "the file is empty"},
		{"folder", func(t *testing.T) string { return t.TempDir() }, &damaged, "it is no regular file"},
		{"another boot's", func(t *testing.T) string {
			p := storetest.At(t, filepath.Join(t.TempDir(), "pool.db"), store.Options{Boot: "other"}, store.Now{Boot: 1})
			return p.Path()
		}, &notReady, "the file is of another boot"},
		{"another schema's", func(t *testing.T) string { return put(t, "schema", "7") }, &schema, "it has schema 7, this program reads 1 to 2"},
		{"no schema", func(t *testing.T) string { return put(t, "schema", "x") }, &damaged, `its schema is "x"`},
		{"broken record", func(t *testing.T) string { return put(t, "meta", "{") }, &damaged, "a record is no JSON"},
		{"text", func(t *testing.T) string { return edit(t, func([]byte) []byte { return []byte("hello\n") }) }, &damaged, "is damaged"},
		{"cut in half", func(t *testing.T) string { return edit(t, func(b []byte) []byte { return b[:len(b)/2] }) }, &damaged, "is damaged"},
		{"cut to two pages", func(t *testing.T) string { return edit(t, func(b []byte) []byte { return b[:8192] }) }, &damaged, "is damaged"},
		{"zeroed pages", func(t *testing.T) string {
			return edit(t, func(b []byte) []byte { clear(b[8192:]); return b })
		}, &damaged, "is damaged"},
		{"noise", func(t *testing.T) string {
			return edit(t, func(b []byte) []byte {
				for i := 8192; i < len(b); i++ {
					b[i] = byte(i * 7)
				}
				return b
			})
		}, &damaged, "is damaged"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := tt.path(t)
			for _, write := range []bool{false, true} {
				s := store.New(path, store.Options{Boot: storetest.Boot})
				run := s.View
				if write {
					run = s.Update
				}
				err := run(t.Context(), func(tx *store.Tx) error { tx.State(); return nil })
				if !errors.As(err, tt.as) || !strings.Contains(err.Error(), tt.text) {
					t.Errorf("write %v: got %v, want %q", write, err, tt.text)
				}
			}
			if _, err := os.Stat(path); tt.name == "none" && err == nil {
				t.Error("a pool file was made")
			}
		})
	}
}

func TestFaultsOfOursAreNotDamage(t *testing.T) {
	p := storetest.New(t)
	defer func() {
		if recover() == nil {
			t.Error("a panic of the caller's was taken for damage")
		}
	}()
	_ = p.View(t.Context(), func(*store.Tx) error { panic("ours") })
}

func TestBell(t *testing.T) {
	p := storetest.New(t, storetest.ENI(0, 4))
	b, err := p.Bell()
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	chance, ok := b.Chance()
	if m := p.State().Meta; !ok || chance != m.Chance {
		t.Errorf("bell says %d, %v; file says %d", chance, ok, m.Chance)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := b.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a quiet pool: %v", err)
	}
	for range 3 {
		done := make(chan error, 1)
		go func() { done <- b.Wait(t.Context()) }()
		p.Lease(storetest.Request("a"))
		p.Release("a")
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(time.Minute):
			t.Fatal("nobody heard the bell")
		}
	}
	if err := p.Update(t.Context(), func(*store.Tx) error { return nil }); err != nil {
		t.Error(err)
	}
}

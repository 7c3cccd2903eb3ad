package generation

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// story is a node in random order: lists are swapped, pods come and go, the daemon dies, stages fail. What stages keep
// is in memory; lists, cached results and births are files.
type story struct {
	*testing.T
	rand   *rand.Rand
	seed   uint64
	now    time.Time
	store  Store
	keeper *Keeper // nil: the daemon is dead
	list   []byte  // the runtime's
	pods   map[string]*storyPod
	held   map[Attachment]bool
	made   map[string]bool // "container place-of-a-stage": what a stage made for a pod
	tables map[string]bool // what a plugin keeps for all
	dying  bool            // the daemon dies in the next run of a plugin
	fails  bool            // plugins fail now and then
	lines  []string
}

type storyPod struct {
	list   []byte
	cached []byte // nil: the runtime has no file of it
}

var errDied = errors.New("killed")

const storyFile = "05-net.conflist"

func newStory(t *testing.T, seed uint64) *story {
	return &story{T: t, rand: rand.New(rand.NewPCG(seed, 3)), seed: seed, now: time.Now(), store: storeOf(t), fails: true,
		pods: map[string]*storyPod{}, held: map[Attachment]bool{}, made: map[string]bool{}, tables: map[string]bool{}}
}

func (s *story) note(format string, args ...any) {
	s.lines = append(s.lines, fmt.Sprintf(format, args...))
}

func (s *story) fail(format string, args ...any) {
	s.Helper()
	s.Fatalf("seed %d: %s\n%s", s.seed, fmt.Sprintf(format, args...), strings.Join(s.lines, "\n"))
}

func (s *story) check(err error) {
	s.Helper()
	if err != nil {
		s.fail("%v", err)
	}
}

// anyList has eni-ipam and a wire, and some of three others with one of two places for what they keep.
func (s *story) anyList() []byte {
	stages := []string{"eni-ipam", "wire"}
	for _, kind := range []string{"x", "y", "z"} {
		if s.rand.IntN(2) == 0 {
			stages = append(stages, fmt.Sprintf(`%s{"place":%d}`, kind, s.rand.IntN(2)))
		}
	}
	return listOf("net", stages...)
}

func (s *story) stages(list []byte) []Stage {
	l, err := ParseList(list)
	s.check(err)
	return l.Stages
}

func attachment(container string) Attachment { return Attachment{"net", container, "eth0"} }

func mark(container string, st Stage) string { return container + " " + st.Type + string(place(st)) }

// add is the runtime's ADD.
func (s *story) add(container string) {
	s.note("add %s by %s", container, s.list)
	for _, st := range s.stages(s.list) {
		s.made[mark(container, st)], s.tables[st.Type] = true, true
	}
	s.held[attachment(container)] = true
	p := &storyPod{list: s.list, cached: cachedText(s.T, "net", container, "/none/"+container, "10.0.0.1", s.list)}
	s.pods[container] = p
	write(s.T, filepath.Join(s.store.Results, "net-"+container+"-eth0"), p.cached)
}

// del is the runtime's DEL, to the list of now.
func (s *story) del(container string) {
	s.note("del %s by %s", container, s.list)
	for _, st := range s.stages(s.list) {
		delete(s.made, mark(container, st))
	}
	delete(s.held, attachment(container))
	delete(s.pods, container)
	if err := os.Remove(filepath.Join(s.store.Results, "net-"+container+"-eth0")); err != nil && !os.IsNotExist(err) {
		s.check(err)
	}
}

// Delete is a departed stage's DEL, by the daemon.
func (s *story) Delete(_ context.Context, b Birth, i int, _ map[netip.Addr]bool) error {
	st, container := b.Stages[i], b.Cached.Container
	s.note("clean %s of %s", st.Type, container)
	if p := s.pods[container]; p != nil && slices.ContainsFunc(s.stages(p.list), func(own Stage) bool { return own.Type == st.Type }) {
		s.fail("%s was taken from a living pod", st.Type)
	}
	if s.dying && s.rand.IntN(2) == 0 {
		panic(errDied)
	}
	if s.fails && s.rand.IntN(4) == 0 {
		return errors.New("no luck")
	}
	delete(s.made, mark(container, st))
	if s.dying {
		panic(errDied)
	}
	return nil
}

// Collect is a departed stage's GC.
func (s *story) Collect(_ context.Context, _ string, st Stage) error {
	s.note("collect %s", st.Type)
	for _, p := range s.pods {
		if slices.ContainsFunc(s.stages(p.list), func(own Stage) bool { return own.Type == st.Type }) {
			s.fail("GC of %s under a living pod", st.Type)
		}
	}
	if s.dying {
		panic(errDied)
	}
	if s.fails && s.rand.IntN(4) == 0 {
		return errors.New("no luck")
	}
	delete(s.tables, st.Type)
	return nil
}

var _ Runner = (*story)(nil)

// round is one of the daemon's; it may die in it.
func (s *story) round() {
	if s.keeper == nil {
		s.keeper = &Keeper{Store: s.store, Plugins: s, Grace: time.Nanosecond, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
			now:       func() time.Time { return s.now },
			Pool:      defaultPool,
			Leases:    func(context.Context) (map[Attachment]bool, error) { return s.held, nil },
			Interface: func(Birth) Finding { return Unknown }}
	}
	defer func() {
		if r := recover(); r == errDied {
			s.note("the daemon died")
			s.keeper, s.dying = nil, false
		} else if r != nil {
			panic(r)
		}
	}()
	_, err := s.keeper.Round(s.Context())
	if err != nil && !strings.Contains(err.Error(), "no luck") {
		s.check(err)
	}
}

// apply installs by the command, with or without a daemon; byHand without the command, under a daemon's eyes.
func (s *story) apply(text []byte, byHand bool) {
	s.note("apply %s, by hand: %t", text, byHand)
	if byHand {
		s.round()
		s.check(replace(filepath.Join(s.store.ConfDir, storyFile), text, 0o644, false))
		s.list = text
		s.round()
		return
	}
	_, err := s.store.Apply(s.Context(), storyFile, text, false)
	s.check(err)
	s.list = text
}

// lose takes a living pod's file out of the runtime's cache, once it is accounted for.
func (s *story) lose(container string) {
	n, err := s.store.read("net")
	s.check(err)
	p := s.pods[container]
	if !slices.ContainsFunc(n.Births, func(b Birth) bool { return b.Ended == nil && slices.Equal(b.Text, p.cached) }) {
		return
	}
	s.note("lose %s", container)
	p.cached = nil
	if err := os.Remove(filepath.Join(s.store.Results, "net-"+container+"-eth0")); err != nil && !os.IsNotExist(err) {
		s.check(err)
	}
}

func (s *story) step() {
	s.now = s.now.Add(time.Duration(s.rand.IntN(3000)) * time.Millisecond)
	container := fmt.Sprintf("c%d", s.rand.IntN(5))
	switch n := s.rand.IntN(20); {
	case n < 6 && s.pods[container] == nil:
		s.add(container)
	case n < 9 && s.pods[container] != nil:
		s.del(container)
	case n == 9 && s.pods[container] != nil:
		s.lose(container)
	case n < 12:
		s.apply(s.anyList(), false)
	case n == 12:
		s.apply(s.anyList(), true)
	case n == 13:
		s.note("kill")
		s.keeper, s.dying = nil, false
	case n == 14:
		s.dying = true
	default:
		s.note("round")
		s.round()
	}
}

// end ends every pod, and looks at what is left.
func (s *story) end() {
	s.note("end")
	s.fails, s.dying = false, false
	for _, container := range sortedKeys(s.pods) {
		s.del(container)
	}
	for range 20 {
		s.now = s.now.Add(10 * time.Minute)
		s.round()
	}
	n, err := s.store.read("net")
	s.check(err)
	if len(s.made) > 0 || len(n.Births) > 0 || len(n.Generations) != 1 {
		s.fail("left: %v, %d births, %d generations", sortedKeys(s.made), len(n.Births), len(n.Generations))
	}
	for _, st := range s.stages(s.list) {
		delete(s.tables, st.Type)
	}
	if len(s.tables) > 0 {
		s.fail("tables left: %v", sortedKeys(s.tables))
	}
}

// TestStories: in any order, no departed stage is taken from a living pod, and nothing of one is left in the end.
func TestStories(t *testing.T) {
	stories := uint64(150)
	if testing.Short() {
		stories = 20
	}
	for seed := range stories {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			s := newStory(t, seed)
			s.apply(s.anyList(), false)
			for range 60 {
				s.step()
			}
			s.end()
		})
	}
}

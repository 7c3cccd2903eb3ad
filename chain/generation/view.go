package generation

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"time"
)

// View is a network's generations and pods, for people.
type View struct {
	Network     string           `json:"network"`
	File        string           `json:"file,omitempty"` // in the runtime's folder; "": it has no list of that name
	Generations []GenerationView `json:"generations"`    // newest first; number 0 are lists that were not installed here
	Faults      []string         `json:"faults,omitempty"`
}

// GenerationView is one of them.
type GenerationView struct {
	Number    int       `json:"generation"`
	Installed time.Time `json:"installed,omitzero"`
	Current   bool      `json:"current"`
	Stages    []string  `json:"stages"`
	Departed  []string  `json:"departed,omitempty"` // stages that the runtime's list has no more and its pods still have
	Pods      int       `json:"pods"`
	Ending    int       `json:"ending,omitempty"` // attachments that are gone, whose departed stages are not done yet
	Faults    []string  `json:"faults,omitempty"` // why not
}

// View reads the store, the runtime's folder and its cache; it needs no daemon.
func (s Store) View() ([]View, error) {
	networks, err := s.Read()
	if err != nil || len(networks) == 0 {
		return nil, err
	}
	folder, err := ReadFolder(s.ConfDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	entries, err := NewCache(s.Results).Read()
	if err != nil {
		return nil, err
	}
	var views []View
	for _, n := range networks {
		n.Births = n.withCache(entries, folder.Lists[n.Name].DropIns)
		views = append(views, n.view(folder))
	}
	return views, nil
}

// withCache are the births that are written down, and those that will be.
func (n Network) withCache(entries map[string]*Entry, dropIns []Stage) []Birth {
	births := slices.Clone(n.Births)
	have := map[string]bool{}
	for _, b := range births {
		have[b.key()] = true
	}
	for _, name := range sortedKeys(entries) {
		e := entries[name]
		if !e.OK || e.Cached.Network != n.Name || have[e.Key()] {
			continue
		}
		if b, err := birthOf(e, "", n, dropIns); err == nil {
			births = append(births, b)
		}
	}
	return births
}

func (n Network) view(folder Folder) View {
	v := View{Network: n.Name, Faults: n.Faults, Generations: []GenerationView{}}
	there, known := folder.Lists[n.Name]
	v.File = there.File
	at := map[int]*GenerationView{}
	for _, g := range n.Generations {
		gv := &GenerationView{Number: g.Number, Installed: g.Installed, Current: known && g.Number == n.newest().Number, Stages: g.List.types()}
		at[g.Number] = gv
	}
	for _, b := range n.Births {
		if b.done() {
			continue // but for its file, which its runtime forgot
		}
		number := n.Of(b)
		if at[number] == nil {
			at[number] = &GenerationView{Number: number, Stages: List{Stages: b.Stages}.types()}
		}
		g := at[number]
		if b.Ended != nil {
			g.Ending++
			for _, i := range sortedKeys(b.Ended.Fault) {
				g.Faults = append(g.Faults, fmt.Sprintf("%s of %s: %s (%d tries)", b.Stages[i].Type, b.Cached.Pod(), b.Ended.Fault[i], b.Ended.Tries))
			}
		} else {
			g.Pods++
		}
		for _, i := range b.departing(there.List) {
			if t := b.Stages[i].Type; !slices.Contains(g.Departed, t) {
				g.Departed = append(g.Departed, t)
			}
		}
	}
	for _, number := range slices.Backward(slices.Sorted(maps.Keys(at))) {
		v.Generations = append(v.Generations, *at[number])
	}
	return v
}

func (l List) types() []string {
	types := []string{}
	for _, s := range l.Stages {
		types = append(types, s.Type)
	}
	return types
}

// departing are the stages of a living birth that a list lacks and that were not cleaned up yet; of an ended one, those
// that are left.
func (b Birth) departing(l List) (stages []int) {
	if b.Ended != nil {
		return b.Ended.Left
	}
	for i, s := range b.Stages {
		if !l.settles(s) && !slices.Contains(b.Done, i) {
			stages = append(stages, i)
		}
	}
	return stages
}

// Leaver is a pod that lives with stages that a list has no more.
type Leaver struct {
	Birth  Birth
	Stages []int // by their place in Birth.Stages
}

// Leavers are a network's pods that would have departed stages once text is the runtime's list.
func (s Store) Leavers(text []byte) (leavers []Leaver, pods int, err error) {
	l, err := ParseList(text)
	if err != nil {
		return nil, 0, err
	}
	n, err := s.read(l.Name)
	if err != nil {
		return nil, 0, err
	}
	entries, err := NewCache(s.Results).Read()
	if err != nil {
		return nil, 0, err
	}
	boot, err := BootID()
	if err != nil {
		return nil, 0, err
	}
	dropIns, err := readDropIns(s.ConfDir, l.Name)
	if err != nil {
		return nil, 0, err
	}
	for _, b := range n.withCache(entries, dropIns) {
		if b.Ended != nil {
			continue
		}
		pods++
		if b.Boot == "" {
			b.Boot = boot
		}
		if stages := b.departing(l.with(dropIns)); len(stages) > 0 {
			leavers = append(leavers, Leaver{b, stages})
		}
	}
	return leavers, pods, nil
}

// Take runs the DEL of a living pod's departed stages now, last stage first, and writes down which are done.
func (s Store) Take(ctx context.Context, p Plugins, v Leaver) error {
	b := v.Birth
	b.Taking = v.Stages // first: enichaind would put back at once what its pod lost
	if err := s.save(b); err != nil {
		return err
	}
	var errs []error
	for _, i := range slices.Backward(v.Stages) {
		if err := p.Delete(ctx, b, i, nil); err != nil {
			errs = append(errs, fmt.Errorf("cannot take %s from %s: %w", b.Stages[i].Type, b.Cached.Pod(), err))
			continue
		}
		b.Done = append(slices.Clone(b.Done), i)
	}
	return errors.Join(append(errs, s.save(b))...)
}

// WaitOlder returns once no pod of an older generation is left in these networks, and nothing of one is left to do; or
// with ctx's error.
func (s Store) WaitOlder(ctx context.Context, networks ...string) error {
	var folders []string
	for _, name := range networks {
		folders = append(folders, s.births(name))
	}
	w, err := newWatch(folders...)
	if err != nil {
		return err
	}
	defer w.Close()
	for {
		if err := w.arm(nil); err != nil {
			return err
		}
		older, err := s.older(networks)
		if err != nil || older == 0 {
			return err
		}
		if err := w.wait(ctx, time.Time{}); err != nil {
			return err
		}
	}
}

// older counts births of generations that are not the newest of their network, and of networks that the runtime has no
// list of.
func (s Store) older(networks []string) (count int, err error) {
	folder, err := ReadFolder(s.ConfDir)
	if err != nil {
		return 0, err
	}
	for _, name := range networks {
		n, err := s.read(name)
		if err != nil {
			return 0, err
		}
		_, listed := folder.Lists[name]
		for _, b := range n.Births {
			if b.done() {
				continue
			}
			if last := n.newest(); b.Ended != nil || !listed || last == nil || n.Of(b) != last.Number {
				count++
			}
		}
	}
	return count, nil
}

// Taken are the stages that were taken from living pods, by Entry.Key: nobody is to give them back.
func (s Store) Taken() (map[string][]string, error) {
	networks, err := s.Read()
	if err != nil {
		return nil, err
	}
	taken := map[string][]string{}
	for _, n := range networks {
		for _, b := range n.Births {
			for _, i := range slices.Concat(b.Taking, b.Done) {
				taken[b.key()] = append(taken[b.key()], b.Stages[i].Type)
			}
		}
	}
	return taken, nil
}

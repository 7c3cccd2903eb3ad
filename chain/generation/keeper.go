package generation

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Runner runs the plugins of stages.
type Runner interface {
	Delete(ctx context.Context, b Birth, stage int, taken map[netip.Addr]bool) error
	Collect(ctx context.Context, network string, s Stage) error
}

var _ Runner = Plugins{}

// Keeper is the daemon's part: it writes births down, and runs what World.Plan decides. It serves one goroutine.
type Keeper struct {
	Store   Store
	Plugins Runner
	Grace   time.Duration // 0: DefaultGrace
	Log     *slog.Logger
	// Leases are the attachments that hold an address of the node's pool; an error where it cannot be read.
	Leases func(context.Context) (map[Attachment]bool, error)
	Pool   string // the file of that pool: of attachments that eni-ipam gave an address of another, Leases prove nothing
	// Interface finds the birth's interface in its namespace, with the wire's other end up.
	Interface func(Birth) Finding
	// Done is told of each DEL and GC of a departed stage; may be nil.
	Done func(plugin, command string, err error)

	cache   *Cache
	gone    map[string]time.Time // namespaces of births, by key, and since when they are known to be gone
	absent  map[string]time.Time // networks that the runtime's folder has no list of, and since when that is known
	newest  map[string]time.Time // newest generations, "network/number", and since when they are known to be
	said    map[string]bool      // what was told already
	retires map[string]trouble   // generations whose GC fails
	now     func() time.Time     // nil: the wall's
	acted   bool                 // something was done in this round
	next    time.Time            // when what failed in this round is tried again
}

type trouble struct {
	tries int
	next  time.Time
}

// Round looks and acts once. again is when to look again even if nothing happens; zero: only then.
func (k *Keeper) Round(ctx context.Context) (again time.Time, err error) {
	k.next, k.acted = time.Time{}, false
	if k.cache == nil {
		k.Store = k.Store.Remembering()
		k.cache, k.said, k.retires = NewCache(k.Store.Results), map[string]bool{}, map[string]trouble{}
		k.absent, k.newest = map[string]time.Time{}, map[string]time.Time{}
	}
	w, err := k.look(ctx)
	if err != nil {
		return again, err
	}
	p := w.Plan()
	err = k.act(ctx, w, p)
	if k.acted {
		k.later(w.Now) // it is another world now
	}
	if !k.next.IsZero() {
		p.again(k.next)
	}
	return p.Again, err
}

func (k *Keeper) clock() time.Time {
	if k.now != nil {
		return k.now()
	}
	return time.Now()
}

// later asks for a round at a time.
func (k *Keeper) later(at time.Time) {
	if k.next.IsZero() || at.Before(k.next) {
		k.next = at
	}
}

// look reads the lists first and the cache after them: an attachment that is in it was deleted by no earlier list.
func (k *Keeper) look(ctx context.Context) (w World, err error) {
	w = World{Now: k.clock(), Grace: k.Grace, Rules: map[string]Rule{}}
	if w.Grace == 0 {
		w.Grace = DefaultGrace
	}
	if w.Boot, err = BootID(); err != nil {
		return w, err
	}
	networks, err := k.Store.Read()
	if err != nil || len(networks) == 0 {
		return w, err
	}
	folder, err := ReadFolder(k.Store.ConfDir)
	if err != nil {
		k.once("the runtime's lists cannot be read: no stage counts as departed", "error", err)
		folder.Obscure = []string{err.Error()}
	}
	for _, n := range networks {
		r, err := k.rule(ctx, n, folder, w.Now)
		if err != nil {
			return w, err
		}
		if last := r.newest(); last != nil {
			name := last.name()
			if k.newest[name].IsZero() {
				k.newest[name] = w.Now
			}
			r.Settled = k.newest[name]
		}
		w.Rules[n.Name] = r
	}
	w.Cache, err = k.cache.Read()
	if err != nil {
		return w, err
	}
	w.Evidence = k.evidence(ctx, w)
	return w, nil
}

func (k *Keeper) rule(ctx context.Context, n Network, folder Folder, now time.Time) (Rule, error) {
	for _, fault := range n.Faults {
		k.once("a generation's file cannot be read", "network", n.Name, "error", fault)
	}
	r := Rule{Network: n, Since: k.Store.since(n.Name)}
	there, ok := folder.Lists[n.Name]
	switch {
	case ok:
		delete(k.absent, n.Name)
		r.Known, r.Current = true, &there
		if filepath.Ext(there.File) != ".conflist" {
			return r, nil
		}
		unlock, err := k.Store.lock(ctx)
		if err != nil {
			return r, err
		}
		defer unlock()
		// Read again: what was not there a moment ago may be an apply's, which had the lock.
		if r.Network, err = k.Store.read(n.Name); err != nil {
			return r, err
		}
		if folder, err = ReadFolder(k.Store.ConfDir); err != nil {
			return r, err
		}
		if there, ok = folder.Lists[n.Name]; !ok {
			r.Known, r.Current = false, nil
			return r, nil
		}
		_, err = k.Store.current(&r.Network, there)
		return r, err
	case len(folder.Obscure) > 0 || len(folder.Lists) == 0:
		k.once("the runtime's folder does not tell whether it still has the network", "network", n.Name, "because", strings.Join(folder.Obscure, "; "))
		return r, nil
	}
	if k.absent[n.Name].IsZero() {
		k.absent[n.Name] = now
	}
	r.Known, r.Absent = true, k.absent[n.Name]
	return r, nil
}

// once tells of something that would be told again and again.
func (k *Keeper) once(message string, args ...any) {
	key := message + fmt.Sprint(args...)
	if !k.said[key] {
		k.said[key] = true
		k.Log.Warn(message, args...)
	}
}

// evidence is looked for where a birth may be over.
func (k *Keeper) evidence(ctx context.Context, w World) map[string]Evidence {
	found, gone := map[string]Evidence{}, map[string]time.Time{}
	var leases map[Attachment]bool
	var unread error
	for _, name := range sortedKeys(w.Rules) {
		r := w.Rules[name]
		for _, b := range r.Births {
			last := r.newest()
			cached := w.Cache[b.File] != nil
			if b.Boot != w.Boot || cached && r.Current != nil && last != nil && b.Seen == last.Number {
				continue // made by the list of now, or no doubt about its end
			}
			v := Evidence{Netns: namespaceFinding(b)}
			if v.Netns == Gone {
				if v.GoneSince = k.gone[b.key()]; v.GoneSince.IsZero() {
					v.GoneSince = w.Now
				}
				gone[b.key()] = v.GoneSince
			}
			if !cached && b.Ended == nil {
				if leases == nil && unread == nil {
					leases, unread = k.leases(ctx)
				}
				k.more(&v, b, leases, unread)
			}
			found[b.key()] = v
		}
	}
	k.gone = gone
	return found
}

// more is the evidence of a birth that the cache has no more.
func (k *Keeper) more(v *Evidence, b Birth, leases map[Attachment]bool, unread error) {
	if v.Netns == There {
		v.Interface = k.Interface(b)
	}
	if unread == nil && b.leasesFrom(k.Pool) {
		v.Lease = Gone
		if leases[b.Cached.Attachment] {
			v.Lease = There
		}
	}
}

func (k *Keeper) leases(ctx context.Context) (map[Attachment]bool, error) {
	leases, err := k.Leases(ctx)
	if err == nil && leases == nil {
		leases = map[Attachment]bool{}
	}
	return leases, err
}

// act does what was planned, and joins the errors of what could not be done.
func (k *Keeper) act(ctx context.Context, w World, p Plan) error {
	var errs []error
	failed := func(err error) bool {
		if err != nil {
			errs = append(errs, err)
		} else {
			k.acted = true
		}
		return err != nil
	}
	recorded := true
	for _, e := range p.Record {
		r := w.Rules[e.Cached.Network]
		dropIns := []Stage(nil)
		if r.Current != nil {
			dropIns = r.Current.DropIns
		}
		b, err := birthOf(e, w.Boot, r.Network, dropIns)
		if err != nil {
			k.once("an attachment cannot be kept account of", "file", e.Name, "error", err)
			continue
		}
		recorded = !failed(k.Store.save(b)) && recorded
	}
	for _, b := range append(p.Revive, p.End...) {
		recorded = !failed(k.Store.save(b)) && recorded
	}
	if recorded { // not before: who is neither in the cache nor written down would be nobody's
		for network, number := range p.Since {
			if err := k.Store.setSince(network, number); err != nil {
				errs = append(errs, err)
			}
		}
	}
	for _, wait := range p.Wait {
		k.once("an attachment left the runtime's cache while its pod seems to live; its departed stages wait", "attachment",
			wait.Birth.Cached.Attachment.String(), "because", wait.Why)
	}
	for _, c := range p.Clean {
		failed(k.clean(ctx, w, c))
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	for _, b := range p.Forget {
		failed(k.forget(w, b))
	}
	for _, r := range p.Retire {
		if err := k.retire(ctx, w, r); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// clean sends departed stages of an ended birth their DEL. One that fails does not hold up the others.
func (k *Keeper) clean(ctx context.Context, w World, c Cleaning) error {
	b := c.Birth
	told, taken := b, w.Taken(b)
	if w.inherited(b) {
		told.Netns = Namespace{}
	}
	ended := Ended{At: b.Ended.At, Left: slices.Clone(b.Ended.Left), Tries: b.Ended.Tries, Fault: map[int]string{}}
	for _, i := range c.Stages {
		if err := k.delete(ctx, told, i, taken); err != nil {
			ended.Fault[i] = err.Error()
			continue
		}
		ended.Left = slices.DeleteFunc(ended.Left, func(left int) bool { return left == i })
	}
	if ctx.Err() != nil {
		return ctx.Err() // told by nobody: the next daemon tries again
	}
	b.Ended = &ended
	if len(ended.Left) == 0 {
		return k.forget(w, b)
	}
	if len(ended.Fault) > 0 {
		ended.Tries++
		ended.Next = k.clock().Add(Backoff(ended.Tries))
		k.later(ended.Next)
	}
	return k.Store.save(b)
}

func (k *Keeper) delete(ctx context.Context, b Birth, i int, taken map[netip.Addr]bool) error {
	begun := time.Now()
	err := k.Plugins.Delete(ctx, b, i, taken)
	if ctx.Err() != nil {
		return err
	}
	if k.Done != nil {
		k.Done(b.Stages[i].Type, "DEL", err)
	}
	args := []any{"stage", b.Stages[i].Type, "attachment", b.Cached.Attachment.String(), "pod", b.Cached.Pod(), "took", time.Since(begun)}
	switch {
	case err == nil:
		k.Log.Info("a departed stage cleaned up after a pod", args...)
	case b.Ended.Fault[i] != err.Error(): // not again for every try
		k.Log.Warn("a departed stage cannot clean up after a pod; it is tried again", append(args, "error", err)...)
	}
	return err
}

// forget ends a birth. Where the network has no list any more, the runtime would keep its cached result for ever.
func (k *Keeper) forget(w World, b Birth) error {
	if e := w.Cache[b.File]; e != nil && e.ID == b.ID && w.Rules[b.Cached.Network].Current == nil {
		if err := os.Remove(filepath.Join(k.Store.Results, b.File)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("cannot remove a cached result: %w", err)
		}
	}
	return k.Store.forget(b)
}

// retire lets the stages that nobody has any more remove what they keep for all pods together, and gives the
// generation up.
func (k *Keeper) retire(ctx context.Context, w World, r Retirement) error {
	g := r.Generation
	name := g.name()
	t := k.retires[name]
	if t.next.After(w.Now) {
		k.later(t.next)
		return nil
	}
	for _, s := range r.Collect {
		err := k.Plugins.Collect(ctx, g.Network, s)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if k.Done != nil {
			k.Done(s.Type, "GC", err)
		}
		if err != nil {
			t.tries++
			t.next = w.Now.Add(Backoff(t.tries))
			k.retires[name] = t
			k.later(t.next)
			return fmt.Errorf("cannot give up generation %d of %s: GC of %s: %w", g.Number, g.Network, s.Type, err)
		}
	}
	delete(k.retires, name)
	if err := k.Store.drop(g); err != nil {
		return err
	}
	k.Log.Info("a generation has no pods any more", "network", g.Network, "generation", g.Number)
	return nil
}

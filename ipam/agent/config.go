package agent

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"path/filepath"

	crand "crypto/rand"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/store"
)

// Config is all that an agent needs from outside. Instance, Boot, Bus and Kernel must be set; the rest has defaults.
type Config struct {
	Instance ipam.InstanceID
	Type     string // instance type, for the reconciler
	MaxPods  int    // kubelet's limit; 0 = unknown
	Boot     string // this kernel's boot id: store.BootID

	PoolFile   string        // default store.DefaultPath
	Store      store.Options // LockWait, Locker; Boot and Command are filled in
	LedgerFile string        // default DefaultLedger
	AliveFile  string        // default agent.lock beside the pool file
	CacheDir   string        // the runtime's cached results; default DefaultCache

	Bus    Bus
	Kernel Kernel
	// ForgetFlows ends what the kernel remembers of connections with addresses that are about to be free again; nil =
	// nobody can. An error is told and holds nothing up.
	ForgetFlows func(ctx context.Context, addresses []netip.Addr) error
	// Watch reports changes of the kernel's state; default WatchKernel, in the process's network namespace.
	Watch func(ctx context.Context, f func(Wake)) error
	// WatchFolder calls f with the names of files that changed in a folder; default inotify(7).
	WatchFolder func(ctx context.Context, folder string, f func(name string)) error
	// Hints carries what others learn of the node while the agent runs; nil = nothing.
	Hints <-chan Hint

	Options Options // the core's numbers; Instance is filled in
	Clock   func() Now
	NewInc  func() ipam.Inc
	Random  *rand.Rand
	Log     *slog.Logger // default: nothing is logged
	Record  io.Writer    // every input with its effects, one JSON line each, for Replay; nil = none
}

func (c *Config) fill() error {
	var missing []error
	for _, need := range []struct {
		field string
		set   bool
	}{{"Instance", c.Instance != ""}, {"Boot", c.Boot != ""}, {"Bus", c.Bus != nil}, {"Kernel", c.Kernel != nil}} {
		if !need.set {
			missing = append(missing, fmt.Errorf("cannot make an agent: Config.%s is not set", need.field))
		}
	}
	text := func(field *string, value string) {
		if *field == "" {
			*field = value
		}
	}
	text(&c.PoolFile, store.DefaultPath)
	text(&c.LedgerFile, DefaultLedger)
	text(&c.AliveFile, filepath.Join(filepath.Dir(c.PoolFile), "agent.lock"))
	text(&c.CacheDir, DefaultCache)
	c.Options.Instance = c.Instance
	if c.Watch == nil {
		c.Watch = WatchKernel
	}
	if c.WatchFolder == nil {
		c.WatchFolder = watchFolder
	}
	if c.Clock == nil {
		c.Clock = store.ReadClock
	}
	if c.NewInc == nil {
		c.NewInc = newInc
	}
	if c.Random == nil {
		c.Random = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return errors.Join(missing...)
}

// newInc is 64 random bits in hex. crypto/rand.Read never fails.
func newInc() ipam.Inc {
	var b [8]byte
	_, _ = crand.Read(b[:])
	return ipam.Inc(hex.EncodeToString(b[:]))
}

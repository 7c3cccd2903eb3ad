package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"github.com/enichain/enichain/ipam"
)

// Options say which bus to connect to: a Server of this process, or URLs.
type Options struct {
	Server *Server
	URLs   []string // nats://host:port or tls://host:port
	// Seed is the file with this user's nkey seed, mode 0600. "": the hub knows no users.
	Seed string
	// Instance is the node that speaks; "" for a reconciler or a tool.
	Instance ipam.InstanceID
	// Name tells connections of one user apart in the server's own reports; "reconciler" and "observer" are users.
	Name string
	Log  *slog.Logger // nil: discarded
	// Changed hears of every connect and disconnect, on the connection's own goroutine.
	Changed func(connected bool)
}

const (
	connectLimit = 2 * time.Second
	publishLimit = 5 * time.Second // of one snapshot: then it is an error, and the next heartbeat tries anew
	firstDelay   = 100 * time.Millisecond
	lastDelay    = 5 * time.Second // with jitter up to twice as much: 5,000 nodes come back over 5 s (protocol B15)
)

// Conn is one connection. Nothing said while it is down is kept for later: what is stale then would only mislead.
type Conn struct {
	nc       *nats.Conn
	js       jetstream.JetStream
	log      *slog.Logger
	sent     atomic.Uint64 // snapshots published: part of each one's id
	rejected atomic.Uint64
	name     string        // for people: who holds a lease
	changed  chan struct{} // see Changed
	closed   chan struct{} // by Close
	closing  sync.Once
}

// Connect returns at once even when the bus cannot be reached: it goes on trying, and Connected tells. An error means
// that the options cannot work.
func Connect(_ context.Context, o Options) (*Conn, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Changed == nil {
		o.Changed = func(bool) {}
	}
	changed, told := make(chan struct{}, 1), o.Changed
	o.Changed = func(connected bool) {
		select {
		case changed <- struct{}{}:
		default: // nobody has looked since the last one
		}
		told(connected)
	}
	options, err := clientOptions(o)
	if err != nil {
		return nil, fmt.Errorf("cannot connect to the bus: %w", err)
	}
	nc, err := nats.Connect(strings.Join(o.URLs, ","), options...)
	if err != nil {
		return nil, fmt.Errorf("cannot connect to the bus: %w", err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("cannot connect to the bus: %w", err)
	}
	return &Conn{nc: nc, js: js, log: o.Log, name: o.holder(), changed: changed, closed: make(chan struct{})}, nil
}

// holder is this connection's name in a lease.
func (o Options) holder() string {
	host, err := os.Hostname()
	if err != nil {
		host = "?"
	}
	return fmt.Sprintf("%s%s@%s/%d", o.Name, o.Instance, host, os.Getpid())
}

func clientOptions(o Options) ([]nats.Option, error) {
	user := string(o.Instance)
	if user == "" {
		user = o.Name
	}
	if user == "" {
		user = userReconciler
	}
	if err := checkInstance(ipam.InstanceID(user)); err != nil {
		return nil, err
	}
	where := func(c *nats.Conn) string {
		if o.Server != nil {
			return "in this process"
		}
		return c.ConnectedUrlRedacted()
	}
	options := []nats.Option{
		nats.Name(user), nats.CustomInboxPrefix(inboxPrefix(user)), nats.Timeout(connectLimit),
		nats.MaxReconnects(-1), nats.RetryOnFailedConnect(true), nats.IgnoreAuthErrorAbort(),
		nats.ReconnectBufSize(-1), nats.CustomReconnectDelay(delay),
		nats.PingInterval(10 * time.Second), nats.MaxPingsOutstanding(2),
		nats.ConnectHandler(func(c *nats.Conn) {
			o.Log.Info("connected to the bus", "where", where(c))
			o.Changed(true)
		}),
		nats.ReconnectHandler(func(c *nats.Conn) {
			o.Log.Info("connected to the bus again", "where", where(c))
			o.Changed(true)
		}),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				o.Log.Warn("the bus is out of reach", "error", err)
			}
			o.Changed(false)
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			o.Log.Warn("the bus refused something", "user", user, "error", err)
		}),
	}
	switch {
	case o.Server != nil && len(o.URLs) > 0:
		return nil, errors.New("both a server of this process and URLs are given")
	case o.Server != nil:
		options = append(options, nats.InProcessServer(o.Server.ns))
		if local := o.Server.local; local != nil {
			return append(options, keyOption(local)...), nil
		}
		return options, nil
	case len(o.URLs) == 0:
		return nil, errors.New("neither a server of this process nor a URL is given")
	case o.Seed == "":
		return options, nil
	}
	key, err := readSeed(o.Seed)
	if err != nil {
		return nil, err
	}
	return append(options, keyOption(key)...), nil
}

func keyOption(key nkeys.KeyPair) []nats.Option {
	public, err := key.PublicKey()
	if err != nil {
		return nil // cannot be: the pair was made from a seed
	}
	return []nats.Option{nats.Nkey(public, key.Sign)}
}

// readSeed reads a node's secret. A file that others can read is refused: whoever reads it speaks for the node.
func readSeed(path string) (nkeys.KeyPair, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the key of this node: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("the key of this node in %s can be read by others (mode %#o): want 0600", path, mode)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the key of this node: %w", err)
	}
	key, err := nkeys.FromSeed([]byte(strings.TrimSpace(string(text))))
	if err != nil {
		return nil, fmt.Errorf("%s holds no nkey seed (one line that begins with SU): %w", path, err)
	}
	return key, nil
}

// delay before the next try: doubling from 0.1 s, then 5 to 10 s.
func delay(attempts int) time.Duration {
	d := lastDelay
	if attempts < 6 {
		d = firstDelay << max(attempts-1, 0)
	}
	return d + time.Duration(rand.Int64N(int64(d)))
}

// Connected says whether the bus hears us at this moment.
func (c *Conn) Connected() bool { return c.nc.IsConnected() }

// Reconnects counts the connections after the first. A server that started anew has forgotten the snapshots.
func (c *Conn) Reconnects() uint64 { return c.nc.Stats().Reconnects }

// Changed has an element when Connected or Reconnects may say something else than before. It is for one reader.
func (c *Conn) Changed() <-chan struct{} { return c.changed }

// Rejected counts messages that could not be decoded or spoke for another node.
func (c *Conn) Rejected() uint64 { return c.rejected.Load() }

// Close sends what was said, for at most a second, and ends the connection and its subscriptions.
func (c *Conn) Close() {
	if c.nc.IsConnected() {
		_ = c.nc.FlushTimeout(time.Second) // what is lost here is told again by the next life
	}
	c.nc.Close()
	c.closing.Do(func() { close(c.closed) })
}

package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"
	"golang.org/x/sys/unix"
)

// ServerOptions say where the embedded server keeps its streams and whether others may reach it.
type ServerOptions struct {
	// Listen is host:port of a hub (port -1: any free one); "" accepts connections of this process only and opens no
	// socket.
	Listen string
	// Users is the hub's file of "instance-id public-nkey" lines. It is read again when it changes.
	Users string
	// Store is the folder of the streams: disposable, and this process's alone.
	Store  string
	Retain Retention
	Log    *slog.Logger // nil: discarded
}

// Retention bounds the history of events; snapshots need none.
type Retention struct {
	Age   time.Duration // 0: 24 h
	Bytes int64         // 0: 128 MiB
}

// Limits of the embedded server.
const (
	startLimit  = 10 * time.Second
	usersPeriod = 2 * time.Second // how often the users file is looked at
	spareStore  = 64 << 20        // bytes of streams beside the events

	snapshotStore = 64 << 20 // bytes of memory for snapshots: 5,000 nodes of the largest type take a third
)

// Server is a NATS server inside this process.
type Server struct {
	options ServerOptions
	log     *slog.Logger
	local   nkeys.KeyPair // of this process's own connections to a hub; nil without Listen
	ns      *server.Server
	lock    *os.File
	// Rebuilt is where a damaged store was moved; "" when it was sound.
	Rebuilt string

	reloading sync.Mutex
	stop      context.CancelFunc
	watching  sync.WaitGroup
}

// Serve starts the server and makes the streams. A store that does not open is moved aside, and an empty one takes
// its place: what it held is told again within a minute.
func Serve(o ServerOptions) (*Server, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if !filepath.IsAbs(o.Store) {
		return nil, fmt.Errorf("cannot serve the bus: store %q is not an absolute path", o.Store)
	}
	if o.Listen != "" && o.Users == "" {
		return nil, fmt.Errorf("cannot serve the bus on %s: a hub needs a file of users", o.Listen)
	}
	s := &Server{options: o, log: o.Log}
	if o.Listen != "" {
		local, err := nkeys.CreateUser()
		if err != nil {
			return nil, fmt.Errorf("cannot make a key for this process: %w", err)
		}
		s.local = local
	}
	if err := s.lockStore(); err != nil {
		return nil, err
	}
	if err := s.startOrRebuild(); err != nil {
		return nil, errors.Join(err, s.lock.Close())
	}
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	if o.Users != "" {
		s.watching.Go(func() { s.watchUsers(ctx) })
	}
	return s, nil
}

// lockStore keeps two servers from writing the same streams; nats-server itself does not.
func (s *Server) lockStore() error {
	if err := os.MkdirAll(s.options.Store, 0o700); err != nil {
		return fmt.Errorf("cannot make the store of the bus: %w", err)
	}
	path := s.options.Store + ".lock"
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("cannot lock the store of the bus: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return errors.Join(fmt.Errorf("cannot lock %s: another process serves the bus from %s: %w", path, s.options.Store, err), f.Close())
	}
	s.lock = f
	return nil
}

func (s *Server) startOrRebuild() error {
	first := s.start()
	if first == nil {
		return nil
	}
	var refused *refusedError
	if errors.As(first, &refused) {
		return first // not the store's fault
	}
	aside := s.options.Store + ".damaged"
	if err := errors.Join(os.RemoveAll(aside), os.Rename(s.options.Store, aside), os.MkdirAll(s.options.Store, 0o700)); err != nil {
		return errors.Join(first, fmt.Errorf("cannot move the store of the bus aside: %w", err))
	}
	if err := s.start(); err != nil {
		return errors.Join(first, err)
	}
	s.Rebuilt = aside
	s.log.Warn("the store of the bus was damaged and has been rebuilt", "aside", aside, "error", first)
	return nil
}

// refusedError is a fault that another store would not mend.
type refusedError struct{ error }

func (e *refusedError) Unwrap() error { return e.error }

// start brings the server up and proves that its streams take messages.
func (s *Server) start() (err error) {
	o, err := s.serverOptions()
	if err != nil {
		return &refusedError{err}
	}
	ns, err := server.NewServer(o)
	if err != nil {
		return fmt.Errorf("cannot make the bus's server: %w", err)
	}
	lines := &natsLog{log: s.log, fatal: make(chan error, 1)}
	ns.SetLoggerV2(lines, false, false, false)
	s.ns = ns
	defer func() {
		if err != nil {
			ns.Shutdown()
			ns.WaitForShutdown()
		}
	}()
	if o.Port != 0 && !o.DontListen {
		if err := canListen(s.options.Listen); err != nil {
			return &refusedError{fmt.Errorf("cannot listen for nodes: %w", err)}
		}
	}
	go ns.Start()
	if err := awaitReady(ns, lines.fatal); err != nil {
		return fmt.Errorf("cannot start the bus's server: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	c, err := Connect(ctx, Options{Server: s, Name: "streams"})
	if err != nil {
		return fmt.Errorf("cannot reach the bus's own server: %w", err)
	}
	defer c.Close()
	return c.EnsureStreams(ctx, s.options.Retain)
}

// awaitReady waits until the server takes connections. One that cannot start says so in its log, and neither ends nor
// becomes ready.
func awaitReady(ns *server.Server, fatal <-chan error) error {
	for end := time.Now().Add(startLimit); time.Now().Before(end); {
		if ns.ReadyForConnections(50 * time.Millisecond) {
			return nil
		}
		select {
		case err := <-fatal:
			return err
		default:
		}
	}
	return fmt.Errorf("not ready after %s", startLimit)
}

// canListen tells a taken port from every other fault: the server itself would only log it and wait.
func canListen(address string) error {
	host, port, err := splitListen(address)
	if err != nil || port < 0 {
		return err
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return err
	}
	return l.Close()
}

func splitListen(address string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, fmt.Errorf("bus.listen %q: want host:port: %w", address, err)
	}
	port, err = strconv.Atoi(text)
	if err != nil || port == 0 || port < -1 || port > 65535 {
		return "", 0, fmt.Errorf("bus.listen %q: want a port from 1 to 65535", address)
	}
	return host, port, nil
}

// serverOptions are made anew for every (re)load: the server keeps what it is given.
func (s *Server) serverOptions() (*server.Options, error) {
	retain := s.options.Retain.orDefault()
	o := &server.Options{
		ServerName: "enichain", DontListen: true, NoSigs: true,
		MaxPayload: maxPayload, MaxControlLine: 4096, MaxConn: 64, MaxPending: 8 << 20, WriteDeadline: 2 * time.Second,
		JetStream: true, StoreDir: s.options.Store, SyncAlways: true, DisableJetStreamBanner: true,
		JetStreamMaxMemory: snapshotStore, JetStreamMaxStore: retain.Bytes + spareStore,
	}
	if s.options.Listen == "" {
		return o, nil
	}
	host, port, err := splitListen(s.options.Listen)
	if err != nil {
		return nil, err
	}
	o.DontListen, o.Host, o.Port, o.MaxConn = false, host, port, 65_536
	if o.Nkeys, err = readUsers(s.options.Users); err != nil {
		return nil, err
	}
	self, err := s.local.PublicKey()
	if err != nil {
		return nil, fmt.Errorf("cannot read our own key: %w", err)
	}
	o.Nkeys = append(o.Nkeys, &server.NkeyUser{Nkey: self})
	return o, nil
}

// Reload reads the users file again. Nodes that are no longer in it are cut off; with a fault in it all stays as it
// was.
func (s *Server) Reload() error {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	o, err := s.serverOptions()
	if err != nil {
		return err
	}
	if err := s.ns.ReloadOptions(o); err != nil {
		return fmt.Errorf("cannot take over the users of the bus: %w", err)
	}
	return nil
}

// watchUsers looks at the file's time and size. Polling, because the file may be replaced through a symlinked folder
// (a mounted secret), which a watch on its name does not see.
func (s *Server) watchUsers(ctx context.Context) {
	tick := time.NewTicker(usersPeriod)
	defer tick.Stop()
	last := fileState(s.options.Users)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := fileState(s.options.Users)
		if now == last {
			continue
		}
		last = now
		if err := s.Reload(); err != nil {
			s.log.Error("the users of the bus stay as they were", "error", err)
			continue
		}
		s.log.Info("the users of the bus were read again", "file", s.options.Users)
	}
}

type stateOfFile struct {
	size int64
	at   time.Time
}

func fileState(path string) stateOfFile {
	info, err := os.Stat(path)
	if err != nil {
		return stateOfFile{}
	}
	return stateOfFile{info.Size(), info.ModTime()}
}

// Addr is where a hub listens; "" without Listen.
func (s *Server) Addr() string {
	if s.options.Listen == "" {
		return ""
	}
	return s.ns.Addr().String()
}

// Nodes is the number of connections at this moment, our own included.
func (s *Server) Nodes() int { return s.ns.NumClients() }

// Close ends every connection, writes the streams down and frees the store.
func (s *Server) Close() error {
	s.stop()
	s.watching.Wait()
	s.ns.Shutdown()
	s.ns.WaitForShutdown()
	return s.lock.Close()
}

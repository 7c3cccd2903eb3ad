package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"time"
)

// group may read the socket besides root, where the machine has it.
const group = "enichain"

// serveLocal answers on the unix socket until ctx ends. Everything there is for reading.
func (d *daemon) serveLocal(ctx context.Context) error {
	listener, err := listenLocal(d.config.Socket)
	if err != nil {
		return err
	}
	return serve(ctx, listener, d.routes())
}

// serveMetrics answers GET /metrics by TCP until ctx ends, where the configuration asks for that.
func (d *daemon) serveMetrics(ctx context.Context) error {
	listener, err := net.Listen("tcp", d.config.Metrics.Listen)
	if err != nil {
		return fmt.Errorf("cannot listen for metrics.listen: %w", err)
	}
	d.log.Info("metrics are served", "listen", listener.Addr().String())
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", d.numbers.handler())
	return serve(ctx, listener, mux)
}

// serve answers until ctx ends.
func serve(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second,
		BaseContext: func(net.Listener) context.Context { return ctx }}
	stopped := context.AfterFunc(ctx, func() {
		short, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if server.Shutdown(short) != nil {
			server.Close()
		}
	})
	defer stopped()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("cannot serve %s: %w", listener.Addr(), err)
	}
	return nil
}

// listenLocal takes the socket's name over from a daemon that is gone, never from one that answers.
func listenLocal(path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("cannot make the socket's folder: %w", err)
	}
	if c, err := net.Dial("unix", path); err == nil {
		c.Close()
		return nil, fmt.Errorf("cannot listen on %s: another daemon answers there", path)
	}
	if info, err := os.Lstat(path); err == nil && info.Mode()&fs.ModeSocket != 0 {
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("cannot remove the old socket: %w", err)
		}
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w", path, err)
	}
	err = os.Chmod(path, 0o660)
	if g, lookup := user.LookupGroup(group); err == nil && lookup == nil {
		if gid, convert := strconv.Atoi(g.Gid); convert == nil {
			err = os.Chown(path, -1, gid)
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cannot set who may read %s: %w", path, err), listener.Close())
	}
	return listener, nil
}

func (d *daemon) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, r *http.Request) { answer(w, d.status(r.Context())) })
	mux.HandleFunc("GET /v1/view", func(w http.ResponseWriter, r *http.Request) { answer(w, d.view(r.Context())) })
	mux.HandleFunc("GET /v1/events", d.streamEvents)
	mux.HandleFunc("GET /v1/record", d.streamRecord)
	mux.Handle("GET /metrics", d.numbers.handler())
	return mux
}

func answer(w http.ResponseWriter, v any) {
	text, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(text, '\n')) // whoever asked has gone
}

// streamEvents sends events as they come, as server-sent events whose data is the CloudEvent. ?since= (a duration such
// as 10m, or RFC 3339) sends those first that are still known; ?follow=false ends after them.
func (d *daemon) streamEvents(w http.ResponseWriter, r *http.Request) {
	since, err := parseSince(r.URL.Query().Get("since"), time.Now())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	out := http.NewResponseController(w)
	past, follow, stop := d.journal.listen(since)
	defer stop()
	send := func(e json.Marshaler) bool {
		text, err := e.MarshalJSON()
		if err == nil {
			_, err = fmt.Fprintf(w, "data: %s\n\n", text)
		}
		return err == nil
	}
	for _, e := range past {
		if !send(e) {
			return
		}
	}
	if out.Flush() != nil || r.URL.Query().Get("follow") == "false" {
		return
	}
	beat := time.NewTicker(15 * time.Second) // so that a listener that has gone is noticed
	defer beat.Stop()
	for {
		select {
		case <-r.Context().Done():
			return
		case e := <-follow:
			if !send(e) {
				return
			}
		case <-beat.C:
			if _, err := fmt.Fprint(w, ": still here\n\n"); err != nil {
				return
			}
		}
		if out.Flush() != nil {
			return
		}
	}
}

// parseSince reads ?since=; without it the stream begins now.
func parseSince(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return now, nil
	}
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return now, fmt.Errorf("since=%q: want a duration such as 10m, or a time such as 2026-11-20T14:02:00Z", text)
	}
	return at, nil
}

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/reconcile"
)

// daemonLimit is how long the daemon may take to answer before it counts as absent.
const daemonLimit = 2 * time.Second

// daemonStatus is the part of GET /v1/status that is shown.
type daemonStatus struct {
	Version string    `json:"version"`
	Roles   []string  `json:"roles"`
	Started time.Time `json:"started"`
	Node    *struct {
		Instance ipam.InstanceID `json:"instance"`
		Type     string          `json:"type"`
		Zone     string          `json:"zone"`
	} `json:"node"`
	Agent *struct {
		Repairs    int       `json:"repairs"`
		LastRepair string    `json:"lastRepair"`
		RepairedAt time.Time `json:"repairedAt,omitzero"`
	} `json:"agent"`
	Bus struct {
		Connected bool `json:"connected"`
	} `json:"bus"`
	List   string `json:"list"`
	Config struct {
		File    string   `json:"file,omitempty"`
		Faults  []string `json:"faults,omitempty"`  // of the file as it is now: it changes nothing
		Restart []string `json:"restart,omitempty"` // keys that differ there and need a restart
	} `json:"config,omitzero"`
	Reconciler *reconcile.Picture `json:"reconciler,omitempty"`
}

// faults are what is wrong with the configuration file of a daemon that runs on an earlier one.
func (d *daemonStatus) faults() (faults []string) {
	for _, f := range d.Config.Faults {
		faults = append(faults, d.Config.File+" is not taken: "+f)
	}
	if len(d.Config.Restart) > 0 {
		faults = append(faults, d.Config.File+" changed "+strings.Join(d.Config.Restart, ", ")+": restart enichaind")
	}
	return faults
}

// ask makes one GET on the daemon's socket.
func (a *app) ask(ctx context.Context, path string, query url.Values) (*http.Response, error) {
	client := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", a.socket)
		}}}
	u := url.URL{Scheme: "http", Host: "enichaind", Path: path, RawQuery: query.Encode()}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("cannot ask enichaind: %w", err)
	}
	answer, err := client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("cannot ask enichaind at %s: %w", a.socket, cause(err))
	}
	if answer.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(answer.Body, 1<<10))
		answer.Body.Close()
		return nil, fmt.Errorf("cannot ask enichaind for %s: %s", path, bytes.TrimSpace(text))
	}
	return answer, nil
}

// cause takes the URL out of an error: people know which socket they asked.
func cause(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err
	}
	return err
}

// daemon is the daemon's own word, or why there is none.
func (a *app) daemon(ctx context.Context) (*daemonStatus, error) {
	ctx, cancel := context.WithTimeout(ctx, daemonLimit)
	defer cancel()
	answer, err := a.ask(ctx, "/v1/status", nil)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	var s daemonStatus
	if err := json.NewDecoder(answer.Body).Decode(&s); err != nil {
		return nil, fmt.Errorf("cannot read the daemon's status: %w", err)
	}
	return &s, nil
}

// heartbeat says in words what the agent's lock file shows; "" when it lives.
func (a *app) heartbeat() string {
	f, err := os.Open(filepath.Join(filepath.Dir(a.pool), "agent.lock"))
	if err != nil {
		return "enichaind never ran on this node"
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return ""
	}
	silent := a.clock().Wall.Sub(info.ModTime())
	if unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB) == nil {
		return "enichaind does not run, last seen " + age(silent) + " ago"
	}
	if silent > 90*time.Second {
		return "enichaind hangs: no heartbeat for " + age(silent)
	}
	return ""
}

// cloudEvent is the envelope of an event as the daemon sends it.
type cloudEvent struct {
	ID     string      `json:"id"`
	Source string      `json:"source"`
	Data   ipam.Record `json:"data"`
	raw    []byte
}

// stream reads server-sent events until they end or f returns false.
func stream(body io.Reader, f func(cloudEvent) bool) error {
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		data, ok := bytes.CutPrefix(lines.Bytes(), []byte("data: "))
		if !ok {
			continue
		}
		e := cloudEvent{raw: bytes.Clone(data)}
		if err := json.Unmarshal(data, &e); err != nil {
			return fmt.Errorf("cannot read an event: %w", err)
		}
		if !f(e) {
			return nil
		}
	}
	return lines.Err()
}

// Package imds is an instance's metadata service, version 2 only, in front of a vpc.World: with its lag, and stuck if a
// fault says so. The paths are those of the EC2 user guide ("Instance metadata categories") that concern networks.
package imds

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/enichain/enichain/test/lab/vpc"
)

const (
	tokenHeader = "X-Aws-Ec2-Metadata-Token"
	ttlHeader   = "X-Aws-Ec2-Metadata-Token-Ttl-Seconds"
	longestTTL  = 21600 // seconds (EC2 user guide, "Use IMDSv2")
)

// Clock tells the time; wire.Clock does.
type Clock interface{ Now() time.Time }

// Handler serves the metadata of one instance. Its tokens are good for no other instance and no other Handler.
func Handler(world *vpc.World, instance string, clock Clock) http.Handler {
	h := &handler{world: world, instance: instance, clock: clock, key: make([]byte, sha256.Size)}
	_, _ = rand.Read(h.key) // never fails (crypto/rand)
	return h
}

type handler struct {
	world    *vpc.World
	instance string
	clock    Clock
	key      []byte // signs tokens, so that none has to be kept
}

func (h *handler) ServeHTTP(rw http.ResponseWriter, hr *http.Request) {
	limitHops(hr)
	rw.Header().Set("Server", "EC2ws")
	rw.Header().Set("Content-Type", "text/plain")
	if status := h.world.MetadataStatus(h.clock.Now(), h.instance); status != 0 {
		refuse(rw, status)
		return
	}
	switch {
	case hr.Method == http.MethodPut && hr.URL.Path == "/latest/api/token":
		h.token(rw, hr)
	case hr.Method != http.MethodGet && hr.Method != http.MethodHead:
		refuse(rw, http.StatusMethodNotAllowed)
	default:
		h.get(rw, hr)
	}
}

func refuse(rw http.ResponseWriter, status int) {
	http.Error(rw, strconv.Itoa(status)+" - "+http.StatusText(status), status)
}

// token answers with a token that says itself until when it is good. A request that came through a proxy gets none.
func (h *handler) token(rw http.ResponseWriter, hr *http.Request) {
	if len(hr.Header.Values("X-Forwarded-For")) > 0 {
		refuse(rw, http.StatusForbidden)
		return
	}
	seconds, err := strconv.Atoi(hr.Header.Get(ttlHeader))
	if err != nil || seconds < 1 || seconds > longestTTL {
		refuse(rw, http.StatusBadRequest)
		return
	}
	until := h.clock.Now().Add(time.Duration(seconds) * time.Second)
	rw.Header().Set(ttlHeader, strconv.Itoa(seconds)) // the SDK for Go insists on it
	_, _ = rw.Write([]byte(h.sign(until)))
}

func (h *handler) sign(until time.Time) string {
	text := binary.BigEndian.AppendUint64(nil, uint64(until.UnixNano()))
	mac := hmac.New(sha256.New, h.key)
	mac.Write(text)
	return base64.URLEncoding.EncodeToString(mac.Sum(text))
}

// remaining is how long a token is good for yet; not at all if it is none of ours.
func (h *handler) remaining(token string) time.Duration {
	text, err := base64.URLEncoding.DecodeString(token)
	if err != nil || len(text) != 8+sha256.Size {
		return 0
	}
	until := time.Unix(0, int64(binary.BigEndian.Uint64(text)))
	if !hmac.Equal([]byte(h.sign(until)), []byte(token)) {
		return 0
	}
	return until.Sub(h.clock.Now())
}

func (h *handler) get(rw http.ResponseWriter, hr *http.Request) {
	left := h.remaining(hr.Header.Get(tokenHeader))
	if left <= 0 {
		refuse(rw, http.StatusUnauthorized)
		return
	}
	rw.Header().Set(ttlHeader, strconv.Itoa(int(left.Round(time.Second)/time.Second)))
	m, ok := h.world.Metadata(h.clock.Now(), h.instance)
	if !ok {
		refuse(rw, http.StatusNotFound)
		return
	}
	text, ok := lookup(files(m), hr.URL.Path)
	if !ok {
		refuse(rw, http.StatusNotFound)
		return
	}
	_, _ = rw.Write([]byte(text))
}

// lookup finds a file, or lists a folder: its names one to a line, folders with a slash. A folder may be asked for with
// or without a slash, a file only without.
func lookup(files []file, path string) (string, bool) {
	for _, f := range files {
		if f.path == path {
			return f.text, true
		}
	}
	folder := strings.TrimSuffix(path, "/") + "/"
	var names []string
	for _, f := range files {
		rest, inside := strings.CutPrefix(f.path, folder)
		if !inside || rest == "" {
			continue
		}
		name, _, deeper := strings.Cut(rest, "/")
		if deeper {
			name += "/"
		}
		if len(names) == 0 || names[len(names)-1] != name { // files are sorted
			names = append(names, name)
		}
	}
	return strings.Join(names, "\n"), len(names) > 0
}

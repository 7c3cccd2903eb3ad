package generation

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Attachment is one interface of one container in one network.
type Attachment struct{ Network, Container, IfName string }

// String is network/container/ifname, as stages mark what is theirs.
func (a Attachment) String() string { return a.Network + "/" + a.Container + "/" + a.IfName }

// Cached is what a runtime wrote down after a successful ADD, and takes away after a successful DEL (libcni, kind
// cniCacheV1).
type Cached struct {
	Attachment
	Netns        string
	Args         [][2]string                // CNI_ARGS, in order
	Capabilities map[string]json.RawMessage // what the runtime had to give to stages that ask for it
	Config       []byte                     // the list, as it was read from disk; without its drop-ins
	Result       json.RawMessage            // the last stage's
	Version      string                     // cniVersion of the result
}

// ParseCached reads one; false for files that are no such thing, or only half written.
func ParseCached(text []byte) (Cached, bool) {
	var f struct {
		Kind           string                     `json:"kind"`
		ContainerID    string                     `json:"containerId"`
		Config         []byte                     `json:"config"` // base64
		IfName         string                     `json:"ifName"`
		NetworkName    string                     `json:"networkName"`
		Netns          string                     `json:"netns"`
		CniArgs        [][2]string                `json:"cniArgs"`
		CapabilityArgs map[string]json.RawMessage `json:"capabilityArgs"`
		Result         json.RawMessage            `json:"result"`
	}
	var result struct {
		CNIVersion string `json:"cniVersion"`
	}
	if json.Unmarshal(text, &f) != nil || !strings.HasPrefix(f.Kind, "cniCache") || json.Unmarshal(f.Result, &result) != nil {
		return Cached{}, false
	}
	if f.NetworkName == "" || f.ContainerID == "" || f.IfName == "" {
		return Cached{}, false
	}
	return Cached{Attachment: Attachment{f.NetworkName, f.ContainerID, f.IfName}, Netns: f.Netns, Args: f.CniArgs,
		Capabilities: f.CapabilityArgs, Config: f.Config, Result: f.Result, Version: result.CNIVersion}, true
}

// Arg is one of CNI_ARGS, or "".
func (c Cached) Arg(name string) (value string) {
	for _, pair := range c.Args {
		if pair[0] == name {
			value = pair[1]
		}
	}
	return value
}

// Pod is namespace/name where the runtime named one, else the container.
func (c Cached) Pod() string {
	if name := c.Arg("K8S_POD_NAME"); name != "" {
		return c.Arg("K8S_POD_NAMESPACE") + "/" + name
	}
	return c.Container
}

// Addresses are the result's.
func (c Cached) Addresses() (addresses []netip.Addr) {
	var r struct {
		IPs []struct {
			Address netip.Prefix `json:"address"`
		} `json:"ips"`
	}
	if json.Unmarshal(c.Result, &r) != nil {
		return nil
	}
	for _, ip := range r.IPs {
		addresses = append(addresses, ip.Address.Addr())
	}
	return addresses
}

// Configuration is what a runtime sends a plugin with CHECK and DEL of this attachment (CNI specification, section 4).
// The version is the result's.
func (c Cached) Configuration(plugin json.RawMessage) ([]byte, error) {
	return c.configuration(plugin, c.Result)
}

func (c Cached) configuration(plugin, result json.RawMessage) ([]byte, error) {
	var whole map[string]json.RawMessage
	if err := json.Unmarshal(plugin, &whole); err != nil {
		return nil, fmt.Errorf("cannot read a plugin's configuration: %w", err)
	}
	var capable map[string]bool
	if raw, ok := whole["capabilities"]; ok {
		if err := json.Unmarshal(raw, &capable); err != nil {
			return nil, fmt.Errorf("cannot read a plugin's capabilities: %w", err)
		}
	}
	supplied := map[string]json.RawMessage{}
	for capability, value := range c.Capabilities {
		if capable[capability] {
			supplied[capability] = value
		}
	}
	delete(whole, "capabilities")
	set := func(key string, value any) (err error) {
		whole[key], err = json.Marshal(value)
		return err
	}
	var err error
	if len(supplied) > 0 {
		err = set("runtimeConfig", supplied)
	}
	if err = errors.Join(err, set("name", c.Network), set("cniVersion", c.Version)); err != nil {
		return nil, err
	}
	if result != nil {
		whole["prevResult"] = result
	}
	return json.Marshal(whole)
}

// Entry is one file of the cache. The same pointer comes again while the file stays as it is.
type Entry struct {
	Name   string // of the file
	At     time.Time
	Text   []byte
	ID     string // of the content
	Cached Cached
	OK     bool // false: no cached result, or half of one
	size   int64
}

// Key tells one attachment from a later one of the same container: the file's name and the id of its content.
func (e *Entry) Key() string { return e.Name + "." + e.ID }

// Cache reads a runtime's folder of cached results again and again. It serves one goroutine.
type Cache struct {
	folder string
	known  map[string]*Entry
}

// NewCache reads nothing yet.
func NewCache(folder string) *Cache { return &Cache{folder: folder, known: map[string]*Entry{}} }

// Read is what is there now, by name of the file. A folder that does not exist has none.
func (c *Cache) Read() (map[string]*Entry, error) {
	entries, err := os.ReadDir(c.folder)
	if errors.Is(err, fs.ErrNotExist) {
		entries, err = nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the runtime's cached results: %w", err)
	}
	now := make(map[string]*Entry, len(entries))
	for _, e := range entries {
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // gone meanwhile: its pod ended
		}
		if err != nil {
			return nil, fmt.Errorf("cannot look at a cached result: %w", err)
		}
		if !info.Mode().IsRegular() {
			continue
		}
		if was, ok := c.known[e.Name()]; ok && was.At.Equal(info.ModTime()) && was.size == info.Size() {
			now[e.Name()] = was
			continue
		}
		text, err := os.ReadFile(filepath.Join(c.folder, e.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read a cached result: %w", err)
		}
		now[e.Name()] = entryOf(e.Name(), info.ModTime(), info.Size(), text)
	}
	c.known = now
	return now, nil
}

func entryOf(name string, at time.Time, size int64, text []byte) *Entry {
	e := &Entry{Name: name, At: at, size: size, Text: text}
	e.Cached, e.OK = ParseCached(text)
	sum := sha256.Sum256(text)
	e.ID = hex.EncodeToString(sum[:4])
	return e
}

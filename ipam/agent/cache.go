package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/enichain/enichain/ipam"
)

// DefaultCache is where libcni keeps the results of attachments (containerd, CRI-O and cnitool alike).
const DefaultCache = "/var/lib/cni/results"

// cached is one attachment as the runtime wrote it down after its ADD. It may be of a pod that is long gone.
type cached struct {
	ipam.Attachment
	Netns     string
	Pod       string
	Addresses []netip.Addr
	Networks  []netip.Prefix // of Addresses, where they were given with more than their own length
	FromPool  bool           // its list names eni-ipam: the addresses are the pool's
}

// readCache reads all cached results. Files that are no such thing are skipped: the folder is the runtime's, and other
// networks' entries are in it as well.
func readCache(folder string) ([]cached, error) {
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the runtime's cached results: %w", err)
	}
	var all []cached
	for _, e := range entries { // in order of names
		text, err := os.ReadFile(filepath.Join(folder, e.Name()))
		if err != nil {
			continue // gone meanwhile: its pod ended
		}
		if c, ok := parseCached(text); ok {
			all = append(all, c)
		}
	}
	return all, nil
}

// cacheFile is libcni's form, kind cniCacheV1.
type cacheFile struct {
	Kind        string      `json:"kind"`
	ContainerID string      `json:"containerId"`
	Config      []byte      `json:"config"` // base64 of the list
	IfName      string      `json:"ifName"`
	NetworkName string      `json:"networkName"`
	Netns       string      `json:"netns"`
	CniArgs     [][2]string `json:"cniArgs"`
	Result      struct {
		IPs []struct {
			Address string `json:"address"`
		} `json:"ips"`
	} `json:"result"`
}

func parseCached(text []byte) (cached, bool) {
	var f cacheFile
	if json.Unmarshal(text, &f) != nil || !strings.HasPrefix(f.Kind, "cniCache") || f.NetworkName == "" || f.ContainerID == "" || f.IfName == "" {
		return cached{}, false
	}
	c := cached{Attachment: ipam.Attachment{Network: f.NetworkName, Container: f.ContainerID, IfName: f.IfName}, Netns: f.Netns,
		FromPool: namesPool(f.Config)}
	args := map[string]string{}
	for _, a := range f.CniArgs {
		args[a[0]] = a[1]
	}
	if args["K8S_POD_NAME"] != "" {
		c.Pod = args["K8S_POD_NAMESPACE"] + "/" + args["K8S_POD_NAME"]
	}
	for _, ip := range f.Result.IPs {
		if p, err := netip.ParsePrefix(ip.Address); err == nil {
			c.Addresses = append(c.Addresses, p.Addr())
			if !p.IsSingleIP() {
				c.Networks = append(c.Networks, p.Masked())
			}
		}
	}
	return c, true
}

// namesPool says whether eni-ipam gave a list's addresses: as a stage of its own or as a stage's delegate.
func namesPool(list []byte) bool {
	type stage struct {
		Type string `json:"type"`
		IPAM struct {
			Type string `json:"type"`
		} `json:"ipam"`
	}
	var l struct {
		stage
		Plugins []stage `json:"plugins"`
	}
	if json.Unmarshal(list, &l) != nil {
		return false
	}
	for _, s := range append(l.Plugins, l.stage) {
		if s.Type == "eni-ipam" || s.IPAM.Type == "eni-ipam" {
			return true
		}
	}
	return false
}

package conformance

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Profile says how one plugin is called: with which configuration, on what node, in what container. It is read from YAML
// or JSON (docs/conformance.md has the page). Strings may hold variables of the attachment: see variables.
type Profile struct {
	Plugin   string   `yaml:"plugin"`   // the "type" of the configuration; the binary's name
	Kind     Kind     `yaml:"kind"`     // empty: found out
	Versions []string `yaml:"versions"` // that the plugin's documentation promises
	Needs    []Need   `yaml:"needs"`    // of the machine

	World     string   `yaml:"world"`     // "enichain": a node of enichain; empty: nothing but lo
	Node      []string `yaml:"node"`      // shell lines on the node, once
	Container []string `yaml:"container"` // shell lines on the node, for every container before its ADD

	Config        object `yaml:"config"`        // all but cniVersion, name and type
	PrevResult    object `yaml:"prevResult"`    // what earlier plugins of the chain gave
	RuntimeConfig object `yaml:"runtimeConfig"` // what the runtime fills in
	Delegating    object `yaml:"delegating"`    // over config: it lets an IPAM plugin give the addresses

	State             string   `yaml:"state"`             // shell line that lists what ADD reserves outside the kernel
	Ignore            []string `yaml:"ignore"`            // words: lines of the kernel's state with one are not looked at
	Wanted            []string `yaml:"wanted"`            // two addresses that one may ask for by CNI_ARGS and the capability "ips"
	Unavailable       []Broken `yaml:"unavailable"`       // ways to make ADD impossible
	AtOnce            int      `yaml:"atOnce"`            // how many ADDs the suite makes at once, at most; 0: fifty
	IfName            string   `yaml:"ifname"`            // CNI_IFNAME; empty: eth0
	GCAge             int      `yaml:"gcAge"`             // seconds; GC leaves younger attachments alone
	FreshOnly         bool     `yaml:"freshOnly"`         // it changes what is there, so a container has one attachment only
	NoDetection       string   `yaml:"noDetection"`       // why CHECK cannot be tried by removing what ADD made
	ChangesInterfaces bool     `yaml:"changesInterfaces"` // a chained plugin whose result has other interfaces than prevResult
	InvalidValue      object   `yaml:"invalidValue"`      // members of the configuration that must be refused

	name    string                      // of a built-in one, which may be a variant
	prepare func(context.Context) error // what World stands for
	state   func(context.Context) ([]string, error)
}

// Need is something that the machine must have; where Run fails the plugin is not tried.
type Need struct {
	Run string `yaml:"run"`
	Why string `yaml:"why"` // in words, when it fails
}

// Broken makes a plugin unable to serve an ADD, for STATUS.
type Broken struct {
	Node        []string          `yaml:"node"`        // shell lines
	Config      object            `yaml:"config"`      // over config
	Env         map[string]string `yaml:"env"`         // over the environment
	Attachments int               `yaml:"attachments"` // so many ADDs first
}

//go:embed profiles/*.yaml
var profiles embed.FS

// BuiltIn is the profile of a known plugin, or one without any configuration.
func BuiltIn(plugin string) (*Profile, error) {
	text, err := profiles.ReadFile("profiles/" + plugin + ".yaml")
	if errors.Is(err, fs.ErrNotExist) {
		return &Profile{Plugin: plugin}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the profile of %s: %w", plugin, err)
	}
	p, err := parseProfile("profiles/"+plugin+".yaml", text)
	if err == nil {
		p.name = plugin
	}
	return p, err
}

// Variant tells a binary's path from the name of a built-in profile: "bin/portmap@nftables" is the binary bin/portmap,
// called as the profile portmap@nftables says.
func Variant(path string) (binary, profile string) {
	binary, profile = path, filepath.Base(path)
	if dir, name := filepath.Split(path); strings.Contains(name, "@") {
		if _, err := os.Stat(path); err != nil {
			plugin, _, _ := strings.Cut(name, "@")
			binary = dir + plugin
		}
	}
	return binary, profile
}

// Known are the plugins with a built-in profile.
func Known() []string {
	entries, _ := profiles.ReadDir("profiles")
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".yaml"))
	}
	return names
}

// LoadProfile reads a profile from a file.
func LoadProfile(path string) (*Profile, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the profile: %w", err)
	}
	return parseProfile(path, text)
}

func parseProfile(name string, text []byte) (*Profile, error) {
	p := &Profile{}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(p); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("cannot read the profile %s: %w", name, err)
	}
	if p.Plugin == "" {
		return nil, fmt.Errorf("cannot use the profile %s: plugin: the plugin's type is missing", name)
	}
	if p.Kind != "" && !slices.Contains(every, p.Kind) {
		return nil, fmt.Errorf("cannot use the profile %s: kind: want one of %v, got %q", name, every, p.Kind)
	}
	switch p.World {
	case "":
	case "enichain":
		p.prepare, p.state = enichainNode, enichainLeases
	default:
		return nil, fmt.Errorf(`cannot use the profile %s: world: want "enichain" or nothing, got %q`, name, p.World)
	}
	return p, nil
}

// wire is the container of a chained plugin whose profile makes none: a veth pair with an address, as an interface plugin
// would have left it.
var wire = []string{
	"ip link add $HOST address $HOSTMAC type veth peer name $IFNAME address $MAC netns $NS",
	"ip addr add $GATEWAY/24 dev $HOST && ip -6 addr add $GATEWAY6/64 dev $HOST nodad && ip link set $HOST up",
	"ip -n $NS addr add $IP/24 dev $IFNAME && ip -n $NS -6 addr add $IP6/64 dev $IFNAME nodad && ip -n $NS link set $IFNAME up",
	"ip -n $NS route replace default via $GATEWAY dev $IFNAME",
}

// wired is the prevResult that belongs to wire.
func wired() object {
	return object{
		"interfaces": []any{
			object{"name": "$HOST", "mac": "$HOSTMAC"},
			object{"name": "$IFNAME", "mac": "$MAC", "sandbox": "$NETNS"},
		},
		"ips":    []any{object{"address": "$IP/24", "gateway": "$GATEWAY", "interface": 1}},
		"routes": []any{object{"dst": "0.0.0.0/0", "gw": "$GATEWAY"}},
		"dns":    object{"nameservers": []any{"10.88.0.53"}, "search": []any{"conformance.test"}},
	}
}

func (p *Profile) containerLines() []string {
	if p.Container == nil && p.Kind == Chained {
		return wire
	}
	return p.Container
}

// prevResult is what the earlier plugins gave, in the shape of the trial's version; nil where there are none.
func (t *trial) prevResult(a attachment) object {
	prev := t.p.PrevResult
	if prev == nil && t.s.kind == Chained {
		prev = wired()
	}
	if prev == nil {
		return nil
	}
	return inShapeOf(expand(prev, a), t.version)
}

// inShapeOf gives a result what its version wants: its own cniVersion, and ips[].version in 0.x.
func inShapeOf(result object, version string) object {
	result["cniVersion"] = version
	if older(version, "1.0.0") {
		for _, ip := range list(result, "ips") {
			ip["version"] = "4"
			if strings.Contains(text(ip, "address"), ":") {
				ip["version"] = "6"
			}
		}
	}
	return result
}

package generation

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/enichain/enichain/chain"
)

// List is a network configuration list, as far as generations care.
type List struct {
	Name        string
	InlinedOnly bool // drop-ins do not count
	Stages      []Stage
}

// Stage is one plugin of a list, or one stage of a fused entry: for an attachment it is the same which of the two it was.
type Stage struct {
	Type   string          `json:"type"`
	Config json.RawMessage `json:"config"`           // the whole object
	Within string          `json:"within,omitempty"` // the plugin whose fused entry runs it
}

// networkName is what libcni takes as one (utils.ValidateNetworkName), and what is safe as the name of a folder.
var networkName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.\-]*$`)

// ParseList reads a list as libcni would: it may be without plugins of its own where drop-ins bring them.
func ParseList(text []byte) (List, error) {
	var raw struct {
		Name        string            `json:"name"`
		Type        string            `json:"type"`
		Plugins     []json.RawMessage `json:"plugins"`
		InlinedOnly any               `json:"loadOnlyInlinedPlugins"`
	}
	if err := json.Unmarshal(text, &raw); err != nil {
		return List{}, fmt.Errorf("cannot read the list: %w", err)
	}
	if !networkName.MatchString(raw.Name) {
		return List{}, fmt.Errorf(`the list's "name" is %q, but must begin with a letter or digit and have only these, "_", "." and "-"`, raw.Name)
	}
	if raw.Type != "" && raw.Plugins == nil {
		return List{}, fmt.Errorf(`this is one plugin's configuration, not a list: it has "type" and no "plugins"`)
	}
	l := List{Name: raw.Name}
	switch v := raw.InlinedOnly.(type) {
	case bool:
		l.InlinedOnly = v
	case string:
		l.InlinedOnly = strings.EqualFold(v, "true")
	}
	for i, p := range raw.Plugins {
		s, err := stagesOf(p)
		if err != nil {
			return List{}, fmt.Errorf("plugins[%d]: %w", i, err)
		}
		l.Stages = append(l.Stages, s...)
	}
	return l, nil
}

// stagesOf are the stages that one entry runs.
func stagesOf(config json.RawMessage) ([]Stage, error) {
	var p struct {
		Type string `json:"type"`
	}
	if err := json.Unmarshal(config, &p); err != nil {
		return nil, fmt.Errorf("cannot read a plugin's configuration: %w", err)
	}
	if p.Type == "" {
		return nil, fmt.Errorf(`a plugin has no "type"`)
	}
	var stages []Stage
	for _, m := range chain.Members(p.Type, config) {
		stages = append(stages, Stage{Type: m.Type, Config: m.Config, Within: p.Type})
	}
	if stages == nil {
		stages = []Stage{{Type: p.Type, Config: config}}
	}
	return stages, nil
}

// Types are the plugins that a stage runs: itself, and the delegate of its "ipam".
func (s Stage) Types() []string {
	if d := s.delegate(); d != "" && d != s.Type {
		return []string{s.Type, d}
	}
	return []string{s.Type}
}

func (s Stage) delegate() string {
	var p struct {
		IPAM struct {
			Type string `json:"type"`
		} `json:"ipam"`
	}
	_ = json.Unmarshal(s.Config, &p) // an "ipam" of another form delegates to nobody
	return p.IPAM.Type
}

// defaultPool is eni-ipam's (ipam/store.DefaultPath).
const defaultPool = "/run/enichain/pool.db"

// pool is the file from which the stage, or its delegate, takes addresses; "" where that is not eni-ipam.
func (s Stage) pool() string {
	var p struct {
		PoolFile string                    `json:"poolFile"`
		IPAM     struct{ PoolFile string } `json:"ipam"`
	}
	_ = json.Unmarshal(s.Config, &p) // with a key of another form, eni-ipam gave no address
	switch {
	case s.Type == pool:
		return cmp.Or(p.PoolFile, defaultPool)
	case s.delegate() == pool:
		return cmp.Or(p.IPAM.PoolFile, defaultPool)
	}
	return ""
}

// Runs says whether a stage of the list, or the delegate of one, is of that type.
func (l List) Runs(plugin string) bool {
	return slices.ContainsFunc(l.Stages, func(s Stage) bool { return slices.Contains(s.Types(), plugin) })
}

// with is the list and what its drop-ins add.
func (l List) with(dropIns []Stage) List {
	if !l.InlinedOnly {
		l.Stages = slices.Concat(l.Stages, dropIns)
	}
	return l
}

// Folder is the runtime's folder of lists at one moment.
type Folder struct {
	Lists map[string]InFolder // by network; of two with one name the runtime takes the first
	// Obscure are files that could not be understood, with the reason: while there are any, a network that is not in
	// Lists may still be in the folder.
	Obscure []string
}

// InFolder is one network's list there.
type InFolder struct {
	File    string // its name, without the folder
	Text    []byte
	List    List // with its drop-ins
	DropIns []Stage
}

// ReadFolder reads a folder of lists in the order in which runtimes do.
func ReadFolder(dir string) (Folder, error) {
	f := Folder{Lists: map[string]InFolder{}}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return f, fmt.Errorf("cannot read the runtime's lists: %w", err)
	}
	for _, e := range entries { // in order of names
		if e.IsDir() || !slices.Contains([]string{".conflist", ".conf", ".json"}, filepath.Ext(e.Name())) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			f.Obscure = append(f.Obscure, fmt.Sprintf("cannot read %s: %v", e.Name(), err))
			continue
		}
		found := InFolder{File: e.Name(), Text: text}
		if filepath.Ext(e.Name()) == ".conflist" {
			found.List, err = ParseList(text)
		} else {
			found.List, err = single(text)
		}
		if err != nil {
			f.Obscure = append(f.Obscure, fmt.Sprintf("%s: %v", e.Name(), err))
			continue
		}
		if _, shadowed := f.Lists[found.List.Name]; shadowed {
			continue
		}
		if filepath.Ext(e.Name()) == ".conflist" && !found.List.InlinedOnly {
			if found.DropIns, err = readDropIns(dir, found.List.Name); err != nil {
				f.Obscure = append(f.Obscure, err.Error())
				continue
			}
			found.List = found.List.with(found.DropIns)
		}
		f.Lists[found.List.Name] = found
	}
	return f, nil
}

// single is a .conf file: one plugin that is a network by itself.
func single(text []byte) (List, error) {
	var named struct {
		Name string `json:"name"`
	}
	stages, err := stagesOf(text)
	if err == nil {
		err = json.Unmarshal(text, &named)
	}
	return List{Name: named.Name, InlinedOnly: true, Stages: stages}, err
}

// readDropIns reads the plugins that libcni appends to a list, from <folder>/<network>/*.conf.
func readDropIns(dir, network string) (stages []Stage, err error) {
	paths, err := filepath.Glob(filepath.Join(escapeGlob(dir), network, "*.conf"))
	if err != nil {
		return nil, fmt.Errorf("cannot look for drop-ins of %s: %w", network, err)
	}
	for _, path := range paths { // in order of names
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("cannot read a drop-in: %w", err)
		}
		s, err := stagesOf(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		stages = append(stages, s...)
	}
	return stages, nil
}

func escapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

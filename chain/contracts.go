package chain

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/enichain/enichain/chain/contract"
)

// Where a contract comes from.
const (
	FromInstalled = "installed" // the binary told it
	FromBuiltIn   = "built in"  // a plugin that enichain knows
	FromNowhere   = "unknown"   // nobody told: what the stage needs and adds is not judged
)

// Known is what is known of a stage with its configuration.
type Known struct {
	contract.Contract
	Versions []string // CNI versions that it speaks; empty where nobody told
	From     string   // FromInstalled, FromBuiltIn or FromNowhere
	Binary   string   // where the plugin is installed; "" where it was not looked for or not found
	Missing  bool     // looked for, and not found
}

// Foreign says that nothing is known of what the stage needs and adds.
func (k Known) Foreign() bool { return k.From != FromInstalled && k.From != FromBuiltIn }

// told says that the contract is the stage's own declaration, by its binary or built in: its keys are all there are. What
// enichain knows of other people's plugins has no v.
func (k Known) told() bool { return k.V == contract.V }

// Contracts tells what a stage needs and adds.
type Contracts interface {
	// Of is asked with the stage's configuration, or, for a delegate, with its "ipam" object.
	Of(ctx context.Context, pluginType string, config json.RawMessage) Known
}

// BuiltIn is knowledge of plugins that tell no contract: what they need and add with a configuration, and the CNI
// versions that they speak; false for one that it does not know. Package chain/known has it.
type BuiltIn func(pluginType string, config json.RawMessage) (contract.Contract, []string, bool)

// Installed asks the plugins themselves: each binary in the folders of path (CNI_PATH) is asked for VERSION once, for
// at most a second. One that answers with a contract is believed; for others builtIn is asked, which may be nil.
func Installed(path []string, builtIn BuiltIn) Contracts {
	return &installed{path: path, builtIn: builtIn, answers: map[string]answer{}}
}

type installed struct {
	path    []string
	builtIn BuiltIn
	mu      sync.Mutex // guards answers
	answers map[string]answer
}

var _ Contracts = (*installed)(nil)

// answer is what one binary said to VERSION.
type answer struct {
	binary   string
	versions []string
	contract *contract.Contract // nil: a foreign stage
}

func (i *installed) Of(ctx context.Context, pluginType string, config json.RawMessage) Known {
	a := i.ask(ctx, pluginType)
	k := Known{Versions: a.versions, From: FromNowhere, Binary: a.binary, Missing: a.binary == "" && len(i.path) > 0}
	if a.contract != nil {
		k.Contract, k.From = *a.contract, FromInstalled
		return k
	}
	if i.builtIn == nil {
		return k
	}
	c, versions, ok := i.builtIn(pluginType, config)
	if !ok {
		return k
	}
	k.Contract, k.From = c, FromBuiltIn
	if len(k.Versions) == 0 {
		k.Versions = versions
	}
	return k
}

// Names are the plugins in the folders of path.
func (i *installed) Names() []string {
	var out []string
	for _, dir := range i.path {
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, e := range entries {
			if e.Type().IsRegular() {
				out = append(out, e.Name())
			}
		}
	}
	return out
}

func (i *installed) ask(ctx context.Context, pluginType string) answer {
	i.mu.Lock()
	defer i.mu.Unlock()
	if a, ok := i.answers[pluginType]; ok {
		return a
	}
	a := answer{binary: find(pluginType, i.path)}
	if a.binary != "" {
		a.versions, a.contract = askVersion(ctx, a.binary, i.path)
	}
	i.answers[pluginType] = a
	return a
}

// find is where a plugin lies, "" where it does not: a name with a separator is none that a runtime would run.
func find(plugin string, path []string) string {
	if plugin == "" || plugin == "." || plugin == ".." || strings.ContainsRune(plugin, filepath.Separator) {
		return ""
	}
	for _, dir := range path {
		file := filepath.Join(dir, plugin)
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() {
			return file
		}
	}
	return ""
}

// answerLimit is how long a plugin may take to answer VERSION, which needs no more than a few milliseconds.
const answerLimit = time.Second

// askVersion runs a plugin as libcni does for VERSION. A plugin that fails, hangs or answers with something else has
// told nothing.
func askVersion(ctx context.Context, binary string, path []string) ([]string, *contract.Contract) {
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	c := exec.CommandContext(ctx, binary)
	// libcni sets all of them; some plugins want them.
	c.Env = append(os.Environ(), "CNI_COMMAND=VERSION", "CNI_CONTAINERID=dummy", "CNI_NETNS=dummy", "CNI_IFNAME=dummy",
		"CNI_PATH="+strings.Join(path, string(filepath.ListSeparator)))
	c.Stdin = strings.NewReader(`{"cniVersion":"1.0.0"}`)
	c.WaitDelay = answerLimit / 10
	var out bytes.Buffer
	c.Stdout = &out
	if c.Run() != nil {
		return nil, nil
	}
	var said struct {
		Versions []string        `json:"supportedVersions"`
		Contract json.RawMessage `json:"io.enichain/contract"`
	}
	if json.Unmarshal(out.Bytes(), &said) != nil {
		return nil, nil
	}
	var told contract.Contract
	if len(said.Contract) == 0 || json.Unmarshal(said.Contract, &told) != nil || told.V != contract.V {
		return said.Versions, nil
	}
	return said.Versions, &told
}

package chain

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/cni/pkg/version"
)

// List is one network configuration as a runtime would see it: what the file says, and the drop-ins that belong to it.
type List struct {
	Path            string
	Name            string
	CNIVersion      string   // as the file has it; "" where it has none
	CNIVersions     []string // as the file has them
	DisableCheck    bool
	DisableGC       bool
	LoadOnlyInlined bool // "loadOnlyInlinedPlugins": drop-ins are not read
	Stages          []Stage
	Single          bool // one plugin's configuration (.conf, .json) that a runtime turns into a list of one

	src    *source
	inline int // stages of the file itself; those behind them are drop-ins
}

// Stage is one member of a list.
type Stage struct {
	Type   string
	Config json.RawMessage // as it stands in the file
	File   string
	Line   int // where the entry begins, from 1

	conf types.PluginConf // as libcni reads it
	src  *source
	at   *value
}

// Raw is the text of the file that the list was read from, without drop-ins.
func (l *List) Raw() []byte {
	if l.src == nil {
		return nil
	}
	return bytes.Clone(l.src.text)
}

// Version is the CNI version in which a runtime with libcni 1.2 or later speaks to the stages: the highest of
// cniVersion and cniVersions that it knows. Runtimes before that (containerd 1.7) use CNIVersion as it is.
func (l *List) Version() string {
	if l.CNIVersions == nil {
		return l.CNIVersion
	}
	best, all := l.CNIVersion, slices.Clone(l.CNIVersions)
	if l.CNIVersion != "" {
		all = append(all, l.CNIVersion)
	}
	found := false
	for _, v := range all {
		if tooNew, err := version.GreaterThan(v, version.Current()); err != nil || tooNew {
			continue
		}
		if later, _ := version.GreaterThan(v, best); !found || later {
			best, found = v, true
		}
	}
	return best
}

// Member is the value of one key of a stage's configuration.
func (s Stage) Member(key string) (json.RawMessage, bool) { return memberOf(s.Config, key) }

func memberOf(object json.RawMessage, key string) (json.RawMessage, bool) {
	var all map[string]json.RawMessage
	if json.Unmarshal(object, &all) != nil {
		return nil, false
	}
	raw, ok := all[key]
	return raw, ok
}

// Capabilities are the names that the stage's configuration switches on, sorted.
func (s Stage) Capabilities() []string {
	var out []string
	for name, on := range s.conf.Capabilities {
		if on {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// Delegate is the plugin that "ipam" names, "" where there is none.
func (s Stage) Delegate() string { return s.conf.IPAM.Type }

// line is where a key of the stage's configuration stands; the stage's own line where the key is not there.
func (s Stage) line(path ...string) int {
	line, at := s.Line, s.at
	for _, key := range path {
		m, ok := at.member(key)
		if !ok {
			break
		}
		line, at = s.src.line(m.start), m.value
	}
	return line
}

// Codes of what keeps a file from being read at all.
const (
	codeRead    = "C001"
	codeJSON    = "C002"
	codeNetwork = "C003"
	codeTwice   = "C004"
)

// Load reads one file as a runtime does: a .conflist with the drop-ins of its network, a .conf or .json as a single
// plugin's configuration, and any other by what is in it. The list is nil where a runtime would refuse the file; the
// problems then say why. It follows libcni 1.3; a test compares the two.
func Load(path string) (*List, []Problem) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, []Problem{{File: path, Code: codeRead, Severity: Error, Text: unread(err)}}
	}
	return LoadText(path, text)
}

// LoadText is Load of a file that would hold this text: drop-ins are read from beside path.
func LoadText(path string, text []byte) (*List, []Problem) {
	l, problems := Parse(path, text)
	if l == nil || l.Single {
		return l, problems
	}
	if !l.LoadOnlyInlined {
		more := l.dropIns(filepath.Join(filepath.Dir(path), l.Name))
		problems = append(problems, more...)
	}
	if len(l.Stages) == 0 && Errors(problems, false) == 0 {
		problems = append(problems, Problem{File: path, Line: l.line(), Code: codeNetwork, Severity: Error,
			Key:  "plugins",
			Text: "the list has no stages", Why: "there is no key \"plugins\", and no drop-in " + filepath.Join(filepath.Dir(path), l.Name, "*.conf"),
			Fixes: []string{`"plugins": [ { "type": "eni-ipam" }, { "type": "routed-veth" } ]`}})
	}
	if Errors(problems, false) > 0 {
		return nil, problems
	}
	return l, problems
}

func unread(err error) string {
	var at *os.PathError
	if errors.As(err, &at) {
		err = at.Err
	}
	return fmt.Sprintf("cannot read the file: %v", err)
}

func (l *List) line(path ...string) int {
	if l.src == nil || l.src.root == nil {
		return 0
	}
	return Stage{Line: l.src.line(l.src.root.start), src: l.src, at: l.src.root}.line(path...)
}

// dropIns appends the plugins of the folder that bears the network's name.
func (l *List) dropIns(dir string) []Problem {
	files, err := confFiles(dir, ".conf")
	if err != nil {
		return []Problem{{File: dir, Code: codeRead, Severity: Error, Text: unread(err),
			Why: "the network's drop-ins are there, and without them it is not loaded"}}
	}
	var problems []Problem
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			problems = append(problems, Problem{File: file, Code: codeRead, Severity: Error, Text: unread(err)})
			continue
		}
		src, more := readSource(file, text)
		problems = append(problems, more...)
		if src.root == nil {
			continue
		}
		stage, more := newStage(src, src.root, len(l.Stages)+1, alone)
		problems = append(problems, more...)
		l.Stages = append(l.Stages, stage)
	}
	return problems
}

// confFiles lists the files of a folder with one of the suffixes, in the order of their names; none where there is no
// folder.
func confFiles(dir string, suffixes ...string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	var out []string
	for _, e := range entries {
		if !e.IsDir() && slices.Contains(suffixes, filepath.Ext(e.Name())) {
			out = append(out, filepath.Join(dir, e.Name()))
		}
	}
	return out, err
}

// Parse reads a text as a runtime does, without drop-ins, which only a file can have. The name's suffix says whether it
// is a list (.conflist) or a single plugin's configuration (.conf, .json); for any other name the content decides.
// A list without "plugins" is no fault here: drop-ins may bring all of them.
func Parse(name string, text []byte) (*List, []Problem) {
	src, problems := readSource(name, text)
	if src.root == nil {
		return nil, problems
	}
	l := &List{Path: name, src: src, Single: single(src)}
	if l.Single {
		problems = append(problems, l.readSingle()...)
	} else {
		problems = append(problems, l.readList()...)
	}
	if Errors(problems, false) > 0 {
		return nil, problems
	}
	l.inline = len(l.Stages)
	return l, problems
}

// readSource finds the values of a text, and says where it is no JSON or a key stands twice.
func readSource(name string, text []byte) (*source, []Problem) {
	src, err := read(name, text)
	if err == nil {
		var problems []Problem
		for _, m := range src.root.repeated() {
			problems = append(problems, Problem{File: name, Line: src.line(m.start), Key: m.key, Code: codeTwice,
				Severity: Warning,
				Text:     "the key stands twice in one object; this one is not read", Why: "only the last counts", Fixes: []string{"take one of them out"}})
		}
		return src, problems
	}
	p := Problem{File: name, Code: codeJSON, Severity: Error, Text: "not JSON: " + err.Error(),
		Why: "a runtime reads nothing of it"}
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		p.Line = src.line(int(syntax.Offset) - 1)
	}
	if len(bytes.TrimSpace(text)) == 0 {
		p.Text = "the file is empty"
	}
	return src, []Problem{p}
}

// single says which of the two forms a text has.
func single(src *source) bool {
	switch filepath.Ext(src.file) {
	case ".conflist":
		return false
	case ".conf", ".json":
		return true
	}
	_, list := src.root.member("plugins")
	_, one := src.root.member("type")
	return one && !list
}

// readSingle reads one plugin's configuration, of which a runtime makes a list of one.
func (l *List) readSingle() []Problem {
	stage, problems := newStage(l.src, l.src.root, 1, alone)
	if Errors(problems, false) > 0 {
		if _, list := l.src.root.member("plugins"); list && stage.Type == "" {
			problems = problems[:1]
			problems[0].Text = `a list in a file whose suffix is for one plugin's configuration: a runtime looks for "type" and finds none`
			problems[0].Fixes = []string{"mv " + l.Path + " " + strings.TrimSuffix(l.Path,
				filepath.Ext(l.Path)) + ".conflist"}
		}
		return problems
	}
	l.Name, l.CNIVersion = stage.conf.Name, stage.conf.CNIVersion
	stage, problems = newStage(l.src, l.src.root, 1, listed) // what is made of it
	l.Stages = []Stage{stage}
	return problems
}

// The two ways in which libcni reads a plugin's configuration; they differ where a key stands twice.
func alone(raw []byte, into *types.PluginConf) error { return json.Unmarshal(raw, into) }

func listed(raw []byte, into *types.PluginConf) error {
	var loose any
	if err := json.Unmarshal(raw, &loose); err != nil {
		return err
	}
	again, err := json.Marshal(loose)
	if err != nil {
		return err
	}
	return json.Unmarshal(again, into)
}

const refusedWhy = "libcni refuses the file, and with it the network"

// newStage reads one plugin's configuration.
func newStage(src *source, at *value, number int, form func([]byte, *types.PluginConf) error) (Stage, []Problem) {
	s := Stage{Config: slices.Clone(src.bytes(at)), File: src.file, Line: src.line(at.start), src: src, at: at}
	p := Problem{File: s.File, Line: s.Line, Stage: number, Code: codeNetwork, Severity: Error, Why: refusedWhy}
	err := form(s.Config, &s.conf)
	s.Type = s.conf.Type
	p.Type = s.Type
	var mismatch *json.UnmarshalTypeError
	switch {
	case errors.As(err, &mismatch) && mismatch.Field != "":
		p.Key = mismatch.Field
		p.Line = s.line(strings.Split(mismatch.Field, ".")...)
		p.Text = "want " + jsonKind(mismatch) + ", got a JSON " + mismatch.Value
	case err != nil:
		p.Text = "want an object with \"type\", got " + brief(s.Config)
	case s.Type == "":
		p.Key, p.Text = "type", "the stage does not say which plugin it is"
		p.Fixes = []string{`"type": "routed-veth"`}
	default:
		return s, nil
	}
	return s, []Problem{p}
}

// jsonKind says in JSON's words what a Go field wants.
func jsonKind(m *json.UnmarshalTypeError) string {
	switch kind := m.Type.Kind().String(); kind {
	case "string":
		return "a string"
	case "bool":
		return "true or false"
	case "slice":
		return "a list"
	case "map", "struct":
		return "an object"
	default:
		return "a " + kind
	}
}

// brief is a value in few characters.
func brief(raw []byte) string {
	var b bytes.Buffer
	if json.Compact(&b, raw) != nil {
		return strconv.Quote(string(raw))
	}
	if b.Len() > 60 {
		return strings.ToValidUTF8(string(b.Bytes()[:57]), "") + "…"
	}
	return b.String()
}

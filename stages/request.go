package stages

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"unicode"
)

// The commands (CNI specification, section 2).
const (
	cmdAdd     = "ADD"
	cmdDel     = "DEL"
	cmdCheck   = "CHECK"
	cmdGC      = "GC"
	cmdStatus  = "STATUS"
	cmdVersion = "VERSION"
)

const (
	keyValid       = "cni.dev/valid-attachments"
	keyValidLegacy = "cni.dev/attachments" // libcni writes it beside the other
	maxIfName      = 15                    // bytes; IFNAMSIZ - 1
)

func perAttachment(command string) bool {
	return command == cmdAdd || command == cmdDel || command == cmdCheck
}

// parser reads one call. A DEL is forgiven what nothing of ours depends on (notes), because a runtime repeats it until
// it succeeds.
type parser struct {
	getenv func(string) string
	notes  []string
	r      *Request
}

// parse reads a call from the environment and standard input. Even with an error the request carries what was
// understood, for the error's cniVersion and the flight record.
func parse(command string, getenv func(string) string, environ []string, stdin []byte) (*Request, []string, *Error) {
	p := &parser{
		getenv: getenv,
		r:      &Request{Command: command, Config: stdin, Environ: environ},
	}
	if err := p.configuration(stdin); err != nil {
		return p.r, nil, err
	}
	if err := p.environment(); err != nil {
		return p.r, nil, err
	}
	if err := p.prevResult(); err != nil {
		return p.r, nil, err
	}
	if command == cmdGC {
		if err := p.valid(); err != nil {
			return p.r, nil, err
		}
	}
	return p.r, p.notes, nil
}

func (p *parser) configuration(stdin []byte) *Error {
	r := p.r
	members, err := objectMembers(stdin)
	if err != nil {
		return Errorf(Config, "standard input is not a network configuration: %w", err).WithCode(6)
	}
	r.members = members
	var faults []string
	for _, m := range []struct {
		key  string
		into *string
	}{{"cniVersion", &r.Version}, {"name", &r.Network}, {"type", &r.Type}} {
		raw, ok := members[m.key]
		if !ok {
			continue
		}
		if err := decodeString(raw, m.into); err != nil {
			faults = append(faults, m.key+": want a string, got "+brief(raw))
		}
	}
	if len(faults) == 0 && !slices.Contains(Versions(), r.Version) {
		v := Errorf(Version, "cniVersion %q: this stage speaks %s", r.Version, strings.Join(Versions(), ", "))
		r.Version = ""
		return v
	}
	switch {
	case len(faults) > 0:
	case r.Network == "":
		faults = append(faults, "name: the network's name is missing")
	case !named(r.Network):
		faults = append(faults, "name: "+quote(r.Network)+" may hold letters, digits, '_', '.' and '-', and starts with a letter or digit")
	}
	if r.Command == cmdCheck && (r.Version == "0.3.0" || r.Version == "0.3.1") {
		return Errorf(Version, "cniVersion %s has no CHECK: it came with 0.4.0", r.Version)
	}
	if len(faults) > 0 {
		return Errorf(Config, "%s", strings.Join(faults, "; "))
	}
	return nil
}

func (p *parser) environment() *Error {
	r := p.r
	for dir := range strings.SplitSeq(p.getenv("CNI_PATH"), ":") {
		if dir != "" {
			r.Path = append(r.Path, dir)
		}
	}
	if !perAttachment(r.Command) {
		return nil
	}
	r.Container, r.IfName, r.Netns = p.getenv("CNI_CONTAINERID"), p.getenv("CNI_IFNAME"), p.getenv("CNI_NETNS")
	var missing, faults []string
	for _, v := range []struct{ name, value string }{
		{"CNI_CONTAINERID", r.Container}, {"CNI_NETNS", r.Netns}, {"CNI_IFNAME", r.IfName},
	} {
		if v.value == "" && (v.name != "CNI_NETNS" || r.Command != cmdDel) {
			missing = append(missing, v.name)
		}
	}
	if len(missing) > 0 {
		faults = append(faults, r.Command+" needs "+strings.Join(missing, ", "))
	}
	if r.Container != "" && !named(r.Container) {
		faults = append(faults, "CNI_CONTAINERID="+quote(r.Container)+" may hold letters, digits, '_', '.' and '-', and starts with a letter or digit")
	}
	if f := ifNameFault(r.IfName); r.IfName != "" && f != "" {
		faults = append(faults, "CNI_IFNAME="+quote(r.IfName)+" "+f)
	}
	faults = append(faults, p.args()...)
	if len(faults) > 0 {
		return Errorf(Env, "%s", strings.Join(faults, "; "))
	}
	return nil
}

// named says whether a text may be a container id or a network's name (CNI specification, "Section 2, Parameters").
func named(text string) bool {
	for i, c := range []byte(text) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && (i == 0 || c != '_' && c != '.' && c != '-') {
			return false
		}
	}
	return text != ""
}

func ifNameFault(name string) string {
	switch {
	case len(name) > maxIfName:
		return "is longer than 15 bytes"
	case name == "." || name == "..":
		return "is no interface name"
	case strings.ContainsFunc(name, func(c rune) bool { return c == '/' || c == ':' || unicode.IsSpace(c) || unicode.IsControl(c) }):
		return "may not hold '/', ':' or white space"
	}
	return ""
}

// args reads CNI_ARGS, "K=V;K=V". Keys that nobody asks for are ignored, with and without IgnoreUnknown.
func (p *parser) args() (faults []string) {
	r := p.r
	r.Args = map[string]string{}
	for pair := range strings.SplitSeq(p.getenv("CNI_ARGS"), ";") {
		if pair == "" {
			continue // a semicolon at the end is common
		}
		key, value, ok := strings.Cut(pair, "=")
		if ok && key != "" {
			r.Args[key] = value
			continue
		}
		fault := "CNI_ARGS: " + quote(pair) + " is not KEY=value"
		if r.Command == cmdDel {
			p.notes = append(p.notes, fault)
			continue
		}
		faults = append(faults, fault)
	}
	r.Pod = Pod{Namespace: r.Args["K8S_POD_NAMESPACE"], Name: r.Args["K8S_POD_NAME"]}
	return faults
}

func (p *parser) prevResult() *Error {
	raw, ok := p.r.members["prevResult"]
	if !ok || isNull(raw) {
		return nil
	}
	prev, err := readResult(raw, p.r.Version)
	if err == nil {
		p.r.Prev = prev
		return nil
	}
	if p.r.Command == cmdDel {
		p.notes = append(p.notes, "prevResult is left aside: "+err.Error())
		return nil
	}
	return Errorf(PrevResult, "cannot read prevResult for %s: %w", p.r.Attachment, err)
}

// valid reads the three shapes of a GC's list: none at all (Valid stays nil), null, and a list.
func (p *parser) valid() *Error {
	raw, ok := p.r.members[keyValid]
	legacy, also := p.r.members[keyValidLegacy]
	if ok && also && !sameJSON(raw, legacy) {
		return Errorf(Config, "%s and %s differ: nothing is collected", keyValid, keyValidLegacy)
	}
	key := keyValid
	if !ok {
		raw, key = legacy, keyValidLegacy
	}
	if !ok && !also {
		p.notes = append(p.notes, "no "+keyValid+": nothing is collected")
		return nil
	}
	var list []struct {
		ContainerID string `json:"containerID"`
		IfName      string `json:"ifname"`
	}
	if err := json.Unmarshal(raw, &list); err != nil {
		return Errorf(Config, "%s: want a list of {containerID, ifname}, got %s: nothing is collected", key, brief(raw))
	}
	p.r.Valid = []Attachment{}
	for i, a := range list {
		if a.ContainerID == "" || a.IfName == "" {
			return Errorf(Config, "%s[%d]: containerID and ifname must be there: nothing is collected", key, i)
		}
		p.r.Valid = append(p.r.Valid, Attachment{Network: p.r.Network, Container: a.ContainerID, IfName: a.IfName})
	}
	return nil
}

// Member is one member of the network configuration as it came.
func (r *Request) Member(key string) (json.RawMessage, bool) {
	if err := r.split(); err != nil {
		return nil, false
	}
	raw, ok := r.members[key]
	return raw, ok
}

// split takes the configuration apart once. Requests that a test or a tool made by hand come without members.
func (r *Request) split() error {
	if r.members != nil {
		return nil
	}
	members, err := objectMembers(r.Config)
	if err != nil {
		return err
	}
	r.members = members
	return nil
}

func isNull(raw []byte) bool { return string(bytes.TrimSpace(raw)) == "null" }

func sameJSON(a, b []byte) bool {
	var x, y bytes.Buffer
	return json.Compact(&x, a) == nil && json.Compact(&y, b) == nil && bytes.Equal(x.Bytes(), y.Bytes())
}

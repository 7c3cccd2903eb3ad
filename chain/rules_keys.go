package chain

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/enichain/enichain/chain/contract"
	"github.com/enichain/enichain/chain/spelling"
)

// listKeys are the members of a list that runtimes read.
func listKeys() []string {
	return []string{"cniVersion", "cniVersions", "name", "plugins", "disableCheck", "disableGC",
		"loadOnlyInlinedPlugins"}
}

// runtimeKey says whether a member of a stage's configuration is the runtime's, libcni's or the specification's.
func runtimeKey(key string) bool {
	switch key {
	case "cniVersion", "cniVersions", "name", "type", "prevResult", "runtimeConfig", "args", "capabilities", "disableCheck", "disableGC",
		"loadOnlyInlinedPlugins":
		return true
	}
	return strings.HasPrefix(key, "cni.dev/") || strings.HasPrefix(key, "io.kubernetes.")
}

// ruleListKeys: a member of the list that nobody reads is very likely a slip.
func ruleListKeys(j *judge) {
	if j.l.Single || j.l.src == nil {
		return
	}
	for _, m := range j.l.src.root.members {
		if slices.Contains(listKeys(), m.key) {
			continue
		}
		p := Problem{Code: "C106", Severity: Warning, Text: "is no key of a list, and nobody reads it"}
		if near := spelling.Nearest(m.key, listKeys()); near != "" {
			p.Fixes = []string{strconv.Quote(near)}
		} else if slices.Contains([]string{"capabilities", "ipam", "type", "runtimeConfig", "mtu"}, m.key) {
			p.Fixes = []string{"put it into the stage that it is for"}
		} else {
			continue // a note of the author's, or another program's
		}
		j.list(m.key, p)
	}
}

var networkName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.\-]*$`) // cni/pkg/utils/utils.go

// ruleNames: libcni refuses other names at every verb.
func ruleNames(j *judge) {
	if !networkName.MatchString(j.l.Name) {
		p := Problem{Code: "C116", Severity: Error,
			Text: "want letters, digits, '_', '.' and '-', beginning with a letter or digit, got " + strconv.Quote(j.l.Name),
			Why:  "libcni refuses the network at every verb", Fixes: []string{`"name": "enichain"`}}
		if j.l.Name == "" {
			p.Text = "the network has no name"
		}
		j.list("name", p)
	}
	for _, s := range j.steps {
		if strings.ContainsRune(s.Type, '/') || s.Type == "." || s.Type == ".." {
			j.stage(s, "type", Problem{Code: "C116", Severity: Error,
				Text: "want the name of a file in CNI_PATH, got " + strconv.Quote(s.Type),
				Why:  "libcni refuses to look for it"})
		}
	}
}

// ruleKnown: a stage of which nobody knows anything cannot be judged, and one that is not there cannot be run.
func ruleKnown(j *judge, s *step) {
	if !s.fused() { // else it is said once, of the whole entry
		j.knownOne(s, "type", s.Type, s.known)
	}
	if s.delegate != nil {
		j.knownOne(s, "ipam.type", s.Delegate(), *s.delegate)
	}
}

func (j *judge) knownOne(s *step, key, plugin string, k Known) {
	switch {
	case k.Missing:
		p := Problem{Code: "C115", Severity: Warning, Text: plugin + " is not in CNI_PATH",
			Why:   "its ADD fails where it is not installed",
			Fixes: []string{"install it, or say where it is: --cni-path DIR"}}
		if j.options.Runtime == CRIO {
			p.Severity, p.Why = Error, "CRI-O asks every plugin for VERSION and does not load the list"
		}
		if near := spelling.Nearest(plugin, j.plugins); near != "" {
			p.Fixes = append([]string{fmt.Sprintf(`"type": %q`, near)}, p.Fixes...)
		}
		if k.Foreign() {
			p.Text += ", and nothing is known of what it needs and adds"
		}
		j.stage(s, key, p)
	case k.Foreign():
		j.stage(s, key, Problem{Code: "C114", Severity: Warning,
			Text: "nothing is known of what " + plugin + " needs and adds; what depends on that is not judged",
			Why:  "it does not tell a contract in VERSION, and is none of the plugins that enichain knows"})
	}
}

// ruleKeys: every key is one that the stage reads, with a value that it takes.
func ruleKeys(j *judge, s *step) {
	if s.known.Foreign() || s.at == nil {
		return
	}
	own := keyed{known: s.known, plugin: s.Type}
	j.keys(s, s.at, own, nil)
	ipam, ok := s.at.member("ipam")
	switch {
	case !ok || len(ipam.value.members) == 0:
	case s.delegate != nil && s.delegate.told():
		j.keys(s, ipam.value, keyed{known: *s.delegate, plugin: s.Delegate(), inside: true}, []string{"ipam"})
	case s.known.told() && s.known.Delegates == contract.NoDelegate && s.known.Keys["ipam"] != "":
		own.inside = true
		j.keys(s, ipam.value, own, []string{"ipam"})
	}
}

// keyed is whose keys are looked at.
type keyed struct {
	known  Known
	plugin string
	inside bool // of an "ipam" object
}

// find is what the contract says of a key. Go's own decoder, which upstream's plugins use, does not tell letter cases
// apart; enichain's does.
func (k keyed) find(key string) (words string, ok bool) {
	if k.known.told() {
		words, ok = k.known.Keys[key]
		return words, ok
	}
	for known, words := range k.known.Keys {
		if strings.EqualFold(known, key) {
			return words, true
		}
	}
	return "", false
}

// ignores says whether a key is not the plugin's affair.
func (k keyed) ignores(key string) bool {
	if k.inside {
		return key == "type"
	}
	return runtimeKey(key) && k.known.Keys[key] == "" || key == "ipam" && k.known.Delegates != contract.NoDelegate && k.known.Keys["ipam"] == ""
}

func (j *judge) keys(s *step, object *value, k keyed, path []string) {
	for i, m := range object.members {
		if later, ok := object.member(m.key); !ok || later.start != object.members[i].start || k.ignores(m.key) {
			continue // the last of those that stand twice counts
		}
		at := strings.Join(append(slices.Clone(path), m.key), ".")
		raw := json.RawMessage(s.src.bytes(m.value))
		words, ok := k.find(m.key)
		if !ok {
			j.unknownKey(s, at, m.key, k)
			continue
		}
		if !k.known.told() && string(raw) == `""` {
			continue // Go's decoders leave the default
		}
		if kind := readKind(words); !kind.takes(raw) {
			j.stage(s, at, Problem{Code: "C107", Severity: Error, Text: fmt.Sprintf("want %s, got %s", kind.words,
				brief(raw)),
				Why: k.plugin + " refuses it, and no pod starts"})
		}
	}
}

// unknownKey: our skeleton refuses a key that the stage does not know; upstream's plugins read on without it.
func (j *judge) unknownKey(s *step, at, key string, k keyed) {
	candidates := keysOf(k.known.Keys)
	near := spelling.Nearest(key, append(candidates, "capabilities", "runtimeConfig", "args"))
	p := Problem{Code: "C106", Severity: Error, Text: k.plugin + " knows no such key",
		Why: "it refuses the list, and no pod starts"}
	if !k.known.told() {
		if near == "" && !complete(k.plugin) {
			return
		}
		p.Severity, p.Why = Warning, "it reads on without it, and does not say so"
	}
	switch {
	case near != "":
		p.Fixes = []string{strconv.Quote(near)}
	case len(candidates) > 0:
		p.Fixes = []string{"one of " + strings.Join(candidates, ", ")}
	default:
		p.Fixes = []string{"take it out: " + k.plugin + " has no keys of its own"}
	}
	j.stage(s, at, p)
}

// complete says whether all keys of a plugin that tells no contract are known. Those of whole products are known from
// their documentation, which does not name them all.
func complete(plugin string) bool {
	switch plugin {
	case "aws-cni", "egress-cni", "cilium-cni", "calico", "calico-ipam", "multus", "flannel", "istio-cni":
		return false
	}
	return true
}

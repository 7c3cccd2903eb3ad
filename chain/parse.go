package chain

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/containernetworking/cni/pkg/version"
)

// readList reads a list as libcni.NetworkConfFromBytes does, but goes on after the first fault.
func (l *List) readList() []Problem {
	if l.src.text[l.src.root.start] != '{' {
		return []Problem{l.fault("", "want an object, got "+brief(l.src.bytes(l.src.root)))}
	}
	var problems []Problem
	report := func(key, text string, fixes ...string) {
		p := l.fault(key, text)
		p.Fixes = fixes
		problems = append(problems, p)
	}
	if raw, ok := l.member("name"); !ok {
		report("name", "the network has no name", `"name": "enichain"`)
	} else if l.Name, ok = text(raw); !ok {
		report("name", "want a string, got "+brief(raw))
	}
	if raw, ok := l.member("cniVersion"); ok {
		if l.CNIVersion, ok = text(raw); !ok {
			report("cniVersion", `want a string such as "1.0.0", got `+brief(raw))
		}
	}
	l.readVersions(report)
	for key, into := range map[string]*bool{"disableCheck": &l.DisableCheck, "disableGC": &l.DisableGC,
		"loadOnlyInlinedPlugins": &l.LoadOnlyInlined} {
		if raw, ok := l.member(key); ok {
			if *into, ok = truth(raw); !ok {
				report(key, "want true or false, got "+brief(raw))
			}
		}
	}
	return append(problems, l.readStages(report)...)
}

func (l *List) readStages(report func(key, text string, fixes ...string)) []Problem {
	m, ok := l.src.root.member("plugins")
	switch {
	case !ok && l.LoadOnlyInlined:
		report("loadOnlyInlinedPlugins", `is true, so drop-ins are not read, and there is no key "plugins"`)
		return nil
	case !ok:
		return nil
	case l.src.text[m.value.start] != '[':
		report("plugins", "want a list of stages, got "+brief(l.src.bytes(m.value)))
		return nil
	case len(m.value.items) == 0:
		report("plugins", "the list has no stages")
		return nil
	}
	var problems []Problem
	for i, item := range m.value.items {
		stage, more := newStage(l.src, item, i+1, listed)
		problems = append(problems, more...)
		l.Stages = append(l.Stages, stage)
	}
	return problems
}

// readVersions reads "cniVersions"; each has to be a version, and so has cniVersion then.
func (l *List) readVersions(report func(key, text string, fixes ...string)) {
	raw, ok := l.member("cniVersions")
	if !ok {
		return
	}
	var items []json.RawMessage
	if isNull(raw) || json.Unmarshal(raw, &items) != nil {
		report("cniVersions", `want a list such as ["1.0.0", "1.1.0"], got `+brief(raw))
		return
	}
	l.CNIVersions = []string{}
	for i, item := range items {
		v, ok := text(item)
		if !ok || !isVersion(v) {
			report("cniVersions["+strconv.Itoa(i)+"]", `want a version such as "1.0.0", got `+brief(item))
			continue
		}
		l.CNIVersions = append(l.CNIVersions, v)
	}
	if l.CNIVersion != "" && !isVersion(l.CNIVersion) {
		report("cniVersion", `want a version such as "1.0.0", got `+strconv.Quote(l.CNIVersion))
	}
}

// isVersion asks libcni's own reader.
func isVersion(v string) bool {
	_, _, _, err := version.ParseVersion(v)
	return err == nil
}

func (l *List) fault(key, text string) Problem {
	first, _, _ := strings.Cut(key, "[")
	return Problem{File: l.Path, Line: l.line(first), Key: key, Code: codeNetwork, Severity: Error, Text: text,
		Why: refusedWhy}
}

func (l *List) member(key string) (json.RawMessage, bool) {
	m, ok := l.src.root.member(key)
	if !ok {
		return nil, false
	}
	return l.src.bytes(m.value), true
}

// text is a JSON string's content.
func text(raw json.RawMessage) (string, bool) {
	var s string
	if len(raw) == 0 || raw[0] != '"' {
		return "", false
	}
	return s, json.Unmarshal(raw, &s) == nil
}

// truth is a JSON boolean, or the string that libcni takes for one.
func truth(raw json.RawMessage) (on, ok bool) {
	if s, is := text(raw); is {
		s = strings.ToLower(s)
		return s == "true", s == "true" || s == "false"
	}
	return on, !isNull(raw) && json.Unmarshal(raw, &on) == nil
}

func isNull(raw json.RawMessage) bool { return string(raw) == "null" }

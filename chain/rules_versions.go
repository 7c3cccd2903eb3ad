package chain

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/containernetworking/cni/pkg/version"
)

// older says whether a version comes before another; false where one of them is none.
func older(a, b string) bool {
	after, err := version.GreaterThan(b, a)
	return err == nil && after
}

// ruleListVersion: runtimes can speak the version, and it can say what this list needs.
func ruleListVersion(j *judge) {
	v := j.version
	switch {
	case !isVersion(v):
		j.list("cniVersion", Problem{Code: "C105", Severity: Error,
			Text: `want a version such as "1.0.0", got ` + strconv.Quote(v), Why: "every plugin refuses it", Fixes: []string{versionLines}})
	case older(libcniCurrent, v):
		j.list("cniVersion", Problem{Code: "C105", Severity: Error,
			Text: v + " is newer than any that runtimes know (" + libcniCurrent + ")",
			Why:  "every plugin refuses it", Fixes: []string{versionLines}})
	case j.options.Runtime == Containerd17 && older("1.0.0", v):
		j.list("cniVersion", Problem{Code: "C105", Severity: Error, Text: "containerd 1.7 cannot read results of " + v,
			Why: "its libcni 1.1 knows 1.0.0 at most, and does not read cniVersions", Fixes: []string{versionLines}})
	case older(v, "0.3.0") && len(j.steps) > 1:
		j.list("cniVersion", Problem{Code: "C105", Severity: Error,
			Text: "before 0.3.0 a result cannot name interfaces" + undeclared(v),
			Why:  "a stage that builds on another is not told what that one made", Fixes: []string{versionLines}})
	case older(v, "0.4.0"):
		j.expectations(v)
	case older(v, "1.1.0") && j.says("disableGC", false):
		j.list("disableGC", Problem{Code: "C105", Severity: Warning,
			Text: "asks for GC, which came with 1.1.0; this list is spoken to in " + v,
			Why:  "no runtime sends GC", Fixes: []string{versionLines}})
	}
}

const versionLines = `"cniVersion": "1.0.0", "cniVersions": ["1.0.0", "1.1.0"]`

func undeclared(v string) string {
	if v == "" {
		return "; a list without cniVersion is spoken to in 0.1.0"
	}
	return ""
}

// says whether the list has a key with exactly this truth.
func (j *judge) says(key string, want bool) bool {
	if j.l.Single || j.l.src == nil {
		return false
	}
	raw, ok := j.l.member(key)
	if !ok {
		return false
	}
	is, ok := truth(raw)
	return ok && is == want
}

// expectations: before 0.4.0 there is no CHECK, and DEL is told nothing.
func (j *judge) expectations(v string) {
	for _, key := range []string{"disableCheck", "disableGC"} {
		if j.says(key, false) {
			j.list(key, Problem{Code: "C105", Severity: Error, Text: "asks for a verb that " + v + " does not have",
				Why:   "CHECK came with 0.4.0, GC with 1.1.0",
				Fixes: []string{versionLines}})
		}
	}
	for _, s := range j.steps {
		if s.known.told() && len(s.known.Verbs) == 0 {
			j.list("cniVersion", Problem{Code: "C105", Severity: Warning,
				Text: s.Type + " has CHECK, GC and STATUS, and " + cmp.Or(v, "0.1.0") + " has none of them",
				Why:  "nothing is checked, and DEL is told no prevResult", Fixes: []string{versionLines}})
			return
		}
	}
}

// ruleVersion: every stage, and its delegate, speaks the version of the list.
func ruleVersion(j *judge, s *step) {
	j.speaks(s, "type", s.Type, s.known.Versions)
	if s.delegate != nil {
		j.speaks(s, "ipam.type", s.Delegate(), s.delegate.Versions)
	}
}

func (j *judge) speaks(s *step, key, plugin string, versions []string) {
	v := cmp.Or(j.version, "0.1.0")
	if len(versions) == 0 || slices.Contains(versions, v) || !isVersion(v) || older(libcniCurrent, v) {
		return
	}
	p := Problem{Code: "C105", Severity: Error, Text: fmt.Sprintf("%s does not speak %s, only %s", plugin, v,
		strings.Join(versions, ", ")),
		Why: "it refuses ADD, and DEL as well, so that what earlier stages hold stays held"}
	if best := j.common(); best != "" {
		p.Fixes = []string{fmt.Sprintf(`"cniVersion": %q`, best)}
		if len(j.l.CNIVersions) > 0 {
			p.Fixes[0] += ", and no higher one in cniVersions"
		}
	}
	j.stage(s, key, p)
}

// common is the best version that every stage speaks, for all runtimes; "" where there is none from 0.3.0 on.
func (j *judge) common() string {
	for _, v := range []string{"1.0.0", "1.1.0", "0.4.0", "0.3.1", "0.3.0"} { // containerd 1.7 cannot read 1.1.0
		all := true
		for _, s := range j.steps {
			all = all && (len(s.known.Versions) == 0 || slices.Contains(s.known.Versions, v))
			if s.delegate != nil {
				all = all && (len(s.delegate.Versions) == 0 || slices.Contains(s.delegate.Versions, v))
			}
		}
		if all {
			return v
		}
	}
	return ""
}

package conformance

import (
	"cmp"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"time"
)

// processSuite is about the process: exit code, streams, and the verbs that need no container.
func processSuite() []Assertion {
	return []Assertion{
		{"C1", every, Must, "Section 2, Errors", "A plugin must exit with a return code of 0 on success, and non-zero on failure.", exitCodes},
		{"C2", every, Should, "Section 5, Error", "On an error a plugin should output a JSON object with a numeric code and a msg: one object, and nothing beside it.", oneErrorObject},
		{"C3", every, Should, "Section 5, Error", "The error object has the key cniVersion: the protocol version in use.", errorVersion},
		{"C4", every, Must, "Section 2, CNI operations; Section 5", "ADD prints one result on standard out; DEL, CHECK, GC and STATUS print nothing there on success.", cleanOutput},
		{"C5", every, Convention, "libcni, pkg/invoke", "A failure says why on standard out: runtimes do not show standard error when it fails.", reasonOnStdout},
		{"C6", every, Convention, "libcni, pkg/invoke", "Hostile input ends in an error object, never in a crash.", neverCrashes},
		{"C7", every, Must, "Section 5, Version", "VERSION prints a JSON object with cniVersion and supportedVersions, a list.", versionAnswer},
		{"C8", every, Convention, "Section 1, Version considerations", "supportedVersions are versions of the specification, each once, with all that the plugin's documentation promises.", versionList},
		{"C9", every, Convention, "libcni, pkg/invoke", "VERSION needs no container id, and takes any CNI_NETNS, CNI_IFNAME and CNI_PATH.", versionByItself},
		{"C27", every, Must, "Section 5, Version", "VERSION's cniVersion is the value of cniVersion specified on input.", versionEchoes},
		{"C28", every, Convention, "libcni, pkg/skel", "Without CNI_COMMAND the plugin says on standard error what it is; standard out stays empty.", byHand},
		{"C31", every, Convention, "libcni, pkg/skel", "VERSION answers though standard input stays open.", versionUnfed},
	}
}

// failing are calls that every plugin has to refuse.
func (t *trial) failing() []*call {
	a := t.attach()
	calls := []*call{
		t.call("ADD", a).text("{"),
		t.call("ADD", a).set("name", nil),
		t.call("ADD", a).set("cniVersion", foreignVersion),
		t.call("ADD", a).let("CNI_CONTAINERID", "-").let("CNI_NETNS", "-").let("CNI_IFNAME", "-"),
		t.call("DEL", a).text("{"),
		t.call("NONE", a),
	}
	if t.version >= "0.4.0" {
		calls = append(calls, t.call("CHECK", a).text("{"))
	}
	if t.speaks("1.1.0") {
		calls = append(calls, t.call("GC", a).text("{"), t.call("STATUS", a).text("{"))
	}
	return append(calls, t.call("ADD", a).let("CNI_NETNS", ownNetns))
}

const (
	foreignVersion = "99.0.0"            // a version that nobody speaks
	ownNetns       = "/proc/self/ns/net" // the plugin's own namespace
)

func exitCodes(t *trial) {
	a := t.attach()
	for _, c := range []*call{t.call("VERSION", a), t.call("ADD", a)} {
		got := c.run()
		t.expect(got.refused || got.exit == 0, "exit code 0 with a success", "%s: %s", c.verb, got.says())
	}
	for _, c := range t.failing() {
		got := c.run()
		t.expect(got.exit != 0 || !got.refused, "a non-zero exit code with an error", "%s: %s", c.verb, got.says())
	}
}

func oneErrorObject(t *trial) {
	for _, c := range t.failing() {
		got := c.run()
		if !got.refused || got.stdout == "" {
			continue
		}
		var only map[string]any
		err := json.Unmarshal([]byte(got.stdout), &only)
		t.expect(err == nil, "exactly one JSON object on standard out", "%s: %s", c.verb, got.says())
		t.expect(got.fault.numeric && got.fault.msg != "", "an error object with a numeric code and a msg", "%s: %s", c.verb, got.says())
	}
}

func errorVersion(t *trial) {
	for _, c := range t.failing() {
		if got := c.run(); got.refused && got.fault.msg != "" {
			t.expect(text(got.out, "cniVersion") != "", "cniVersion in the error object", "%s: %s", c.verb, got.says())
		}
	}
}

func cleanOutput(t *trial) {
	a := t.attach()
	add := t.call("ADD", a).run()
	if add.refused {
		t.skip("ADD fails (A1): %s", add.says())
	}
	var result object
	t.expect(json.Unmarshal([]byte(add.stdout), &result) == nil, "one JSON object on standard out of ADD", "%s", add.says())
	silent := []*call{t.call("DEL", a).set("prevResult", result)}
	if t.version >= "0.4.0" {
		silent = append([]*call{t.call("CHECK", a).set("prevResult", result)}, silent...)
	}
	if t.speaks("1.1.0") {
		silent = append([]*call{t.call("STATUS", a), t.valid(a)}, silent...)
	}
	for _, c := range silent {
		if got := c.run(); !got.refused {
			t.expect(got.stdout == "", "nothing on standard out", "%s: %s", c.verb, got.says())
		}
	}
}

func reasonOnStdout(t *trial) {
	for _, c := range t.failing() {
		if got := c.run(); got.exit != 0 {
			t.expect(got.stdout != "", "the reason on standard out", "%s: %s", c.verb, got.says())
		}
	}
}

// hostile are members of a configuration that no runtime sends, but a list's author may.
func hostile() []object {
	ips := func(v any) object { return object{"prevResult": object{"cniVersion": "1.0.0", "ips": v}} }
	return []object{
		{"prevResult": nil}, {"prevResult": object{}}, {"prevResult": "x"}, {"prevResult": []any{}}, {"prevResult": object{"cniVersion": 1}},
		ips([]any{nil}), ips([]any{object{}}), ips([]any{object{"address": "10.0.0.1/24", "interface": 7}}),
		ips([]any{object{"address": "10.0.0.1/24", "interface": -1}}), ips("x"),
		{"prevResult": object{"cniVersion": "1.0.0", "interfaces": []any{nil}}}, {"prevResult": object{"cniVersion": "1.0.0", "routes": []any{nil}}},
		{"ipam": nil}, {"ipam": 7}, {"ipam": object{}}, {"ipam": object{"type": ""}}, {"ipam": object{"type": "../../bin/sh"}},
		{"args": 7}, {"runtimeConfig": 7}, {"dns": "x"}, {"name": strings.Repeat("n", 300)}, {"type": ""},
	}
}

func neverCrashes(t *trial) {
	for _, members := range hostile() {
		a := t.attach()
		c := t.call("ADD", a)
		for k, v := range members {
			c.set(k, v)
		}
		got := c.run()
		crashed := got.signal != 0 || got.hung || strings.Contains(got.stderr, "panic:") || strings.Contains(got.stderr, "goroutine 1 [")
		t.expect(!crashed, "an error object or a result", "%s", got.says())
	}
}

func (t *trial) versions(c *call) (object, []string) {
	got := c.run()
	t.expect(got.exit == 0, "exit code 0", "%s", got.says())
	var out struct {
		CNIVersion        string   `json:"cniVersion"`
		SupportedVersions []string `json:"supportedVersions"`
	}
	err := json.Unmarshal([]byte(got.stdout), &out)
	t.expect(err == nil, "a JSON object with cniVersion, a string, and supportedVersions, a list of strings", "%s", got.says())
	t.expect(out.CNIVersion != "" && len(out.SupportedVersions) > 0, "cniVersion and supportedVersions", "%s", got.says())
	return got.out, out.SupportedVersions
}

func versionAnswer(t *trial) {
	t.versions(t.call("VERSION", attachment{}))
	t.versions(t.call("VERSION", attachment{}).set("cniVersion", "9.9.9"))
}

// semantic is a version as the specification's are.
var semantic = regexp.MustCompile(`^\d+\.\d+\.\d+(-[0-9A-Za-z.]+)?$`)

func versionList(t *trial) {
	_, versions := t.versions(t.call("VERSION", attachment{}))
	for i, v := range versions {
		t.expect(semantic.MatchString(v), "semantic versions", "%q", v)
		t.expect(!slices.Contains(versions[:i], v), "each version once", "%v", versions)
	}
	for _, v := range t.p.Versions {
		t.expect(slices.Contains(versions, v), v+", which the documentation promises", "%v", versions)
	}
}

func versionByItself(t *trial) {
	t.versions(t.call("VERSION", attachment{}).let("CNI_PATH", "dummy").let("CNI_NETNS", "dummy").let("CNI_IFNAME", "dummy"))
}

func versionEchoes(t *trial) {
	for _, v := range []string{cmp.Or(t.version, "1.0.0"), "0.4.0"} {
		out, _ := t.versions(t.call("VERSION", attachment{}).set("cniVersion", v))
		t.expect(text(out, "cniVersion") == v, "cniVersion "+v, "cniVersion %s", text(out, "cniVersion"))
	}
}

func byHand(t *trial) {
	c := t.call("", attachment{}).let("CNI_COMMAND", "-").text("")
	got := c.run()
	t.expect(got.stdout == "" && got.stderr != "", "nothing on standard out, words on standard error", "%s; stderr: %s", got.says(), brief(got.stderr))
}

func versionUnfed(t *trial) {
	c := t.call("VERSION", attachment{})
	c.hold = true
	got := c.start().within(5 * time.Second)
	t.expect(!got.hung, "an answer within 5 s", "none: it waits for standard input")
}

package conformance

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// inputSuite is about what a plugin refuses, with which code, and what it must not refuse.
func inputSuite() []Assertion {
	return []Assertion{
		{"C10", every, Must, "Section 5, Error", "Code 1: incompatible CNI version.", foreignRefused},
		{"C11", every, Must, "Section 5, Error", "Code 4: invalid necessary environment variables; the message must contain their names. ADD needs CNI_CONTAINERID, CNI_NETNS and CNI_IFNAME.", variablesMissing},
		{"C12", every, Must, "Section 5, Error", "Code 4: invalid necessary environment variables, like CNI_COMMAND.", unknownCommand},
		{"C13", every, Must, "Section 2, Parameters; Section 5, Error", "A container id starts with an alphanumeric character, optionally followed by alphanumerics, underscore, dot or hyphen; what is invalid has code 4.", variablesInvalid},
		{"C14", every, Must, "Section 5, Error", "Code 6: failed to decode content; code 7: invalid network config. The name must start with an alphanumeric character.", configInvalid},
		{"C15", every, Must, "Section 5, Error", "Error codes 0-99 are reserved for well-known errors; 50 and 51 are STATUS's.", reservedCodes},
		{"C20", every, Must, "Section 3, Deriving request configuration", "Keys that a runtime inserts or passes through are accepted: runtimeConfig, args, cni.dev/*, and capabilities, which libcni leaves in.", runtimeKeys},
		{"C21", every, Convention, "CONVENTIONS.md, CNI_ARGS; kubelet", "CNI_ARGS as container runtimes send it for a pod is accepted, in any order.", podArgs},
		{"C22", every, Convention, "libcni, pkg/types", "A pair of CNI_ARGS that is none does not crash the plugin; where it is refused the message shows it.", oddArgs},
		{"C24", every, Convention, "libcni, pkg/skel", "An ADD into the plugin's own network namespace is refused before any effect.", ownNamespace},
		{"C25", every, Convention, "libcni, pkg/invoke", "TRACEPARENT, TRACESTATE and BAGGAGE in the environment are accepted.", traced},
		{"C29", every, Must, "Section 5, Error", "Code 4's error message must contain the names of invalid variables.", variablesNamed},
		{"C32", every, Must, "Section 5, Error", "Code 7: an invalid value in the network config is refused, without effect.", valuesInvalid},
		{"N2", every, Must, "Section 2, Parameters", "If the plugin is unable to use the interface name it must return an error.", longName},
	}
}

// refusal expects that a call fails with a code.
func (t *trial) refusal(c *call, code int, of string) answer {
	got := c.run()
	t.expect(got.refused, of+" is refused", "%s: %s", c.verb, got.says())
	if got.stdout != "" { // what is wrong with an empty one is C5's
		t.expect(got.fault.code == float64(code), fmt.Sprintf("%s is refused with code %d", of, code), "%s: %s", c.verb, got.says())
	}
	return got
}

// accepted expects that an ADD succeeds, unless one without anything special fails, too.
func (t *trial) accepted(c *call, expected string) answer {
	got := c.run()
	if got.refused {
		if usual := t.call("ADD", t.attach()).run(); usual.refused {
			t.skip("ADD fails (A1): %s", usual.says())
		}
	}
	t.expect(!got.refused, expected, "%s", got.says())
	return got
}

func foreignRefused(t *trial) {
	a := t.attach()
	before := t.look()
	t.refusal(t.call("ADD", a).set("cniVersion", foreignVersion), 1, "cniVersion "+foreignVersion)
	t.unchanged(before, "no effect")
}

func variablesMissing(t *trial) {
	names := []string{"CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"}
	c := t.call("ADD", t.attach())
	for _, n := range names {
		c.let(n, "-")
	}
	got := t.refusal(c, 4, "an ADD without variables")
	for _, n := range names {
		t.expect(got.stdout == "" || strings.Contains(got.fault.msg+got.fault.details, n), n+" in the message", "%s", got.says())
	}
}

func unknownCommand(t *trial) {
	t.refusal(t.call("ADD", t.attach()).let("CNI_COMMAND", "NONE"), 4, "CNI_COMMAND=NONE")
}

// invalidVariables are values that no variable of that name may have.
func invalidVariables() [][2]string {
	return [][2]string{
		{"CNI_CONTAINERID", "../x"}, {"CNI_CONTAINERID", "a b"}, {"CNI_CONTAINERID", "-a"},
		{"CNI_IFNAME", ".."}, {"CNI_IFNAME", "a/b"}, {"CNI_IFNAME", "a:b"}, {"CNI_IFNAME", "a b"},
	}
}

func variablesInvalid(t *trial) {
	a := t.attach()
	before := t.look()
	for _, v := range invalidVariables() {
		t.refusal(t.call("ADD", a).let(v[0], v[1]), 4, v[0]+"="+quoted(v[1]))
	}
	t.unchanged(before, "no effect")
}

func variablesNamed(t *trial) {
	a := t.attach()
	for _, v := range invalidVariables() {
		if got := t.call("ADD", a).let(v[0], v[1]).run(); got.refused && got.fault.code == 4 {
			t.expect(strings.Contains(got.fault.msg, v[0]), v[0]+" in msg", "%s", got.says())
		}
	}
}

func configInvalid(t *trial) {
	a := t.attach()
	before := t.look()
	for _, text := range []string{"{", `{"cniVersion":"1.0.0"`, "", "no JSON"} {
		t.refusal(t.call("ADD", a).text(text), 6, "standard input "+quoted(text))
	}
	for _, name := range []any{nil, "", "a/b", "-a"} {
		t.refusal(t.call("ADD", a).set("name", name), 7, fmt.Sprintf("name %v", name))
	}
	t.unchanged(before, "no effect")
}

func reservedCodes(t *trial) {
	calls := t.failing()
	a := t.attach()
	for _, path := range []string{"/run/netns/none", "/proc/self/ns/mnt"} {
		calls = append(calls, t.call("ADD", a).let("CNI_NETNS", path))
	}
	known := map[float64]bool{1: true, 2: true, 3: true, 4: true, 5: true, 6: true, 7: true, 11: true}
	for _, c := range calls {
		got := c.run()
		if !got.refused || !got.fault.numeric {
			continue
		}
		code := got.fault.code
		ok := known[code] || code >= 100 || c.verb == "STATUS" && (code == 50 || code == 51)
		t.expect(ok, "a code of the specification's table, or one from 100 on", "%s: %s", c.verb, got.says())
	}
}

func runtimeKeys(t *trial) {
	base := t.call("ADD", t.attach())
	got := base.run()
	if got.refused {
		t.skip("ADD fails (A1): %s", got.says())
	}
	c := t.call("ADD", t.attach())
	config, _ := c.conf["runtimeConfig"].(object)
	if config == nil {
		config = object{}
	}
	config["cgroupPath"], config["aliases"], config["io.kubernetes.cri.pod-annotations"] = "/x", []any{"a"}, object{"a": "b"}
	c.set("runtimeConfig", config).set("args", object{"cni": object{"labels": []any{object{"key": "app", "value": "x"}}}, "other": 1}).
		set("capabilities", object{"cgroupPath": true, "aliases": true}).set("cniVersions", []string{t.version}).
		set("cni.dev/x", object{"y": 1}).set("disableCheck", false).set("disableGC", false).set("loadOnlyInlinedPlugins", true)
	got = c.run()
	t.expect(!got.refused, "success", "%s", got.says())
}

func podArgs(t *trial) {
	pod := []string{"IgnoreUnknown=1", "K8S_POD_NAMESPACE=a", "K8S_POD_NAME=b", "K8S_POD_INFRA_CONTAINER_ID=c", "K8S_POD_UID=d"}
	for i, known := range []string{"1", "true", "True"} {
		a := t.attach()
		pairs := append([]string{}, pod[i+1:]...)
		pairs = append(append(pairs, "IgnoreUnknown="+known), pod[1:i+1]...)
		got := t.accepted(t.call("ADD", a).let("CNI_ARGS", strings.Join(pairs, ";")), "success with "+strings.Join(pairs, ";"))
		t.call("DEL", a).set("prevResult", got.out).run()
	}
}

func oddArgs(t *trial) {
	for _, pair := range []string{"oops", "X=y=z", "=z"} {
		got := t.call("ADD", t.attach()).let("CNI_ARGS", "IgnoreUnknown=1;"+pair).run()
		crashed := got.signal != 0 || strings.Contains(got.stderr, "panic:")
		t.expect(!crashed, "no crash", "%s", got.says())
		if got.refused && got.stdout != "" {
			t.expect(strings.Contains(got.fault.msg+got.fault.details, pair), quoted(pair)+" in the message", "%s", got.says())
		}
	}
}

func ownNamespace(t *trial) {
	a := t.attach()
	before := t.look()
	got := t.call("ADD", a).let("CNI_NETNS", ownNetns).run()
	t.expect(got.refused, "an error", "%s", got.says())
	t.unchanged(before, "no effect")
}

func traced(t *trial) {
	t.accepted(t.call("ADD", t.attach()).let("TRACEPARENT", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").
		let("TRACESTATE", "a=b").let("BAGGAGE", "c=d"), "success")
}

func valuesInvalid(t *trial) {
	if len(t.p.InvalidValue) == 0 {
		t.skip("the profile names no invalid value")
	}
	a := t.attach()
	before := t.look()
	for _, key := range slices.Sorted(maps.Keys(t.p.InvalidValue)) {
		t.refusal(t.call("ADD", a).set(key, t.p.InvalidValue[key]), 7, fmt.Sprintf("%s: %v", key, t.p.InvalidValue[key]))
	}
	t.unchanged(before, "no effect")
}

func longName(t *trial) {
	a := t.attach()
	before := t.look()
	got := t.call("ADD", a).let("CNI_IFNAME", "abcdefghijklmnop").run()
	t.expect(got.refused, "an error: 16 bytes are too long for a link's name", "%s", got.says())
	t.unchanged(before, "no effect")
}

package conformance

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// delegateSuite is about interface plugins that let an IPAM plugin give the addresses. The suite puts one of its own into
// CNI_PATH, a shell script that writes down how it was called.
func delegateSuite() []Assertion {
	return []Assertion{
		{"N6", wires, Should, "Section 4, Delegated plugin execution procedure", "If, on ADD, a delegated plugin fails, the upper plugin should execute again with DEL before returning failure; so, too, when it fails later.", undoesDelegate},
		{"N7", wires, Must, "Section 4, Delegated plugin execution procedure", "A plugin executed with CHECK or DEL must also execute any delegated plugins.", callsDelegate},
		{"N14", wires, Must, "Section 2, GC", "Plugins MUST forward any GC calls to delegated plugins they are configured to use.", gcDelegate},
		{"N15", wires, Must, "Section 2, STATUS", "If a plugin relies on a delegated plugin, it must also execute a STATUS request to that plugin.", statusDelegate},
		{"N16", wires, Must, "Section 4, Delegated Plugin protocol", "The delegated plugin receives the complete network configuration and all the same environment variables.", sameCall},
		{"N17", wires, Should, "Section 4, Delegated plugin execution procedure", "Ensure that the delegated plugin's stderr is output to the calling plugin's stderr.", sameStderr},
		{"N18", wires, Should, "Section 4, Delegated plugin execution procedure", "If any of the delegated plugins return error, error should be returned by the upper plugin.", delegateErrors},
	}
}

const (
	ownFolder = "/run/conformance" // the suite's files in a world
	spyName   = "conformance-ipam"
)

// spy is the suite's IPAM plugin.
type spy struct {
	t      *trial
	routes []any
}

// spyScript writes down its call, and answers what lies beside it.
const spyScript = `#!/bin/sh
cd ` + ownFolder + `
cat > $CNI_COMMAND.stdin
env > $CNI_COMMAND.env
echo $CNI_COMMAND >> calls
echo "words of ` + spyName + `" >&2
if [ -e $CNI_COMMAND.fails ]; then
	echo '{"cniVersion":"1.0.0","code":111,"msg":"` + spyName + ` fails as it was told"}'
	exit 1
fi
case $CNI_COMMAND in
VERSION) echo '{"cniVersion":"1.1.0","supportedVersions":["0.3.0","0.3.1","0.4.0","1.0.0","1.1.0"]}' ;;
ADD) cat answer ;;
esac
exit 0
`

// delegating is the configuration in which an IPAM plugin gives the addresses; nil where the plugin has none.
func (t *trial) delegating() object {
	if t.p.Delegating != nil {
		return t.p.Delegating
	}
	if ipam, ok := t.p.Config["ipam"].(object); ok && ipam["type"] != nil {
		return t.p.Config
	}
	return nil
}

// spy puts the suite's IPAM plugin into the world, once.
func (t *trial) spy() *spy {
	if t.delegating() == nil {
		t.skip("the profile says no configuration with ipam.type")
	}
	if t.spying == nil {
		t.spying = &spy{t: t, routes: []any{}}
		t.file("bin/"+spyName, spyScript, 0o755)
	}
	return t.spying
}

// file writes a file into the suite's folder of the world.
func (t *trial) file(name, content string, mode os.FileMode) {
	path := filepath.Join(ownFolder, name)
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = os.WriteFile(path, []byte(content), mode)
	}
	if err != nil {
		t.skip("cannot write %s: %v", path, err)
	}
	t.note(fmt.Sprintf("mkdir -p %s && printf %%s %s > %s && chmod %o %s", filepath.Dir(path), quoted(content), path, mode, path))
}

// spied makes the call go to the suite's IPAM plugin.
func (t *trial) spied(c *call) *call {
	s := t.spy()
	if t.p.Delegating != nil {
		c.set("prevResult", nil)
	}
	for key, value := range expand(t.delegating(), c.a) {
		c.set(key, value)
	}
	ipam := object{}
	if own, ok := c.conf["ipam"].(object); ok {
		for k, v := range own {
			ipam[k] = v
		}
	}
	ipam["type"] = spyName
	c.set("ipam", ipam)
	c.let("CNI_PATH", filepath.Join(ownFolder, "bin")+":"+t.s.path)
	answer := inShapeOf(object{"ips": []any{object{"address": "10.88.77.5/24", "gateway": "10.88.77.1"}}, "routes": s.routes}, t.version)
	text, err := json.Marshal(answer)
	if err != nil {
		panic(err) // a trial that cannot be
	}
	t.file("answer", string(text)+"\n", 0o644)
	return c
}

// calls are the verbs that the spy saw since the last time.
func (s *spy) calls() []string {
	path := filepath.Join(ownFolder, "calls")
	text, _ := os.ReadFile(path) // not there before the first call
	_ = os.Remove(path)
	return strings.Fields(string(text))
}

// fails makes the spy fail a verb.
func (s *spy) fails(verb string, yes bool) {
	path := filepath.Join(ownFolder, verb+".fails")
	if !yes {
		s.t.note("rm " + path)
		_ = os.Remove(path)
		return
	}
	s.t.file(verb+".fails", "", 0o644)
}

func undoesDelegate(t *trial) {
	s := t.spy()
	a := t.attach()
	before := t.look()
	s.fails("ADD", true)
	got := t.spied(t.call("ADD", a)).run()
	t.expect(got.refused, "an error, since the delegate failed", "%s", got.says())
	calls := s.calls()
	t.expect(slices.Equal(calls, []string{"ADD", "DEL"}), "the delegate called with ADD, then DEL", "%v", calls)
	t.settled(before, "nothing left")
	s.fails("ADD", false)
	t.sh(fmt.Sprintf("ip link add taken0 type veth peer name %s netns %s", a.ifname, a.container))
	got = t.spied(t.call("ADD", a)).run()
	if calls = s.calls(); got.refused && slices.Contains(calls, "ADD") {
		t.expect(slices.Contains(calls, "DEL"), "the delegate called with DEL after the plugin itself failed", "%v", calls)
	}
}

// spiedAdd is an ADD with the suite's IPAM plugin.
func (t *trial) spiedAdd() (attachment, object) {
	t.spy()
	a := t.attach()
	result := t.ran(t.spied(t.call("ADD", a)))
	t.spying.calls()
	return a, result
}

func callsDelegate(t *trial) {
	a, result := t.spiedAdd()
	verbs := []string{"CHECK", "DEL"}
	if older(t.version, "0.4.0") {
		verbs = verbs[1:]
	}
	for _, verb := range verbs {
		t.spied(t.call(verb, a)).set("prevResult", result).run()
		calls := t.spying.calls()
		t.expect(slices.Equal(calls, []string{verb}), verb+" handed on", "%v", calls)
	}
}

func gcDelegate(t *trial) {
	t.at("1.1.0")
	a, _ := t.spiedAdd()
	t.ran(t.spied(t.valid(a)))
	calls := t.spying.calls()
	t.expect(slices.Equal(calls, []string{"GC"}), "GC handed on", "%v", calls)
}

func statusDelegate(t *trial) {
	t.at("1.1.0")
	a, _ := t.spiedAdd()
	t.ran(t.spied(t.call("STATUS", a)))
	calls := t.spying.calls()
	t.expect(slices.Equal(calls, []string{"STATUS"}), "STATUS handed on", "%v", calls)
	t.spying.fails("STATUS", true)
	got := t.spied(t.call("STATUS", a)).run()
	t.expect(got.refused, "an error, since the delegate is not ready", "%s", got.says())
}

func sameCall(t *trial) {
	t.spy()
	a := t.attach()
	c := t.spied(t.call("ADD", a)).let("CNI_ARGS", "IgnoreUnknown=1;K8S_POD_NAME=b").
		let("TRACEPARENT", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	t.ran(c)
	var got object
	stdin, err := os.ReadFile(filepath.Join(ownFolder, "ADD.stdin"))
	if err == nil {
		err = json.Unmarshal(stdin, &got)
	}
	t.expect(err == nil, "a network configuration for the delegate", "%s", brief(string(stdin)))
	for key, want := range c.conf {
		t.expect(jsonOf(got[key]) == jsonOf(want), "the delegate's "+key+": "+jsonOf(want), "%s", jsonOf(got[key]))
	}
	env, _ := os.ReadFile(filepath.Join(ownFolder, "ADD.env"))
	for name, want := range c.env {
		if name != "PATH" {
			t.expect(slices.Contains(strings.Split(string(env), "\n"), name+"="+want), name+"="+want+" in the delegate's environment", "%s", lineOf(string(env), name))
		}
	}
}

func lineOf(text, word string) string {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, word) {
			return strings.TrimSpace(line)
		}
	}
	return "none"
}

func sameStderr(t *trial) {
	t.spy()
	got := t.spied(t.call("ADD", t.attach())).run()
	if got.refused {
		t.skip("ADD fails (A1): %s", got.says())
	}
	t.expect(strings.Contains(got.stderr, "words of "+spyName), "the delegate's words on standard error", "%s", brief(got.stderr))
}

func delegateErrors(t *trial) {
	a, result := t.spiedAdd()
	verbs := []string{"CHECK", "DEL"}
	if older(t.version, "0.4.0") {
		verbs = verbs[1:]
	}
	for _, verb := range verbs {
		t.spying.fails(verb, true)
		got := t.spied(t.call(verb, a)).set("prevResult", result).run()
		t.expect(got.refused, "an error of "+verb+", since the delegate fails", "%s", got.says())
		t.spying.fails(verb, false)
	}
}

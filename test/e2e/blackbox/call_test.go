package blackbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// object is a piece of JSON as a test writes it.
type object = map[string]any

// call is one run of one stage.
type call struct {
	stage string
	verb  string
	conf  object            // cniVersion, name and type are filled in
	stdin string            // instead of conf
	env   map[string]string // over the usual ones; "-" takes one out
	ctr   container
}

// container is a pod's sandbox: an id, and a network namespace of that name.
type container struct {
	id     string
	ifname string
	netns  string
}

// sandbox makes a network namespace that lives as long as the test.
func sandbox(t *testing.T, id string) container {
	t.Helper()
	sh(t, "ip netns add %s && ip -n %s link set lo up", id, id)
	t.Cleanup(func() { sh(t, "ip netns del %s 2>/dev/null || true", id) })
	return container{id: id, ifname: "eth0", netns: "/run/netns/" + id}
}

// answer is what came back.
type answer struct {
	exit           int
	stdout, stderr string
	fault          fault
	result         object
}

// fault is the error object of the specification.
type fault struct {
	CNIVersion string `json:"cniVersion"`
	Code       int    `json:"code"`
	Msg        string `json:"msg"`
}

func (c call) command(t *testing.T) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(filepath.Join(bin(t), c.stage))
	env := map[string]string{"PATH": os.Getenv("PATH"), "CNI_COMMAND": c.verb, "CNI_CONTAINERID": c.ctr.id,
		"CNI_IFNAME": c.ctr.ifname, "CNI_NETNS": c.ctr.netns, "CNI_PATH": bin(t)}
	maps.Copy(env, c.env)
	for k, v := range env {
		if v != "-" {
			cmd.Env = append(cmd.Env, k+"="+v)
		}
	}
	in := c.stdin
	if in == "" {
		conf := object{"cniVersion": "1.0.0", "name": "bb", "type": c.stage}
		maps.Copy(conf, c.conf)
		for k, v := range conf {
			if v == nil {
				delete(conf, k)
			}
		}
		in = encoded(conf)
	}
	cmd.Stdin = strings.NewReader(in)
	return cmd
}

func encoded(o object) string {
	text, err := json.Marshal(o)
	if err != nil {
		panic(err) // a test that cannot be
	}
	return string(text)
}

// run runs the call and judges the form of the answer, which no call may get wrong (C1–C6, and our own error line).
func (c call) run(t *testing.T) answer {
	t.Helper()
	cmd := c.command(t)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Error(err)
		return answer{exit: -1}
	}
	a := answer{exit: cmd.ProcessState.ExitCode(), stdout: stdout.String(), stderr: stderr.String()}
	if fault := a.form(c.verb); fault != "" {
		t.Errorf("%s %s: %s\nexit %d\nstdout %s\nstderr %s", c.stage, c.verb, fault, a.exit, a.stdout, a.stderr)
	}
	return a
}

// form says what is wrong with the outside of an answer, and reads its inside.
func (a *answer) form(verb string) string {
	switch {
	case a.exit == 0 && (verb == "ADD" || verb == "VERSION"):
		if err := json.Unmarshal([]byte(a.stdout), &a.result); err != nil {
			return "the result is no JSON: " + err.Error()
		}
		return ""
	case a.exit == 0:
		if a.stdout != "" {
			return "standard output of a success is not empty"
		}
		return ""
	}
	if err := json.Unmarshal([]byte(a.stdout), &a.fault); err != nil {
		return "the error is not one JSON object: " + err.Error()
	}
	token, _, _ := strings.Cut(a.fault.Msg, " ")
	switch {
	case a.fault.Code == 0 || a.fault.Msg == "" || a.fault.CNIVersion == "":
		return "the error has no code, msg or cniVersion"
	case a.fault.Code > 11 && a.fault.Code < 50 || a.fault.Code > 51 && a.fault.Code < 100:
		return "the code is one that the specification keeps for itself"
	case len(a.fault.Msg) > 300:
		return fmt.Sprintf("msg has %d bytes, 300 may be", len(a.fault.Msg))
	case strings.ContainsAny(a.fault.Msg, "\n\r"):
		return "msg has more than one line"
	case token == "" || strings.Trim(token, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_") != "":
		return "msg does not begin with a token"
	case strings.Contains(strings.ToLower(a.fault.Msg), "not found"):
		return "msg says what ends a chain's DEL in containerd"
	case strings.Contains(a.stderr, "panic"):
		return "it broke down"
	}
	return ""
}

// ok runs a call that must succeed.
func (c call) ok(t *testing.T) answer {
	t.Helper()
	a := c.run(t)
	if a.exit != 0 {
		t.Fatalf("%s %s of %s: %s", c.stage, c.verb, c.ctr.id, a.fault.Msg)
	}
	return a
}

// refused runs a call that must fail with a code and words in its msg; the test sees that nothing changed (unchanged).
func (c call) refused(t *testing.T, code int, words ...string) {
	t.Helper()
	a := c.run(t)
	if a.exit == 0 || a.fault.Code != code {
		t.Errorf("%s %s: exit %d, code %d, want %d: %s", c.stage, c.verb, a.exit, a.fault.Code, code, a.fault.Msg)
	}
	for _, w := range words {
		if !strings.Contains(a.fault.Msg, w) {
			t.Errorf("%s %s: msg does not say %q: %s", c.stage, c.verb, w, a.fault.Msg)
		}
	}
}

// chain is a list of stages, run as libcni runs it.
type chain struct {
	version string
	name    string
	members []object // each with its "type"
	runtime object   // runtimeConfig
	env     map[string]string
}

// flagship is the list that we ship.
func flagship() chain {
	return chain{version: "1.0.0", name: "bb", members: []object{
		{"type": "eni-ipam", "wait": "0s"}, {"type": "routed-veth"}, {"type": "snat"}, {"type": "portmap-compat"},
	}}
}

// member is the call of one stage of the list.
func (l chain) member(i int, verb string, c container, prev any) call {
	conf := object{"cniVersion": l.version, "name": l.name}
	maps.Copy(conf, l.members[i])
	if prev != nil {
		conf["prevResult"] = prev
	}
	if l.runtime != nil {
		conf["runtimeConfig"] = l.runtime
	}
	return call{stage: conf["type"].(string), verb: verb, conf: conf, ctr: c, env: l.env}
}

// add runs the list forward; it returns the last result, or the answer of the stage that failed.
func (l chain) add(t *testing.T, c container) (object, answer) {
	t.Helper()
	var prev object
	for i := range l.members {
		var before any
		if prev != nil {
			before = prev
		}
		a := l.member(i, "ADD", c, before).run(t)
		if a.exit != 0 {
			return nil, a
		}
		prev = a.result
	}
	return prev, answer{}
}

// up is add that must succeed.
func (l chain) up(t *testing.T, c container) object {
	t.Helper()
	result, failed := l.add(t, c)
	if result == nil {
		t.Fatalf("ADD of %s: %s", c.id, failed.fault.Msg)
	}
	t.Cleanup(func() {
		if t.Failed() { // so that the next test is judged by itself
			l.del(t, c, nil)
		}
	})
	return result
}

// check runs CHECK along the list and returns the first fault.
func (l chain) check(t *testing.T, c container, prev object) fault {
	t.Helper()
	for i := range l.members {
		if a := l.member(i, "CHECK", c, prev).run(t); a.exit != 0 {
			return a.fault
		}
	}
	return fault{}
}

// del runs the list backward, which must succeed.
func (l chain) del(t *testing.T, c container, prev any) {
	t.Helper()
	for i := range slices.Backward(l.members) {
		if a := l.member(i, "DEL", c, prev).run(t); a.exit != 0 {
			t.Errorf("DEL of %s: %s", c.id, a.fault.Msg)
		}
	}
}

// gc tells a stage that these attachments are valid and no others.
func (l chain) gc(t *testing.T, member int, valid ...container) {
	t.Helper()
	list := []object{}
	for _, c := range valid {
		list = append(list, object{"containerID": c.id, "ifname": c.ifname})
	}
	conf := object{"cniVersion": "1.1.0", "name": l.name, "cni.dev/valid-attachments": list, "cni.dev/attachments": list}
	maps.Copy(conf, l.members[member])
	if a := (call{stage: conf["type"].(string), verb: "GC", stdin: encoded(conf)}).run(t); a.exit != 0 {
		t.Errorf("GC: %s", a.fault.Msg)
	}
}

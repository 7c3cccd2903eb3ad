// Command wrapper is a CNI plugin with one defect: it runs the plugin named "inner" beside it and spoils one thing. The
// name of its folder says which.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"time"
)

type object = map[string]any

// run is one call on its way to the inner plugin and back.
type run struct {
	dir, verb      string
	stdin          []byte
	conf           object
	env            []string
	stdout, stderr bytes.Buffer
	exit           int
}

func main() {
	r := &run{dir: filepath.Dir(os.Args[0]), verb: os.Getenv("CNI_COMMAND"), env: os.Environ()}
	name := filepath.Base(r.dir)
	if r.verb == "VERSION" && name != "reads-stdin-on-version" {
		r.peek()
	} else {
		r.stdin, _ = io.ReadAll(os.Stdin)
		_ = json.Unmarshal(r.stdin, &r.conf)
	}
	spoil, known := defects()[name]
	if !known {
		fmt.Fprintln(os.Stderr, "no such defect:", name)
		os.Exit(70)
	}
	spoil(r)
	_, _ = os.Stdout.Write(r.stdout.Bytes())
	_, _ = os.Stderr.Write(r.stderr.Bytes())
	os.Exit(r.exit)
}

// peek reads what VERSION is asked, if it is there.
func (r *run) peek() {
	asked := make(chan object, 1)
	go func() {
		var o object
		_ = json.NewDecoder(os.Stdin).Decode(&o)
		asked <- o
	}()
	select {
	case r.conf = <-asked:
	case <-time.After(200 * time.Millisecond):
	}
}

// inner runs the plugin, and mends what the suite has against ours, so that a defect is the only one.
func (r *run) inner() {
	if r.verb != "VERSION" && r.conf != nil {
		r.restore()
	}
	cmd := exec.Command(filepath.Join(r.dir, "inner"))
	cmd.Env, cmd.Stdin = r.env, bytes.NewReader(r.stdin)
	r.stdout.Reset()
	cmd.Stdout, cmd.Stderr = &r.stdout, &r.stderr
	_ = cmd.Run()
	r.exit = cmd.ProcessState.ExitCode()
	if ipam, ok := r.conf["ipam"].(object); ok && ipam["type"] == "eni-ipam" && r.verb == "ADD" && !has(r.conf, "prevResult") {
		r.answer(func(o object) {
			delete(o, "interfaces")
			for _, ip := range objects(o, "ips") {
				delete(ip, "interface")
			}
		})
	}
	if r.verb == "VERSION" && filepath.Base(r.dir) != "version-not-echoed" {
		r.answer(func(o object) {
			if v, ok := r.conf["cniVersion"].(string); ok {
				o["cniVersion"] = v
			}
		})
	}
}

// configure changes the configuration that the inner plugin gets.
func (r *run) configure(change func(conf object)) {
	if r.conf != nil {
		change(r.conf)
		r.stdin, _ = json.Marshal(r.conf)
	}
}

// answer changes the object on standard output.
func (r *run) answer(change func(o object)) {
	var o object
	if json.Unmarshal(r.stdout.Bytes(), &o) != nil {
		return
	}
	change(o)
	r.stdout.Reset()
	_ = json.NewEncoder(&r.stdout).Encode(o)
}

// let sets a variable of the inner plugin's environment; "" takes it out.
func (r *run) let(name, value string) {
	var env []string
	for _, v := range r.env {
		if !strings.HasPrefix(v, name+"=") {
			env = append(env, v)
		}
	}
	if value != "" {
		env = append(env, name+"="+value)
	}
	r.env = env
}

// refuse is an error object.
func (r *run) refuse(code int, msg string) {
	text, _ := json.Marshal(object{"cniVersion": "1.1.0", "code": code, "msg": msg})
	r.stdout.Reset()
	r.stdout.Write(text)
	r.exit = 1
}

// memory is where a spoiled result is kept beside the true one, for the CHECK and DEL that bring it back.
func memory() string { return "/run/wrapper-" + attachment() + ".lock" }

// spoilResult changes the result of a successful ADD.
func (r *run) spoilResult(change func(o object)) {
	var truth object
	_ = json.Unmarshal(r.stdout.Bytes(), &truth)
	r.answer(change)
	var spoiled object
	_ = json.Unmarshal(r.stdout.Bytes(), &spoiled)
	text, _ := json.Marshal([]object{truth, spoiled})
	_ = os.WriteFile(memory(), text, 0o644)
}

// restore puts the true result back where the spoiled one comes as prevResult.
func (r *run) restore() {
	var both []object
	text, err := os.ReadFile(memory())
	if err != nil || json.Unmarshal(text, &both) != nil || !reflect.DeepEqual(r.conf["prevResult"], any(both[1])) {
		return
	}
	r.configure(func(conf object) { conf["prevResult"] = both[0] })
}

func objects(o object, key string) []object {
	values, _ := o[key].([]any)
	var all []object
	for _, v := range values {
		if o, ok := v.(object); ok {
			all = append(all, o)
		}
	}
	return all
}

func sh(line string) { _ = exec.Command("sh", "-c", line).Run() }

func attachment() string { return os.Getenv("CNI_CONTAINERID") + os.Getenv("CNI_IFNAME") }

// mark is a link on the node that bears an attachment's name.
func mark() string { return "m" + attachment() }

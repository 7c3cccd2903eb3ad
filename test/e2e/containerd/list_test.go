package containerd

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// portmapCompat and portmap are the last entry of a list: ours, and upstream's with one of its backends.
const portmapCompat = `{ "type": "portmap-compat", "capabilities": { "portMappings": true } }`

func portmap(backend string) string {
	return fmt.Sprintf(`{ "type": "portmap", "backend": %q, "snat": true, "capabilities": { "portMappings": true } }`, backend)
}

// wire are the stages before the ports.
func wire() []string {
	return []string{`{ "type": "eni-ipam" }`, `{ "type": "routed-veth", "mtu": 9001 }`, `{ "type": "snat" }`}
}

// list is a list of the network that the node has from the start.
func list(entries ...string) string {
	return fmt.Sprintf(`{ "cniVersion": "1.0.0", "cniVersions": ["1.0.0", "1.1.0"], "name": "enichain", "plugins": [
  %s ] }
`, strings.Join(entries, ",\n  "))
}

// apply puts another list into force, as a person does, and waits until containerd has read it.
func (d *daemon) apply(text string) {
	d.t.Helper()
	file := filepath.Join(d.dir, "05-enichain.conflist")
	d.write(file, text)
	d.must(d.node("enichainctl", "chain", "apply", file))
	eventually(d.t, "containerd has read the new list", func() string {
		if got := d.stages(); got != types(text) {
			return "it has " + got + ", applied was " + types(text)
		}
		return ""
	})
}

// types are a list's stages in order.
func types(text string) string {
	var l struct{ Plugins []struct{ Type string } }
	if err := json.Unmarshal([]byte(text), &l); err != nil {
		return err.Error()
	}
	var types []string
	for _, p := range l.Plugins {
		types = append(types, p.Type)
	}
	return strings.Join(types, " ")
}

// stages are the stages of the list that containerd has in force, by its own word.
func (d *daemon) stages() string {
	ctx, cancel := d.deadline()
	defer cancel()
	answer, err := d.Status(ctx, &cri.StatusRequest{Verbose: true})
	if err != nil {
		return err.Error()
	}
	var info struct {
		Networks []struct{ Config struct{ Name, Source string } }
	}
	if err := json.Unmarshal([]byte(answer.Info["cniconfig"]), &info); err != nil {
		return err.Error()
	}
	for _, n := range info.Networks {
		if n.Config.Name == "enichain" {
			return types(n.Config.Source)
		}
	}
	return "no list of the network enichain"
}

package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// mostManifest is the most that is read of a manifest, in bytes; a DaemonSet has 15 kB, a thousand ENIConfigs 1 MB.
const mostManifest = 16 << 20

// object is the part of a Kubernetes object that a migration looks at.
type object struct {
	Kind     string            `json:"kind" yaml:"kind"`
	Metadata metadata          `json:"metadata" yaml:"metadata"`
	Items    []object          `json:"items" yaml:"items"`
	Data     map[string]string `json:"data" yaml:"data"` // of a ConfigMap
	Spec     struct {
		Subnet         string   `json:"subnet" yaml:"subnet"` // of an ENIConfig, as the next
		SecurityGroups []string `json:"securityGroups" yaml:"securityGroups"`
		Template       struct {
			Spec podSpec `json:"spec" yaml:"spec"`
		} `json:"template" yaml:"template"`
	} `json:"spec" yaml:"spec"`
}

type metadata struct {
	Name      string `json:"name" yaml:"name"`
	Namespace string `json:"namespace" yaml:"namespace"`
}

type podSpec struct {
	InitContainers []container `json:"initContainers" yaml:"initContainers"`
	Containers     []container `json:"containers" yaml:"containers"`
	Volumes        []struct {
		Name     string `json:"name" yaml:"name"`
		HostPath struct {
			Path string `json:"path" yaml:"path"`
		} `json:"hostPath" yaml:"hostPath"`
	} `json:"volumes" yaml:"volumes"`
}

type container struct {
	Name         string      `json:"name" yaml:"name"`
	Image        string      `json:"image" yaml:"image"`
	Args         []string    `json:"args" yaml:"args"`
	Env          []variable  `json:"env" yaml:"env"`
	EnvFrom      []envSource `json:"envFrom" yaml:"envFrom"`
	VolumeMounts []struct {
		Name string `json:"name" yaml:"name"`
		Path string `json:"mountPath" yaml:"mountPath"`
	} `json:"volumeMounts" yaml:"volumeMounts"`
}

type variable struct {
	Name  string `json:"name" yaml:"name"`
	Value string `json:"value" yaml:"value"`
	From  *struct {
		ConfigMap *keyIn `json:"configMapKeyRef" yaml:"configMapKeyRef"`
		Secret    *keyIn `json:"secretKeyRef" yaml:"secretKeyRef"`
	} `json:"valueFrom" yaml:"valueFrom"`
}

type keyIn struct {
	Name string `json:"name" yaml:"name"`
	Key  string `json:"key" yaml:"key"`
}

type envSource struct {
	ConfigMap *keyIn `json:"configMapRef" yaml:"configMapRef"`
	Secret    *keyIn `json:"secretRef" yaml:"secretRef"`
}

// readObjects reads manifests as kubectl prints them: JSON or YAML, several documents of either, lists opened.
func readObjects(text []byte) ([]object, error) {
	head := bytes.TrimSpace(text)
	if len(head) == 0 || head[0] != '{' {
		return decodeObjects(yaml.NewDecoder(bytes.NewReader(text)).Decode)
	}
	all, err := decodeObjects(json.NewDecoder(bytes.NewReader(text)).Decode)
	if err != nil { // JSON is YAML, too: there may be more behind "---"
		if more, ok := decodeObjects(yaml.NewDecoder(bytes.NewReader(text)).Decode); ok == nil {
			return more, nil
		}
	}
	return all, err
}

func decodeObjects(decode func(any) error) (all []object, err error) {
	for n := 1; ; n++ {
		var o object
		err := decode(&o)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("document %d is no Kubernetes object in YAML or JSON: %w", n, err)
		}
		if o.Kind != "" || o.Metadata.Name != "" { // nothing between two separators is no object
			all = append(all, opened(o)...)
		}
	}
}

// opened is what is in a list, of lists too; an object is itself.
func opened(o object) []object {
	if !strings.HasSuffix(o.Kind, "List") {
		return []object{o}
	}
	var all []object
	for _, item := range o.Items {
		item.Kind = cmp.Or(item.Kind, strings.TrimSuffix(o.Kind, "List"))
		all = append(all, opened(item)...)
	}
	return all
}

// awsNode is an installation of amazon-vpc-cni-k8s as its objects show it.
type awsNode struct {
	Name    string // namespace/name of the DaemonSet
	Version string // "" where the image tells none
	set     map[string]setting
	strays  []string          // what was said twice, or cannot be known
	paths   map[string]string // the node's folder by the container's
	policy  bool              // its second container enforces network policies
	configs []eniConfig
	windows map[string]string // ConfigMap amazon-vpc-cni
}

// setting is the value of one environment variable.
type setting struct {
	value string
	look  string // where the value stands, if not here: how to look it up
}

// configMaps are the data of ConfigMaps by their names.
type configMaps map[string]map[string]string

// eniConfig is one ENIConfig: where pods of some nodes have their addresses.
type eniConfig struct {
	name, subnet string
	groups       []string
}

// judge wants what Kubernetes and EC2 would take.
func (e eniConfig) judge() error {
	foreign := func(r rune) bool { return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789.-", r) }
	switch {
	case e.name == "" || strings.ContainsFunc(e.name, foreign):
		return fmt.Errorf("ENIConfig %q: metadata.name is no name of a Kubernetes object", e.name)
	case !strings.HasPrefix(e.subnet, "subnet-"):
		return fmt.Errorf("ENIConfig %s: spec.subnet is %q; want a subnet's id, subnet-…", e.name, e.subnet)
	}
	for _, g := range e.groups {
		if !strings.HasPrefix(g, "sg-") {
			return fmt.Errorf("ENIConfig %s: spec.securityGroups has %q; want a security group's id, sg-…", e.name, g)
		}
	}
	return nil
}

// findAWSNode picks what a migration needs out of objects.
func findAWSNode(objects []object) (awsNode, error) {
	var found []object
	n := awsNode{set: map[string]setting{}, paths: map[string]string{}}
	given := configMaps{}
	var seen []string
	for _, o := range objects {
		seen = append(seen, cmp.Or(o.Kind, "an object without kind")+" "+o.Metadata.Name)
		switch o.Kind {
		case "DaemonSet":
			if slices.ContainsFunc(o.Spec.Template.Spec.Containers, func(c container) bool { return c.Name == "aws-node" }) {
				found = append(found, o)
			}
		case "ENIConfig":
			config := eniConfig{o.Metadata.Name, o.Spec.Subnet, o.Spec.SecurityGroups}
			if err := config.judge(); err != nil {
				return n, err
			}
			n.configs = append(n.configs, config)
		case "ConfigMap":
			given[o.Metadata.Name] = o.Data
		}
	}
	switch {
	case len(found) == 0 && len(seen) == 0:
		return n, errors.New("there is no object in it; want the DaemonSet aws-node")
	case len(found) == 0:
		return n, fmt.Errorf("no DaemonSet with a container aws-node in it, but %s", handful(seen))
	case len(found) > 1:
		return n, fmt.Errorf("%d DaemonSets with a container aws-node: %s and %s; give one", len(found), found[0].Metadata.Name, found[1].Metadata.Name)
	}
	n.windows = given["amazon-vpc-cni"]
	n.Name = strings.TrimPrefix(found[0].Metadata.Namespace+"/"+found[0].Metadata.Name, "/")
	n.read(found[0].Spec.Template.Spec, given, cmp.Or(found[0].Metadata.Namespace, "kube-system"))
	slices.SortFunc(n.configs, func(a, b eniConfig) int { return strings.Compare(a.name, b.name) })
	for i := range max(len(n.configs)-1, 0) {
		if n.configs[i].name == n.configs[i+1].name {
			return n, fmt.Errorf("ENIConfig %s stands twice in it", n.configs[i].name)
		}
	}
	return n, nil
}

// handful is a list that stays readable.
func handful(words []string) string {
	const most = 4
	if len(words) <= most {
		return strings.Join(words, ", ")
	}
	return strings.Join(words[:most], ", ") + fmt.Sprintf(" and %d more", len(words)-most)
}

// read takes the settings of the pod's containers; those of the main one count where both say something.
func (n *awsNode) read(p podSpec, given configMaps, namespace string) {
	hosts := map[string]string{}
	for _, v := range p.Volumes {
		hosts[v.Name] = v.HostPath.Path
	}
	for _, c := range slices.Concat(p.InitContainers, p.Containers) {
		for _, m := range c.VolumeMounts {
			if hosts[m.Name] != "" {
				n.paths[m.Path] = hosts[m.Name]
			}
		}
		switch c.Name {
		case "aws-eks-nodeagent":
			n.policy = slices.Contains(c.Args, "--enable-network-policy=true")
			continue
		case "aws-node":
			if _, tag, ok := strings.Cut(c.Image[strings.LastIndex(c.Image, "/")+1:], ":"); ok {
				n.Version = tag
			}
		}
		here := map[string]setting{}
		for _, e := range c.EnvFrom {
			n.all(c.Name, e, given, namespace, here)
		}
		for _, v := range c.Env {
			here[v.Name] = v.setting(given, namespace)
		}
		for _, name := range slices.Sorted(maps.Keys(here)) {
			if before, ok := n.set[name]; ok && before != here[name] {
				n.strays = append(n.strays, fmt.Sprintf("%s is %q in an earlier container and %q in %s; the last counts",
					name, before.value, here[name].value, c.Name))
			}
			n.set[name] = here[name]
		}
	}
}

// all takes every key of a ConfigMap or Secret.
func (n *awsNode) all(in string, e envSource, given configMaps, namespace string, here map[string]setting) {
	switch {
	case e.ConfigMap != nil && given[e.ConfigMap.Name] != nil:
		for k, v := range given[e.ConfigMap.Name] {
			here[k] = setting{value: v}
		}
	case e.ConfigMap != nil:
		n.strays = append(n.strays, fmt.Sprintf("container %s takes all of ConfigMap %s, which was not given: add "+
			"'kubectl get configmap %[2]s -n %[3]s -o yaml'", in, e.ConfigMap.Name, namespace))
	case e.Secret != nil:
		n.strays = append(n.strays, fmt.Sprintf("container %s takes all of Secret %s, which is not read: look into it", in, e.Secret.Name))
	}
}

// setting is a variable's value, or how to look it up.
func (v variable) setting(given configMaps, namespace string) setting {
	switch {
	case v.From == nil && strings.Contains(v.Value, "$("): // kubelet puts other variables in
		return setting{look: fmt.Sprintf("%s, by other variables", printable(v.Value))}
	case v.From == nil:
		return setting{value: strings.TrimSpace(v.Value)}
	case v.From.ConfigMap != nil:
		if value, ok := given[v.From.ConfigMap.Name][v.From.ConfigMap.Key]; ok {
			return setting{value: strings.TrimSpace(value)}
		}
		return setting{look: fmt.Sprintf("kubectl get configmap %s -n %s -o jsonpath='{.data.%s}'", v.From.ConfigMap.Name, namespace,
			strings.ReplaceAll(v.From.ConfigMap.Key, ".", `\.`))}
	case v.From.Secret != nil:
		return setting{look: fmt.Sprintf("key %s of Secret %s in namespace %s", v.From.Secret.Key, v.From.Secret.Name, namespace)}
	}
	return setting{look: "a field of each pod"}
}

package main

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/enichain/enichain/test/lab/vpc"
)

// plan is a lab as its file describes it.
type plan struct {
	Name    string         `yaml:"name" json:"name"`
	VPC     netip.Prefix   `yaml:"vpc" json:"vpc"`
	IPv6    netip.Prefix   `yaml:"ipv6" json:"ipv6"`     // a /56; none without
	Groups  []planGroup    `yaml:"groups" json:"groups"` // security groups besides "default"
	EC2     planEC2        `yaml:"ec2" json:"ec2"`
	Subnets []planSubnet   `yaml:"subnets" json:"subnets"`
	Nodes   []planInstance `yaml:"nodes" json:"nodes"`
	Hosts   []planInstance `yaml:"hosts" json:"hosts"` // instances that run nothing of ours
	// Enichaind is laid over the configuration that vpclab writes for each node: keys as in enichaind.yaml.
	Enichaind map[string]any `yaml:"enichaind" json:"enichaind"`
}

type planSubnet struct {
	Name string            `yaml:"name" json:"name"`
	CIDR netip.Prefix      `yaml:"cidr" json:"cidr"`
	IPv6 netip.Prefix      `yaml:"ipv6" json:"ipv6"` // a /64; none without
	Zone string            `yaml:"zone" json:"zone"`
	Tags map[string]string `yaml:"tags" json:"tags"`
}

type planInstance struct {
	Name   string            `yaml:"name" json:"name"`
	Type   string            `yaml:"type" json:"type"`
	Subnet string            `yaml:"subnet" json:"subnet"`
	Groups []string          `yaml:"groups" json:"groups"` // of its primary interface; default when empty
	Tags   map[string]string `yaml:"tags" json:"tags"`
}

// control is the name of the instance that carries reconciler and bus of a lab with more than one node.
const control = "control"

// loadPlan reads a built-in lab or a file.
func loadPlan(what string) (plan, error) {
	text, name := []byte(builtinLabs()[what]), what
	if len(text) == 0 {
		var err error
		if text, err = os.ReadFile(what); err != nil {
			return plan{}, fmt.Errorf("%q is neither a built-in lab (%s) nor a file: %w", what,
				strings.Join(slices.Sorted(maps.Keys(builtinLabs())), ", "), err)
		}
		name = strings.TrimSuffix(filepath.Base(what), filepath.Ext(what))
	}
	p := plan{Name: name}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&p); err != nil {
		return plan{}, fmt.Errorf("cannot read lab %s: %w", what, err)
	}
	if err := p.check(); err != nil {
		return plan{}, fmt.Errorf("cannot use lab %s:\n%w", what, err)
	}
	return p, nil
}

// word is what names of labs, nodes and subnets are made of: they become file and host names.
var word = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)

// check says all that is wrong with the plan at once.
func (p *plan) check() error {
	var all []error
	wrong := func(format string, args ...any) { all = append(all, fmt.Errorf("  "+format, args...)) }
	if !word.MatchString(p.Name) {
		wrong("name %q: small letters, digits and '-', at most 32", p.Name)
	}
	if !p.VPC.IsValid() || !p.VPC.Addr().Is4() || p.VPC != p.VPC.Masked() {
		wrong("vpc %s: an IPv4 network is needed, for example 10.110.0.0/16", p.VPC)
	}
	if len(p.Subnets) == 0 {
		wrong("subnets: at least one is needed")
	}
	for i, s := range p.Subnets {
		if !word.MatchString(s.Name) || !strings.HasPrefix(s.Name, "subnet-") {
			wrong("subnets[%d].name %q: must begin with subnet-, it is its id", i, s.Name)
		}
		if !s.CIDR.IsValid() || !p.VPC.IsValid() || !p.VPC.Contains(s.CIDR.Addr()) || s.CIDR.Bits() < p.VPC.Bits() {
			wrong("subnets[%d].cidr %s: not inside vpc %s", i, s.CIDR, p.VPC)
		}
		if s.Zone == "" {
			wrong("subnets[%d].zone: missing, for example lab-1a", i)
		}
	}
	p.checkMore(wrong)
	p.checkInstances(wrong)
	return errors.Join(all...)
}

func (p *plan) checkInstances(wrong func(string, ...any)) {
	if len(p.Nodes) == 0 {
		wrong("nodes: at least one is needed")
	}
	taken := map[string]bool{control: true, "internet": true, "client": true}
	for kind, list := range map[string][]planInstance{"nodes": p.Nodes, "hosts": p.Hosts} {
		for i, n := range list {
			if !word.MatchString(n.Name) || taken[n.Name] {
				wrong("%s[%d].name %q: must be new and not control, internet or client", kind, i, n.Name)
			}
			taken[n.Name] = true
			if !slices.ContainsFunc(p.Subnets, func(s planSubnet) bool { return s.Name == n.Subnet }) {
				wrong("%s[%d].subnet %q: there is no such subnet", kind, i, n.Subnet)
			}
			types := vpc.InstanceTypes()
			if !slices.ContainsFunc(types, func(t vpc.InstanceType) bool { return t.Name == n.Type }) {
				wrong("%s[%d].type %q: the lab knows %s", kind, i, n.Type, typeNames(types))
			}
		}
	}
}

func typeNames(types []vpc.InstanceType) string {
	var names []string
	for _, t := range types {
		names = append(names, t.Name)
	}
	return strings.Join(names, ", ")
}

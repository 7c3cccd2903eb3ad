package eniipam

import (
	"bytes"
	"encoding/json"
	"errors"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/enichain/enichain/ipam/store"
	"github.com/enichain/enichain/stages"
)

// own is the stage's name as a list's "type" says it.
const own = "eni-ipam"

// steering is the caller that sends a pod's packets out by any network interface. All others leave it to the main table,
// which knows the primary one alone.
const steering = "routed-veth"

// bridging is the caller whose containers share a subnet of their own.
const bridging = "bridge"

// notUnder are callers that EC2's network cannot serve, and why.
var notUnder = map[string]string{
	"macvlan": "EC2 drops packets whose source MAC is not the network interface's; use routed-veth",
}

// Capabilities that change what the stage does.
const (
	capabilityIPs         = "ips"
	capabilityAnnotations = "io.kubernetes.cri.pod-annotations"
)

// The values of gateway and scope.
const (
	gatewayNone    = "none"
	gatewayReserve = "reserve"
	scopeAny       = "any"
	scopePrimary   = "primary"
	scopePrefix    = "prefix"
)

// config is the stage's part of the list.
type config struct {
	Pool     string          `json:"pool"`
	Select   []choice        `json:"select"`
	Families []string        `json:"families"`
	Optional []string        `json:"optional"` // of Families, those that a pod may go without
	Wait     time.Duration   `json:"wait"`
	Gateway  string          `json:"gateway"`
	Scope    string          `json:"scope"`
	PoolFile string          `json:"poolFile"`
	IPAM     json.RawMessage `json:"ipam"` // the same keys; read apart

	delegate bool   // another plugin called us
	caller   string // its type
}

// choice is one line of select: pods of a namespace go to a pool, or choose one of some themselves.
type choice struct {
	Namespace  string   `json:"namespace"` // shell pattern
	Pool       string   `json:"pool"`
	Annotation string   `json:"annotation"`
	Allow      []string `json:"allow"` // pools that the annotation may name
}

// Validate implements stages.Validator.
func (c *config) Validate(report func(path, fault string)) {
	oneOf := func(path, value string, known ...string) {
		if !slices.Contains(known, value) {
			report(path, "want "+strings.Join(quoted(known), " or ")+", got "+strconv.Quote(value))
		}
	}
	if c.Pool == "" {
		report("pool", `want a pool's name, such as "default"`)
	}
	if len(c.Families) == 0 {
		report("families", `want "ipv4", "ipv6" or both, got none`)
	}
	for i, f := range c.Families {
		at := "families[" + strconv.Itoa(i) + "]"
		oneOf(at, f, "ipv4", "ipv6")
		if slices.Contains(c.Families[:i], f) {
			report(at, f+" is there twice")
		}
	}
	for i, f := range c.Optional {
		if at := "optional[" + strconv.Itoa(i) + "]"; !c.wants(f) {
			report(at, "want one of families, got "+strconv.Quote(f))
		} else if slices.Contains(c.Optional[:i], f) {
			report(at, f+" is there twice")
		}
	}
	if len(c.Families) > 0 && len(c.Optional) >= len(c.Families) {
		report("optional", "want at least one of families to be there for certain")
	}
	if c.Wait < 0 || c.Wait > store.MaxTicket {
		report("wait", "want 0s to "+store.MaxTicket.String()+", got "+c.Wait.String())
	}
	if c.Gateway != "" {
		oneOf("gateway", c.Gateway, gatewayNone, gatewayReserve)
	}
	if c.Scope != "" {
		oneOf("scope", c.Scope, scopeAny, scopePrimary, scopePrefix)
	}
	if !path.IsAbs(c.PoolFile) {
		report("poolFile", "want an absolute path, got "+strconv.Quote(c.PoolFile))
	}
	for i, s := range c.Select {
		at := "select[" + strconv.Itoa(i) + "]"
		switch {
		case (s.Namespace == "") == (s.Annotation == ""):
			report(at, "want either namespace or annotation")
		case s.Namespace != "" && s.Pool == "":
			report(at+".pool", "want a pool's name")
		case s.Annotation != "" && len(s.Allow) == 0:
			report(at+".allow", "want the pools that the annotation may name")
		}
		if _, err := path.Match(s.Namespace, ""); err != nil {
			report(at+".namespace", strconv.Quote(s.Namespace)+" is no shell pattern")
		}
	}
}

func quoted(words []string) []string {
	var out []string
	for _, w := range words {
		out = append(out, strconv.Quote(w))
	}
	return out
}

// decode reads the options from where they stand: beside "type" when the stage is in the list itself, in "ipam" when
// another plugin calls it, whose own keys are not looked at; both are known in a list (host-local users write the
// second). On error it returns what could be read.
func decode(r *stages.Request) (*config, error) {
	c := &config{Pool: "default", Families: []string{"ipv4"}, Wait: 20 * time.Second, PoolFile: store.DefaultPath}
	_, inner := r.Member("ipam")
	c.delegate = inner && r.Type != own
	var err error
	if c.delegate {
		c.caller = r.Type
	} else {
		err = r.Decode(c)
		if err == nil {
			err = agree(r)
		}
	}
	if inner && err == nil {
		_, err = r.DecodeMember("ipam", c)
	}
	if !path.IsAbs(c.PoolFile) {
		c.PoolFile = store.DefaultPath
	}
	if err != nil {
		return c, err
	}
	return c, errors.Join(c.settle(), c.router(r))
}

// router sees that a bridge bears the gateway's address: nothing else leads out of its subnet, nor into it.
func (c *config) router(r *stages.Request) error {
	if c.caller != bridging {
		return nil
	}
	given := "nothing"
	for _, key := range []string{"isDefaultGateway", "isGateway"} {
		raw, ok := r.Member(key)
		if string(raw) == "true" {
			return nil
		}
		if ok {
			given = string(raw)
		}
	}
	return stages.Errorf(stages.Config, "isGateway: want true, got %s: VPC addresses on a bridge need the node as their gateway", given)
}

// agree refuses an option that is said twice and differently.
func agree(r *stages.Request) error {
	raw, ok := r.Member("ipam")
	if !ok {
		return nil
	}
	var inner map[string]json.RawMessage
	if json.Unmarshal(raw, &inner) != nil {
		return nil // DecodeMember says so
	}
	var faults []string
	for key, value := range inner {
		outer, both := r.Member(key)
		if both && key != "type" && !bytes.Equal(compact(outer), compact(value)) {
			faults = append(faults, key+": "+string(compact(outer))+", but ipam."+key+" is "+string(compact(value))+"; say it once")
		}
	}
	if len(faults) > 0 {
		slices.Sort(faults)
		return stages.Errorf(stages.Config, "%s", strings.Join(faults, "; "))
	}
	return nil
}

func compact(raw []byte) []byte {
	var b bytes.Buffer
	if json.Compact(&b, raw) != nil {
		return raw
	}
	return b.Bytes()
}

// settle fills in what depends on who calls, and refuses callers that EC2's network cannot serve.
func (c *config) settle() error {
	steers := !c.delegate || c.caller == steering
	if c.Gateway == "" {
		c.Gateway = gatewayReserve
		if steers {
			c.Gateway = gatewayNone
		}
	}
	if c.Scope == "" {
		switch {
		case steers:
			c.Scope = scopeAny
		case c.caller == bridging:
			c.Scope = scopePrefix
		default:
			c.Scope = scopePrimary
		}
	}
	refuse := func(format string, args ...any) error { return stages.Errorf(stages.Config, format, args...) }
	if why, not := notUnder[c.caller]; not && c.delegate {
		return refuse("eni-ipam cannot serve %s: %s", c.caller, why)
	}
	switch {
	case c.caller == bridging && c.Scope != scopePrefix:
		return refuse(`ipam.scope: want "prefix": with the subnet's own length the node has two routes to a pod, and takes eth0's`)
	case c.caller != bridging && c.Scope == scopePrefix:
		return refuse(`scope: "prefix" gives a bridge a delegated prefix of its own as subnet; want "any" or "primary"`)
	case c.caller == bridging && c.Gateway != gatewayReserve:
		return refuse(`ipam.gateway: want "reserve": the bridge bears the first address of the prefix`)
	case !steers && c.Scope == scopeAny:
		return refuse(`ipam.scope: want "primary": %s cannot steer packets to another network interface`, c.caller)
	case c.caller == "ptp" && c.Gateway != gatewayReserve:
		return refuse(`ipam.gateway: want "reserve": ptp puts the gateway's address on the node, and the subnet's own would cut it off`)
	case steers && c.Gateway == gatewayReserve:
		return refuse(`gateway: want "none": behind routed-veth the next hop is 169.254.1.1, and no address has to be reserved`)
	}
	return nil
}

// steers says that the pod's packets will find the network interface that its address belongs to.
func (c *config) steers() bool { return !c.delegate || c.caller == steering }

func (c *config) wants(family string) bool { return slices.Contains(c.Families, family) }

// families are those that a pod must have, and those that it may go without.
func (c *config) families() (must, may []store.Family) {
	for _, f := range []store.Family{store.IPv4, store.IPv6} {
		switch name := familyName(f); {
		case slices.Contains(c.Optional, name):
			may = append(may, f)
		case c.wants(name):
			must = append(must, f)
		}
	}
	return must, may
}

// familyName is a family as the options write it.
func familyName(f store.Family) string { return "ipv" + strconv.Itoa(int(f)) }

// pools are all that this list can send a pod to, the one without a reason first.
func (c *config) pools() []string {
	all := []string{c.Pool}
	for _, s := range c.Select {
		if s.Pool != "" {
			all = append(all, s.Pool)
		}
		all = append(all, s.Allow...)
	}
	return all
}

// pool is the pool of a pod: the first line of select that matches, or the one of "pool".
func (c *config) pool(r *stages.Request) (string, error) {
	var annotations map[string]string
	for i, s := range c.Select {
		if s.Namespace != "" {
			if match, _ := path.Match(s.Namespace, r.Pod.Namespace); match && r.Pod.Name != "" {
				return s.Pool, nil
			}
			continue
		}
		if annotations == nil {
			if _, err := r.RuntimeConfig(capabilityAnnotations, &annotations); err != nil {
				return "", err
			}
		}
		name, ok := annotations[s.Annotation]
		if !ok {
			continue
		}
		if !slices.Contains(s.Allow, name) {
			return "", stages.Errorf(stages.Config, "%s asks for pool %s by annotation %s: select[%d] allows %s", whom(r),
				strconv.Quote(name), s.Annotation, i, strings.Join(s.Allow, ", "))
		}
		return name, nil
	}
	return c.Pool, nil
}

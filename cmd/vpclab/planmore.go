package main

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/enichain/enichain/test/lab/vpc"
)

// planGroup is a security group of a lab.
type planGroup struct {
	Name string            `yaml:"name" json:"name"`
	Tags map[string]string `yaml:"tags" json:"tags"`
}

// planEC2 is how EC2 behaves where its documentation leaves that open, and the account's quotas; see vpc.Config and
// docs/lab.md, "Not clear".
type planEC2 struct {
	DeletedToken            string        `yaml:"deletedToken" json:"deletedToken"` // "another", or empty
	TokenKept               time.Duration `yaml:"tokenKept" json:"tokenKept"`
	InUseAsInvalidParameter bool          `yaml:"inUseAsInvalidParameter" json:"inUseAsInvalidParameter"`
	ThrottledCosts          bool          `yaml:"throttledCosts" json:"throttledCosts"`
	ThrottledStatus         int           `yaml:"throttledStatus" json:"throttledStatus"`
	IDsUnbounded            bool          `yaml:"idsUnbounded" json:"idsUnbounded"`
	UnpagedMost             int           `yaml:"unpagedMost" json:"unpagedMost"`
	PrefixUnits             int           `yaml:"prefixUnits" json:"prefixUnits"`
	AddressRest             time.Duration `yaml:"addressRest" json:"addressRest"`
	ForcedDetachBlocks      bool          `yaml:"forcedDetachBlocks" json:"forcedDetachBlocks"`
	OverLimitStarts         bool          `yaml:"overLimitStarts" json:"overLimitStarts"`
	TerminatedKept          time.Duration `yaml:"terminatedKept" json:"terminatedKept"`
	Quotas                  planQuotas    `yaml:"quotas" json:"quotas"`
}

type planQuotas struct {
	NetworkInterfaces int `yaml:"networkInterfaces" json:"networkInterfaces"`
	AddressUsage      int `yaml:"addressUsage" json:"addressUsage"`
	Groups            int `yaml:"groups" json:"groups"`
	Tags              int `yaml:"tags" json:"tags"`
}

func (p planEC2) config() vpc.Config {
	c := vpc.Config{TokenKept: p.TokenKept, InUseAsInvalidParameter: p.InUseAsInvalidParameter, ThrottledCosts: p.ThrottledCosts,
		ThrottledStatus: p.ThrottledStatus, IDsUnbounded: p.IDsUnbounded, UnpagedMost: p.UnpagedMost, PrefixUnits: p.PrefixUnits,
		AddressRest: p.AddressRest, ForcedDetachBlocks: p.ForcedDetachBlocks, OverLimitStarts: p.OverLimitStarts,
		TerminatedKept: p.TerminatedKept, Quotas: vpc.Quotas{NetworkInterfaces: p.Quotas.NetworkInterfaces,
			AddressUsage: p.Quotas.AddressUsage, GroupsPerENI: p.Quotas.Groups, TagsPerResource: p.Quotas.Tags}}
	if p.DeletedToken == "another" {
		c.DeletedToken = vpc.MakesAnother
	}
	return c
}

// checkMore says what is wrong with IPv6, security groups and settings.
func (p *plan) checkMore(wrong func(string, ...any)) {
	block := func(where string, b, within netip.Prefix, bits int) {
		switch {
		case b.IsValid() && (!b.Addr().Is6() || b.Bits() != bits || b != b.Masked()):
			wrong("%s %s: an IPv6 network of /%d is needed", where, b, bits)
		case b.IsValid() && within.IsValid() && !within.Contains(b.Addr()):
			wrong("%s %s: not inside %s", where, b, within)
		}
	}
	block("ipv6", p.IPv6, netip.Prefix{}, 56)
	for i, s := range p.Subnets {
		if block(fmt.Sprintf("subnets[%d].ipv6", i), s.IPv6, p.IPv6, 64); s.IPv6.IsValid() && !p.IPv6.IsValid() {
			wrong("subnets[%d].ipv6 %s: the lab itself has no ipv6, for example 2001:db8:110::/56", i, s.IPv6)
		}
	}
	groups := map[string]bool{"default": true}
	for i, g := range p.Groups {
		if g.Name == "" || groups[g.Name] {
			wrong("groups[%d].name %q: must be new and not default", i, g.Name)
		}
		groups[g.Name] = true
	}
	for i, n := range slices.Concat(p.Nodes, p.Hosts) {
		for _, g := range n.Groups {
			if !groups[g] || g == "default" {
				wrong("instance %d, %s: groups: there is no group %q; without any it is the default one", i, n.Name, g)
			}
		}
	}
	if p.EC2.DeletedToken != "" && p.EC2.DeletedToken != "another" {
		wrong("ec2.deletedToken %q: another, or not given", p.EC2.DeletedToken)
	}
	if s := p.EC2.ThrottledStatus; s != 0 && s != 400 && s != 503 {
		wrong("ec2.throttledStatus %d: 400 or 503", s)
	}
}

// tags are an instance's in EC2: the file's over the lab's own.
func (n planInstance) tags(role string) map[string]string {
	tags := map[string]string{"Name": n.Name, "role": role}
	maps.Copy(tags, n.Tags)
	return tags
}

// ipv6 is how many IPv6 addresses the primary interface has: one where the subnet has IPv6, as instances get.
func (n planInstance) ipv6(p plan) int {
	for _, s := range p.Subnets {
		if s.Name == n.Subnet && s.IPv6.IsValid() {
			return 1
		}
	}
	return 0
}

func (h *holder) makeGroups(vpcID string) error {
	h.groups = map[string]string{}
	for _, g := range h.Plan.Groups {
		made, err := h.world.AddSecurityGroup(vpc.SecurityGroup{VPC: vpcID, Name: g.Name, Description: "of the lab file", Tags: g.Tags})
		if err != nil {
			return err
		}
		h.groups[g.Name] = made.ID
	}
	return nil
}

// groupIDs are the ids of security groups by their names; those of the lab's default group are left to EC2.
func (h *holder) groupIDs(names []string) []string {
	var ids []string
	for _, name := range names {
		if id := h.groups[name]; id != "" {
			ids = append(ids, id)
		}
	}
	return ids
}

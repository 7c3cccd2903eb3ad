package conformance

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/enichain/enichain/chain/contract"
)

// versionLimit is how long the first VERSION may take. What is no plugin may wait for ever.
const versionLimit = 5 * time.Second

// knownVersions are those that the suite tries, oldest first. Earlier ones have no lists of plugins.
func knownVersions() []string { return []string{"0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"} }

// prepared finds out versions and kind in a world of its own; the text says why the plugin cannot be tried at all.
func (s *subject) prepared(ctx context.Context) string {
	v, _ := s.inWorld(ctx, func(t *trial) {
		var said struct {
			SupportedVersions []string           `json:"supportedVersions"`
			Contract          *contract.Contract `json:"io.enichain/contract"`
		}
		got := t.call("VERSION", attachment{}).start().within(versionLimit)
		err := json.Unmarshal([]byte(got.stdout), &said) // a plugin that tells none fails C7 and A1
		if err != nil && t.p.name == "" && len(t.p.Config) == 0 {
			t.skip("it does not answer VERSION, so it is no CNI plugin; if it is meant to be one, give a profile: %s", got.says())
		}
		for _, v := range knownVersions() {
			if slices.Contains(said.SupportedVersions, v) {
				s.versions = append(s.versions, v)
			}
		}
		if s.kind == "" && said.Contract != nil {
			s.kind = kindByContract(*said.Contract)
		}
	})
	if v.outcome == NotRun {
		return v.why
	}
	if s.kind == "" {
		s.kind = s.kindByTrial(ctx)
	}
	if s.profile.Kind == "" {
		s.profile.Kind = s.kind // so that a chained plugin gets its wire
	}
	return ""
}

// kindByContract reads the kind from what a plugin declares about itself.
func kindByContract(c contract.Contract) Kind {
	switch {
	case slices.Contains(c.Adds, contract.SandboxInterface):
		return Interface
	case slices.Contains(c.Adds, contract.IPs):
		return IPAM
	}
	return Chained
}

// kindByTrial runs ADD as for the first plugin of a list. One that works and makes the interface is an interface plugin;
// one that works and gives addresses without any interface hands out addresses; any other belongs behind others.
func (s *subject) kindByTrial(ctx context.Context) Kind {
	kind := Chained
	s.inWorld(ctx, func(t *trial) {
		if len(s.versions) > 0 {
			t.version = s.versions[len(s.versions)-1]
		}
		a := t.attach()
		got := t.call("ADD", a).run()
		_, there := named(t.links(a.container), a.ifname)
		switch {
		case got.refused:
		case there:
			kind = Interface
		case len(list(got.out, "ips")) > 0:
			kind = IPAM
		}
	})
	return kind
}

package generation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/version"

	"github.com/enichain/enichain/chain"
	"github.com/enichain/enichain/chain/contract"
)

// Plugins runs the binaries of stages, as a runtime does.
type Plugins struct {
	Path      []string        // folders, as in CNI_PATH
	Contracts chain.Contracts // what plugins say of themselves; may be nil
}

// pluginLimit is how long one run may take: as long as a runtime gives a pod's whole DEL (containerd, 10 s), thrice.
const pluginLimit = 30 * time.Second

// Delete sends DEL of one birth to its stage i. The namespace is the birth's, or "" when that is not there any more. taken are
// addresses that others have by now: the stage is not told that they were this attachment's, because some keep their
// effects by address alone (upstream firewall) and would take the new owner's.
func (p Plugins) Delete(ctx context.Context, b Birth, i int, taken map[netip.Addr]bool) error {
	s := b.Stages[i]
	result, err := b.previous(taken)
	if err != nil {
		return err
	}
	config, err := b.Cached.configuration(s.Config, result)
	if err != nil {
		return err
	}
	netns := ""
	if boot, err := BootID(); err != nil {
		return err
	} else if b.Boot == boot && b.Netns != (Namespace{}) && namespaceAt(b.Cached.Netns) == b.Netns {
		netns = b.Cached.Netns
	}
	if netns == "" && p.fails(ctx, s, contract.Netns) {
		return nil // what it made was in the namespace, and has gone with it
	}
	a := b.Cached.Attachment
	return p.run(ctx, s, config, &invoke.Args{Command: "DEL", ContainerID: a.Container, IfName: a.IfName, NetNS: netns,
		PluginArgs: b.Cached.Args, Path: strings.Join(p.Path, ":")})
}

// fails says whether DEL of a stage is known to fail without that input.
func (p Plugins) fails(ctx context.Context, s Stage, without contract.Input) bool {
	return p.Contracts != nil && slices.Contains(p.Contracts.Of(ctx, s.Type, s.Config).DelFails, without)
}

// previous is the result that DEL gets: none before CNI 0.4.0.
func (b Birth) previous(taken map[netip.Addr]bool) (json.RawMessage, error) {
	if has, err := version.GreaterThanOrEqualTo(b.Cached.Version, "0.4.0"); err != nil || !has {
		return nil, err
	}
	if !slices.ContainsFunc(b.Cached.Addresses(), func(a netip.Addr) bool { return taken[a] }) {
		return b.Cached.Result, nil
	}
	var whole map[string]json.RawMessage
	var ips []json.RawMessage
	err := json.Unmarshal(b.Cached.Result, &whole)
	if err == nil {
		err = json.Unmarshal(whole["ips"], &ips)
	}
	ips = slices.DeleteFunc(ips, func(raw json.RawMessage) bool {
		var ip struct {
			Address netip.Prefix `json:"address"`
		}
		return json.Unmarshal(raw, &ip) == nil && taken[ip.Address.Addr()]
	})
	if err == nil {
		whole["ips"], err = json.Marshal(ips)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the result of %s: %w", b.Cached.Attachment, err)
	}
	return json.Marshal(whole)
}

// Collect sends GC to a stage of a list that nobody has any more: no attachment of that network is valid. A plugin that
// speaks no version with GC (before 1.1.0) is not asked.
func (p Plugins) Collect(ctx context.Context, network string, s Stage) error {
	path, _, err := p.command(ctx, s, nil)
	if err != nil {
		return err
	}
	ask, cancel := context.WithTimeout(ctx, pluginLimit)
	defer cancel()
	speaks, err := invoke.GetVersionInfo(ask, path, nil)
	if err != nil {
		return fmt.Errorf("cannot ask %s for its versions: %w", s.Type, err)
	}
	const withGC = "1.1.0"
	if !slices.Contains(speaks.SupportedVersions(), withGC) {
		return nil
	}
	var whole map[string]any
	if err := json.Unmarshal(s.Config, &whole); err != nil {
		return fmt.Errorf("cannot read the configuration of %s: %w", s.Type, err)
	}
	delete(whole, "capabilities")
	whole["name"], whole["cniVersion"] = network, withGC
	none := []any{}
	whole["cni.dev/valid-attachments"], whole["cni.dev/attachments"] = none, none
	config, err := json.Marshal(whole)
	if err != nil {
		return err
	}
	return p.run(ctx, s, config, &invoke.Args{Command: "GC", Path: strings.Join(p.Path, ":")})
}

// ErrMissing: the binary of a stage is not in the folders of plugins any more.
var ErrMissing = errors.New("its binary is gone")

func (p Plugins) find(plugin string) (string, error) {
	path, err := invoke.FindInPath(plugin, p.Path)
	if err != nil {
		return "", fmt.Errorf("%w from %s", ErrMissing, strings.Join(p.Path, ":"))
	}
	return path, nil
}

// command is how a stage is run: as it was then, by its own binary or within the fused one; or, where that binary is gone,
// the other way.
func (p Plugins) command(ctx context.Context, s Stage, config []byte) (path string, input []byte, err error) {
	if s.Within != "" {
		if path, err := p.find(s.Within); err == nil {
			return path, within(config), nil
		}
	}
	path, missing := p.find(s.Type)
	if missing == nil {
		return path, config, nil
	}
	if p.Contracts != nil {
		if _, inside := p.Contracts.Of(ctx, contract.Fused, nil).Stages[s.Type]; inside {
			if path, err := p.find(contract.Fused); err == nil {
				return path, within(config), nil
			}
		}
	}
	return "", nil, missing
}

// within is a stage's configuration as a fused entry of this one stage.
func within(config []byte) []byte {
	var whole map[string]json.RawMessage
	if json.Unmarshal(config, &whole) != nil {
		return config
	}
	entry := map[string]any{"type": contract.Fused}
	for key, value := range whole {
		if key == "name" || key == "cniVersion" || key == "prevResult" || strings.HasPrefix(key, "cni.dev/") {
			entry[key] = value
		}
	}
	delete(whole, "prevResult")
	entry[contract.FusedKey] = []any{whole}
	text, err := json.Marshal(entry)
	if err != nil {
		return config // of what was JSON before
	}
	return text
}

func (p Plugins) run(ctx context.Context, s Stage, config []byte, args *invoke.Args) error {
	path, config, err := p.command(ctx, s, config)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, pluginLimit)
	defer cancel()
	err = invoke.ExecPluginWithoutResult(ctx, path, config, args, nil)
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("no answer within %s: %w", pluginLimit, ctx.Err())
	}
	return err
}

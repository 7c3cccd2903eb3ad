package chain

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/enichain/enichain/chain/contract"
)

// Member is a stage of a fused entry, as an entry of its own.
type Member struct {
	Type   string
	Config json.RawMessage
}

// Members are the stages that a fused entry runs, each with the capabilities that it would have as an entry of its own:
// those that the fused entry switches on, too, for a runtime supplies no others. nil for every other plugin's entry, and
// for one of which no stages can be read.
func Members(pluginType string, config json.RawMessage) []Member {
	if pluginType != contract.Fused {
		return nil
	}
	var entry struct {
		Capabilities map[string]bool   `json:"capabilities"`
		Stages       []json.RawMessage `json:"stages"`
	}
	if json.Unmarshal(config, &entry) != nil {
		return nil
	}
	var members []Member
	for _, raw := range entry.Stages {
		var own struct {
			Type         string          `json:"type"`
			Capabilities map[string]bool `json:"capabilities"`
		}
		if json.Unmarshal(raw, &own) != nil || own.Type == "" || own.Type == contract.Fused {
			return nil
		}
		for name, on := range own.Capabilities {
			if on && !entry.Capabilities[name] {
				raw = narrowed(raw, own.Capabilities, entry.Capabilities)
				break
			}
		}
		members = append(members, Member{own.Type, raw})
	}
	return members
}

// narrowed is a configuration with those of its capabilities that another set has, too.
func narrowed(config json.RawMessage, own, other map[string]bool) json.RawMessage {
	var all map[string]any
	if json.Unmarshal(config, &all) != nil {
		return config
	}
	both := map[string]bool{}
	for name, on := range own {
		both[name] = on && other[name]
	}
	all["capabilities"] = both
	text, err := json.Marshal(all)
	if err != nil {
		return config // it was JSON before
	}
	return text
}

// parts are the stages that an entry stands for, in their places in the text: itself, or those that it fuses.
func (s Stage) parts(number int) []Stage {
	if s.Type != contract.Fused || fusedFault(s) != "" {
		return []Stage{s}
	}
	m, _ := s.at.member(contract.FusedKey)
	var parts []Stage
	for i, item := range m.value.items {
		part, _ := newStage(s.src, item, number+i, listed)
		parts = append(parts, part)
	}
	return parts
}

// fusedFault says why the stages of a fused entry cannot be read; "" if they can.
func fusedFault(s Stage) string {
	m, ok := s.at.member(contract.FusedKey)
	switch {
	case !ok:
		return "does not say which stages it runs"
	case s.src.text[m.value.start] != '[' || len(m.value.items) == 0:
		return "want a list of the entries of at least one stage, got " + brief(s.src.bytes(m.value))
	}
	for i, item := range m.value.items {
		at := contract.FusedKey + "[" + strconv.Itoa(i) + "]"
		kind, ok := item.member("type")
		name, isText := "", false
		if ok {
			name, isText = text(s.src.bytes(kind.value))
		}
		switch {
		case !isText || name == "":
			return at + `: want an object with "type", got ` + brief(s.src.bytes(item))
		case name == contract.Fused:
			return at + ": one fused entry cannot hold another"
		}
	}
	return ""
}

// knownPart is what is known of a plugin that an entry runs: what a fused one says of its stages counts, for it is their
// code that runs.
func knownPart(ctx context.Context, c Contracts, entry Stage, pluginType string, config json.RawMessage) Known {
	if entry.Type != contract.Fused || pluginType == contract.Fused {
		return c.Of(ctx, pluginType, config)
	}
	whole := c.Of(ctx, entry.Type, entry.Config)
	if own, ok := whole.Stages[pluginType]; ok {
		return Known{Contract: own, Versions: whole.Versions, From: whole.From, Binary: whole.Binary}
	}
	return c.Of(ctx, pluginType, config)
}

// ruleFused: what a fused entry says beside its stages, and whether it has them.
func ruleFused(j *judge) {
	number := 1
	for _, entry := range j.l.Stages {
		parts := entry.parts(number)
		if entry.Type == contract.Fused && entry.at != nil {
			s := &step{Stage: entry, runner: entry, number: number, known: j.contracts.Of(j.ctx, entry.Type, entry.Config)}
			if fault := fusedFault(entry); fault != "" {
				j.stage(s, contract.FusedKey, Problem{Code: "C120", Severity: Error, Text: fault, Why: "it refuses every verb, and no pod starts",
					Fixes: []string{`"stages": [ { "type": "eni-ipam" }, { "type": "routed-veth" } ]`}})
			} else {
				ruleKnown(j, s)
				ruleKeys(j, s)
				j.fusedStages(s, parts)
			}
		}
		number += len(parts)
	}
}

// fusedStages: the process has each stage in it, and the entry asks the runtime for what they need.
func (j *judge) fusedStages(entry *step, parts []Stage) {
	var heard []string
	for i, part := range parts {
		s := j.steps[entry.number-1+i]
		if _, ok := entry.known.Stages[part.Type]; !ok && entry.known.Stages != nil {
			j.stage(s, "type", Problem{Code: "C120", Severity: Error,
				Text:  fmt.Sprintf("%s has no stage %s in it, only %s", entry.Type, part.Type, strings.Join(keysOf(entry.known.Stages), ", ")),
				Why:   "it refuses every verb, and no pod starts",
				Fixes: []string{"put it beside the fused entry:  enichainctl chain fuse --undo, then chain fuse"}})
		}
		for _, name := range part.Capabilities() {
			heard = append(heard, name)
			if !slices.Contains(entry.Capabilities(), name) {
				j.stage(s, "capabilities."+name, Problem{Code: "C104", Severity: Error,
					Text: fmt.Sprintf("is not switched on in the entry of %s, which the runtime reads", entry.Type),
					Why:  "no runtime tells it anything", Fixes: []string{fmt.Sprintf(`"capabilities": { %q: true } beside "stages"`, name)}})
			}
		}
	}
	for _, name := range entry.Capabilities() {
		if !slices.Contains(heard, name) {
			j.stage(entry, "capabilities."+name, Problem{Code: "C104", Severity: Warning, Text: "none of its stages asks for this capability",
				Why: "what the runtime hands over for it is not read", Fixes: []string{"take " + strconv.Quote(name) + " out"}})
		}
	}
}

// processes are the plugins of a list as a runtime starts them.
func processes(l *List) string { return strings.Join(typesOf(l.Stages), ", ") }

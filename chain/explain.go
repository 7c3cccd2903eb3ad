package chain

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/enichain/enichain/chain/contract"
)

// Explanation says of a list what each stage needs, adds and leaves in the kernel, and what a pod ends with.
type Explanation struct {
	Network      string      `json:"network"`
	Offers       []string    `json:"cniVersions"`  // in which it can be spoken to
	Capabilities []string    `json:"capabilities"` // that it switches on, anywhere
	Stages       []Explained `json:"stages"`
	Ends         []string    `json:"ends"`   // what a pod has when the last stage is done
	Errors       int         `json:"errors"` // that Lint finds: with any, no pod comes that far
	Runtimes     []Verdict   `json:"runtimes"`
}

// Explained is one stage in its place.
type Explained struct {
	Number    int             `json:"number"`
	Type      string          `json:"type"`
	Delegate  string          `json:"delegate,omitempty"` // the plugin that it asks for addresses
	From      string          `json:"contractFrom"`       // FromInstalled, FromBuiltIn or FromNowhere
	Needs     []contract.Fact `json:"needs"`
	Adds      []contract.Fact `json:"adds"`
	Exclusive []contract.Fact `json:"exclusive"` // of Adds: only one stage of the list may
	Kernel    []string        `json:"kernel"`
	Within    string          `json:"within,omitempty"` // the plugin in whose process it runs, with its neighbours there
	File      string          `json:"file,omitempty"`   // of a drop-in
}

// Verdict is what becomes of a list with one runtime.
type Verdict struct {
	Runtime string `json:"runtime"`
	OK      bool   `json:"ok"`
	Note    string `json:"note,omitempty"`
}

// Explain tells what a list does. It judges nothing that Lint does not judge.
func Explain(ctx context.Context, l *List, c Contracts) Explanation {
	w := walk(ctx, l, c)
	e := Explanation{Network: l.Name, Offers: offers(l), Capabilities: []string{}, Ends: some(ends(w)),
		Errors: Errors(Lint(ctx, l, c, Options{}), false)}
	for _, s := range w.steps {
		x := Explained{Number: s.number, Type: s.Type, From: s.known.From, Needs: some(s.known.Requires),
			Adds:      some(s.gives()),
			Exclusive: []contract.Fact{}, Kernel: some(s.known.Kernel)}
		if s.known.Foreign() {
			x.From = FromNowhere
		}
		if s.delegate != nil {
			x.Delegate = s.Delegate()
		}
		for _, f := range x.Adds {
			if s.exclusive(f) {
				x.Exclusive = append(x.Exclusive, f)
			}
		}
		if s.fused() {
			x.Within = s.runner.Type
		}
		if s.dropIn {
			x.File = s.File
		}
		e.Stages = append(e.Stages, x)
		e.Capabilities = append(e.Capabilities, s.Capabilities()...)
	}
	slices.Sort(e.Capabilities)
	e.Capabilities = slices.Compact(e.Capabilities)
	for _, runtime := range Runtimes() {
		e.Runtimes = append(e.Runtimes, verdict(ctx, l, c, runtime, w))
	}
	return e
}

// some is a list that is never null in JSON.
func some[T any](s []T) []T { return append([]T{}, s...) }

// offers are the versions of the list, oldest first.
func offers(l *List) []string {
	out := slices.Clone(l.CNIVersions)
	if l.CNIVersion != "" {
		out = append(out, l.CNIVersion)
	}
	slices.SortFunc(out, func(a, b string) int {
		switch {
		case older(a, b):
			return -1
		case older(b, a):
			return 1
		}
		return strings.Compare(a, b)
	})
	return slices.Compact(out)
}

func verdict(ctx context.Context, l *List, c Contracts, runtime string, w *walked) Verdict {
	v := Verdict{Runtime: runtime, OK: true}
	for _, p := range Lint(ctx, l, c, Options{Runtime: runtime}) {
		if p.Severity == Error {
			v.OK = false
			v.Note = p.Code + " " + p.Text
			break
		}
	}
	last := w.last()
	if last == nil || runtime != CRIO || !v.OK {
		return v
	}
	if by, ok := last.after[contract.HostPorts]; ok {
		v.Note = fmt.Sprintf("CRI-O does host ports itself: stage %d will have nothing to do", by)
	}
	return v
}

// ends says what a pod has behind the last stage.
func ends(w *walked) []string {
	last := w.last()
	if last == nil {
		return nil
	}
	var out []string
	by := func(f contract.Fact) *step {
		if n, ok := last.after[f]; ok {
			return w.steps[n-1]
		}
		return nil
	}
	if s := by(contract.IPs); s != nil {
		out = append(out, addressWords(s, by(contract.ENI) != nil))
	}
	if by(contract.SandboxInterface) != nil && by(contract.IPs) == nil {
		out = append(out, "an interface without an address")
	}
	switch s := by(contract.Masquerade); {
	case s != nil && s.Type == "snat":
		out = append(out, "a way out as the node's primary address")
	case s != nil:
		out = append(out, "a way out under the node's address")
	case by(contract.Routed) != nil:
		out = append(out, "a way out under its own address")
	}
	if by(contract.HostPorts) != nil {
		out = append(out, "host ports")
	}
	if slices.ContainsFunc(w.steps, func(s *step) bool { return s.known.Foreign() }) {
		out = append(out, "whatever the stages do of which nothing is known")
	}
	return out
}

// addressWords says how many addresses, and whose.
func addressWords(s *step, vpc bool) string {
	words := "an address"
	var keys struct {
		Families []string `json:"families"`
		IPAM     struct {
			Families []string `json:"families"`
		} `json:"ipam"`
	}
	if json.Unmarshal(s.Config, &keys) == nil && vpc {
		switch families := append(keys.Families, keys.IPAM.Families...); {
		case len(families) > 1:
			words = "1 address per family"
		case len(families) == 1 && families[0] == "ipv6":
			words = "1 IPv6 address"
		default:
			words = "1 IPv4 address"
		}
	}
	if vpc {
		words += " of the VPC"
	}
	return words
}

package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/enichain/enichain/chain/contract"
	"github.com/enichain/enichain/stages"
)

func (a *app) versionCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "version",
		Short:   "this tool, each installed stage, the daemon; warns on mixed versions",
		Example: "  enichainctl version --cni-path /opt/cni/bin",
		Args:    noArguments,
		RunE:    func(c *cobra.Command, _ []string) error { return a.showVersion(c) },
	}
	c.Flags().StringVar(&a.cniPath, "cni-path", cmp.Or(a.getenv("CNI_PATH"), "/opt/cni/bin"),
		"where the stages are installed; folders separated by ':' (environment: CNI_PATH)")
	return c
}

// release is one part and its version.
type release struct {
	Part    string `json:"part"`
	Version string `json:"version"` // "" where it does not tell
	Path    string `json:"path,omitempty"`
	Note    string `json:"note,omitempty"`
}

// stageLimit is how long a stage may take to say its version.
const stageLimit = 2 * time.Second

func (a *app) showVersion(c *cobra.Command) error {
	parts := []release{{Part: "enichainctl", Version: stages.Release}}
	if d, err := a.daemon(c.Context()); err != nil {
		parts = append(parts, release{Part: "enichaind", Note: err.Error()})
	} else {
		parts = append(parts, release{Part: "enichaind", Version: d.Version})
	}
	for _, name := range []string{"eni-ipam", "routed-veth", "snat", "portmap-compat", contract.Fused} {
		parts = append(parts, a.stageVersion(c.Context(), name))
	}
	mixed := false
	for _, p := range parts {
		mixed = mixed || p.Version != "" && p.Version != parts[0].Version
	}
	var err error
	if a.format == "json" {
		err = a.json(map[string]any{"parts": parts, "mixed": mixed})
	} else {
		rows := [][]string{{"PART", "VERSION", "WHERE"}}
		for _, p := range parts {
			where := p.Path
			if p.Note != "" {
				where = strings.TrimSpace(where + " " + p.Note)
			}
			rows = append(rows, []string{p.Part, p.Version, where})
		}
		a.table(rows)
		if mixed {
			a.printf("mixed versions: install all parts of one release\n")
		}
	}
	if err == nil && mixed {
		return errWrong
	}
	return err
}

// stageVersion asks a binary as a runtime does.
func (a *app) stageVersion(ctx context.Context, name string) release {
	r := release{Part: name, Note: "not installed in " + a.cniPath}
	for dir := range strings.SplitSeq(a.cniPath, ":") {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err != nil {
			continue
		}
		r.Path, r.Note = path, ""
		ctx, cancel := context.WithTimeout(ctx, stageLimit)
		defer cancel()
		c := exec.CommandContext(ctx, path)
		c.Env = []string{"CNI_COMMAND=VERSION", "CNI_PATH=" + a.cniPath}
		c.Stdin = strings.NewReader(`{"cniVersion":"1.0.0"}`)
		var out bytes.Buffer
		c.Stdout = &out
		if err := c.Run(); err != nil {
			r.Note = "does not answer VERSION: " + err.Error()
			return r
		}
		var said map[string]json.RawMessage
		if json.Unmarshal(out.Bytes(), &said) != nil || json.Unmarshal(said[stages.ReleaseKey], &r.Version) != nil {
			r.Note = "does not tell its version: not one of ours"
		}
		return r
	}
	return r
}

package main

import (
	"runtime/debug"

	"github.com/enichain/enichain/stages"
)

// version is what the build wrote in, or the module's version, or the commit that this program was built from.
func version() string {
	if stages.Release != "development" {
		return stages.Release
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	commit, changed := "", ""
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			commit = s.Value[:min(12, len(s.Value))]
		case "vcs.modified":
			if s.Value == "true" {
				changed = "+changes"
			}
		}
	}
	if commit == "" {
		return "development"
	}
	return commit + changed
}

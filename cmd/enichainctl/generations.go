package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/enichain/enichain/chain/generation"
)

func (a *app) generationsCommand() *cobra.Command {
	var s generation.Store
	c := &cobra.Command{
		Use:   "generations",
		Short: "the lists that were installed, and how many pods have each",
		Long: "Shows each network's lists, newest first, with the pods that were made by them. Generation 0 is a list that was not\n" +
			"installed by enichain. Exit code 1 where a departed stage cannot be cleaned up.",
		Example: "  enichainctl chain generations",
		Args:    noArguments,
		RunE:    func(*cobra.Command, []string) error { return a.showGenerations(s) },
	}
	a.listFlags(c, &s)
	return c
}

func (a *app) showGenerations(s generation.Store) error {
	views, err := s.View()
	if err != nil {
		return blind(err, "try again as root")
	}
	faults := generationFaults(views)
	if a.format == "json" {
		if views == nil {
			views = []generation.View{}
		}
		err = a.json(views)
	} else {
		a.printGenerations(views, faults)
	}
	if err == nil && len(faults) > 0 {
		return errWrong
	}
	return err
}

func (a *app) printGenerations(views []generation.View, faults []string) {
	rows := [][]string{{"NETWORK", "GENERATION", "INSTALLED", "PODS", "ENDING", "FILE", "STAGES", "STILL THERE"}}
	for _, v := range views {
		for _, g := range v.Generations {
			installed, file := "", ""
			if !g.Installed.IsZero() {
				installed = g.Installed.In(a.zone).Format("2006-01-02 15:04:05")
			}
			if g.Current {
				file = v.File
			}
			ending := ""
			if g.Ending > 0 {
				ending = strconv.Itoa(g.Ending)
			}
			rows = append(rows, []string{v.Network, strconv.Itoa(g.Number), installed, strconv.Itoa(g.Pods), ending, file,
				strings.Join(g.Stages, " "), strings.Join(g.Departed, " ")})
		}
	}
	if len(rows) == 1 {
		a.printf("no list was installed by enichain\n")
		return
	}
	a.table(rows)
	for _, f := range faults {
		a.printf("WRONG   %s\n", f)
	}
}

// generationFaults are what keeps departed stages from being cleaned up.
func generationFaults(views []generation.View) (faults []string) {
	for _, v := range views {
		faults = append(faults, v.Faults...)
		for _, g := range v.Generations {
			for _, f := range g.Faults {
				faults = append(faults, fmt.Sprintf("generation %d of %s: %s", g.Number, v.Network, f))
			}
		}
	}
	return faults
}

// generationsLine is a network's part of one line: "generation 3 (7 pods), generation 2 (3 pods, portmap still installed)".
func generationsLine(v generation.View) string {
	var parts []string
	for _, g := range v.Generations {
		if !g.Current && g.Pods+g.Ending == 0 {
			continue
		}
		part := fmt.Sprintf("generation %d (%s", g.Number, plural(g.Pods, "pod"))
		if g.Number == 0 {
			part = fmt.Sprintf("a list of somebody else's (%s", plural(g.Pods, "pod"))
		}
		if len(g.Departed) > 0 {
			part += ", " + strings.Join(g.Departed, " and ") + " still installed"
		}
		parts = append(parts, part+")")
	}
	return strings.Join(parts, ", ")
}

// chainLines are the lines of "status" about lists: one for each network whose lists are kept, else what the daemon
// says. What keeps a departed stage from being cleaned up is a fault.
func chainLines(s generation.Store, daemon string) (lines, faults []string, views []generation.View) {
	views, err := s.View()
	if err != nil {
		return []string{fmt.Sprintf("%s    (generations: %v)", daemon, err)}, nil, nil
	}
	for _, v := range views {
		file := v.File
		if file == "" {
			file = "no list of network " + v.Network
		}
		if line := generationsLine(v); line != "" {
			file += "  " + line
		}
		lines = append(lines, file)
	}
	if len(lines) == 0 {
		lines = []string{daemon}
	}
	return lines, generationFaults(views), views
}

package compose

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"

	"github.com/containernetworking/cni/libcni"

	"github.com/enichain/enichain/chain"
	"github.com/enichain/enichain/test/need"
)

// lists is the folder with good and bad lists that package chain is tried with.
const lists = "../../../chain/testdata/lists"

// judged is one of its lists, with lint's word and, where it was tried, the trial's.
type judged struct {
	file     string
	list     *chain.List // nil: nobody takes the file
	problems []chain.Problem
	skip     string // why it cannot be tried here
	tried    string // in one word or two
	faults   []string
}

func (j *judged) name() string {
	return strings.TrimPrefix(j.file, lists+"/")
}

func (j *judged) errors() int { return chain.Errors(j.problems, false) }

// words is lint's word: the codes, errors in capitals as they are, warnings in brackets.
func (j *judged) words() string {
	var codes []string
	for _, p := range j.problems {
		code := p.Code
		if p.Severity == chain.Warning {
			code = "(" + code + ")"
		}
		codes = append(codes, code)
	}
	slices.Sort(codes)
	if codes = slices.Compact(codes); len(codes) == 0 {
		return "-"
	}
	return strings.Join(codes, " ")
}

// TestLintAgainstTry holds lint against what really happens: a list without errors works, but for what a warning
// foretold, and a list with an error does not.
func TestLintAgainstTry(t *testing.T) {
	need.NetAdmin(t)
	need.Tool(t, "iptables", "iptables")
	path := bins(t)
	contracts := composer(t).Contracts
	var all []*judged
	files, err := filepath.Glob(lists + "/*/*.conf*")
	if err != nil || len(files) < 30 {
		t.Fatalf("%d lists: this test looks at too little (%v)", len(files), err)
	}
	var jobs []job
	var run []*judged
	for _, file := range files {
		j := &judged{file: file}
		all = append(all, j)
		j.list, j.problems = chain.Load(file)
		if j.list == nil {
			j.tried = j.refusedByLibcni()
			continue
		}
		j.problems = append(j.problems, chain.Lint(t.Context(), j.list, contracts, chain.Options{})...)
		if j.skip = elsewhere(j.list, path); j.skip == "" {
			run, jobs = append(run, j), append(jobs, job{Text: asList(t, j.list), Version: j.list.Version(), Path: path})
		}
	}
	trials(t, 0, jobs, func(i int, o outcome) { run[i].judge(o) })
	report(t, all)
}

// refusedByLibcni wants libcni to refuse what chain cannot read.
func (j *judged) refusedByLibcni() string {
	var err error
	if filepath.Ext(j.file) == ".conflist" {
		_, err = libcni.ConfListFromFile(j.file)
	} else {
		_, err = libcni.ConfFromFile(j.file) //lint:ignore SA1019 runtimes still read such files
	}
	if err == nil {
		j.faults = append(j.faults, "libcni takes the file")
	}
	return "not read"
}

// elsewhere is why a list cannot be tried here, "" if it can.
func elsewhere(l *chain.List, path []string) string {
	for _, s := range l.Stages {
		for _, plugin := range []string{s.Type, s.Delegate()} {
			if plugin != "" && !slices.ContainsFunc(path, func(dir string) bool { return exists(filepath.Join(dir, plugin)) }) {
				return "no " + plugin + " here"
			}
		}
		if why := unrunnable(Variant{Type: s.Type, Single: string(s.Config)}); why != "" {
			return why
		}
	}
	if len(l.Stages) == 1 && l.Stages[0].Type == "loopback" {
		return "lo is no network of a pod"
	}
	return ""
}

// asList is the text of a list, or what a runtime makes of one plugin's configuration.
func asList(t *testing.T, l *chain.List) []byte {
	t.Helper()
	if !l.Single {
		return l.Raw()
	}
	conf, err := libcni.ConfFromBytes(l.Raw()) //lint:ignore SA1019 as above
	if err != nil {
		t.Fatal(err)
	}
	list, err := libcni.ConfListFromConf(conf) //lint:ignore SA1019 as above
	if err != nil {
		t.Fatal(err)
	}
	return list.Bytes
}

// judge compares a trial with lint's word.
func (j *judged) judge(o outcome) {
	switch broken := o.broken(); {
	case o.Report == nil:
		j.tried = "not tried"
		if j.errors() == 0 {
			j.faults = append(j.faults, o.Err)
		}
	case j.errors() > 0 && len(broken) == 0:
		j.tried = "works"
		j.faults = append(j.faults, "a false alarm: it works")
	case j.errors() > 0:
		j.tried = "breaks: " + broken[0]
	default:
		j.faults = unexplained(broken, j.problems)
		j.tried = "works"
		if len(j.faults) > 0 {
			j.tried = "breaks"
		} else if len(broken) > 0 {
			j.tried = "as warned: " + broken[0]
		}
	}
}

func (o outcome) broken() []string {
	if o.Report == nil {
		return nil
	}
	return o.Broken
}

// report prints the table, and fails for each list on which lint and the trial are not of one mind.
func report(t *testing.T, all []*judged) {
	t.Helper()
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "LIST\tLINT\tTRIED")
	counts := map[string]int{}
	for _, j := range all {
		tried := j.tried
		if j.skip != "" {
			tried = "not here: " + j.skip
			counts["not to be tried here"]++
		} else if j.errors() > 0 {
			counts["refused"]++
		} else {
			counts["taken"]++
		}
		if len(tried) > 110 {
			tried = tried[:107] + "…"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", j.name(), j.words(), tried)
		for _, fault := range j.faults {
			t.Errorf("%s (lint: %s): %s", j.name(), j.words(), fault)
		}
	}
	w.Flush()
	t.Attr("size", fmt.Sprintf("%d lists: %v", len(all), counts))
	t.Logf("%s", b.String())
}

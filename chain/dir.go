package chain

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/enichain/enichain/chain/spelling"
)

// LoadDir reads a folder of lists as runtimes do: the files that end in .conf, .conflist or .json, by name. containerd
// takes the first and stops at a broken one that sorts before it; CRI-O reads all, skips what is broken, and takes the
// first for its default; Options.Runtime says whose way counts, containerd's without one. It returns every list that can
// be read, in that order, and what is wrong with the files and with their standing beside each other; Lint judges each
// list for itself.
func LoadDir(dir string, o Options) ([]*List, []Problem) {
	paths, err := confFiles(dir, ".conf", ".conflist", ".json")
	if _, stat := os.Stat(dir); err == nil {
		err = stat
	}
	if err != nil {
		return nil, []Problem{{File: dir, Code: codeRead, Severity: Error,
			Text: "cannot read the folder: " + unwrapped(err)}}
	}
	d := &folder{dir: dir, runtime: o.Runtime}
	for _, path := range paths {
		l, problems := Load(path)
		d.problems = append(d.problems, problems...)
		d.files = append(d.files, file{path: path, list: l})
		if l != nil {
			d.lists = append(d.lists, l)
		}
	}
	if len(paths) == 0 {
		d.problems = append(d.problems, Problem{File: dir, Code: codeRead, Severity: Error,
			Text: "no file here ends in .conf, .conflist or .json",
			Why:  "a runtime finds no network, and the node stays NotReady"})
	}
	d.broken()
	d.shadowed()
	d.names()
	d.unread()
	return d.lists, d.problems
}

// folder is what is being found out about a folder.
type folder struct {
	dir      string
	runtime  string
	files    []file
	lists    []*List
	problems []Problem
}

// file is one that runtimes look at; list is nil where they cannot read it.
type file struct {
	path string
	list *List
}

func (d *folder) report(path, code string, s Severity, text, why string, fixes ...string) {
	d.problems = append(d.problems, Problem{File: path, Code: code, Severity: s, Text: text, Why: why, Fixes: fixes})
}

// broken files stop containerd at the first file, and cnitool at any.
func (d *folder) broken() {
	for i, f := range d.files {
		if f.list != nil {
			continue
		}
		others := len(d.files) - i - 1
		away := "mv " + f.path + " " + f.path + ".bak"
		switch {
		case d.runtime == CRIO:
			d.report(f.path, "C303", Warning, "CRI-O skips the file", "its network is not there for any pod", away)
		case i == 0 && others > 0:
			d.report(f.path, "C303", Error,
				fmt.Sprintf("cannot be read and sorts first: containerd loads no network, %s behind it neither",
					count(others, "file")),
				"no pod starts, and none that runs is torn down", away)
		case i > 0:
			d.report(f.path, "C303", Warning,
				"cannot be read; harmless to containerd only as long as "+filepath.Base(d.files[0].path)+" sorts before it",
				"containerd reads the first file alone; cnitool stops here whatever network it is asked for", away)
		}
	}
}

func count(n int, what string) string {
	if n == 1 {
		return "the one " + what
	}
	return fmt.Sprintf("the %d %ss", n, what)
}

// shadowed files are not a pod's first network.
func (d *folder) shadowed() {
	if len(d.lists) == 0 {
		return
	}
	first := d.files[0]
	if d.runtime == CRIO {
		first = file{path: d.lists[0].Path, list: d.lists[0]}
	}
	for _, l := range d.lists {
		switch {
		case l.Path == first.path || first.list == nil:
		case d.runtime == CRIO:
			d.report(l.Path, "C301", Warning,
				"is not CRI-O's default network: "+filepath.Base(first.path)+" sorts first", "pods get it only where they ask for it by name",
				"give it a name that sorts first, or set cni_default_network")
		default:
			d.report(l.Path, "C301", Warning, "no pod gets it: "+filepath.Base(first.path)+" sorts first",
				"containerd reads the first file alone",
				"give it a name that sorts first, or move one of the two away")
		}
	}
}

// names: one network's name stands for one list.
func (d *folder) names() {
	seen := map[string]*List{}
	for _, l := range d.lists {
		other, twice := seen[l.Name]
		if !twice {
			seen[l.Name] = l
			continue
		}
		d.problems = append(d.problems, Problem{File: l.Path, Line: l.line("name"), Key: "name", Code: "C302",
			Severity: Error,
			Text:     fmt.Sprintf("%q is the name of %s, too", l.Name, filepath.Base(other.Path)),
			Why:      "DEL finds a pod's results and addresses by the network's name: one list would be asked to delete what the other made",
			Fixes:    []string{fmt.Sprintf(`"name": %q`, l.Name+"-2")}})
	}
}

// unread files look like lists, and no runtime looks at them for their suffix.
func (d *folder) unread() {
	entries, err := os.ReadDir(d.dir)
	if err != nil {
		return // said already
	}
	for _, e := range entries {
		suffix := filepath.Ext(e.Name())
		meant := suffix == "" || slices.Contains([]string{".yaml", ".yml", ".txt", ".list", ".config", ".cfg"},
			suffix) ||
			!isConf(suffix) && spelling.Nearest(suffix, []string{".conflist", ".conf", ".json"}) != ""
		if e.IsDir() || !meant || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		path := filepath.Join(d.dir, e.Name())
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		src, err := read(path, text)
		if err != nil || !looksLikeList(src) {
			continue
		}
		d.report(path, "C304", Warning, "no runtime reads it: its name ends in none of .conflist, .conf and .json",
			"the network is not there for any pod",
			"mv "+path+" "+strings.TrimSuffix(path, suffix)+".conflist")
	}
}

func isConf(suffix string) bool {
	return slices.Contains([]string{".conf", ".conflist", ".json"}, suffix)
}

func looksLikeList(src *source) bool {
	_, plugins := src.root.member("plugins")
	_, one := src.root.member("type")
	_, version := src.root.member("cniVersion")
	return plugins || one && version
}

func unwrapped(err error) string {
	_, after, found := strings.Cut(unread(err), ": ")
	if !found {
		return err.Error()
	}
	return after
}

// ruleDropIns: drop-ins are read, and by this runtime.
func ruleDropIns(j *judge) {
	l := j.l
	if l.Path == "" || l.Name == "" || strings.ContainsRune(l.Name, filepath.Separator) {
		return
	}
	dir := filepath.Join(filepath.Dir(l.Path), l.Name)
	if j.options.Runtime == Containerd17 && len(l.Stages) > l.inline {
		p := Problem{Code: "C305", Severity: Error,
			Text: "containerd 1.7 reads no drop-ins: its libcni came before them",
			Why:  "pods get the list without this stage", Fixes: []string{"write the stage into " + l.Path}}
		for _, s := range j.steps[l.inline:] {
			j.stage(s, "", p)
		}
	}
	if l.src == nil || !onDisk(l.Path) {
		return
	}
	suffixes := []string{".conflist", ".json"} // beside drop-ins
	if l.Single {
		suffixes = []string{".conf"}
	}
	paths, err := confFiles(dir, suffixes...)
	if err != nil || l.LoadOnlyInlined {
		return
	}
	for _, path := range paths {
		p := Problem{File: path, Code: "C305", Severity: Warning, Text: "is not read: a drop-in's name ends in .conf",
			Why:   "the network is loaded without it",
			Fixes: []string{"mv " + path + " " + strings.TrimSuffix(path, filepath.Ext(path)) + ".conf"}}
		if l.Single {
			p.Text = "is not read: " + filepath.Base(l.Path) + " holds one plugin's configuration, and only a .conflist has drop-ins"
			p.Fixes = []string{`write ` + l.Path + ` as a list: { "name": …, "plugins": [ … ] }, and call it .conflist`}
		}
		j.problems = append(j.problems, p)
	}
}

func onDisk(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

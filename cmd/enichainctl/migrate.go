package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"
)

func (a *app) migrateCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "migrate",
		Short: "from amazon-vpc-cni-k8s to here",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("migrate has no command %q", args[0])
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(a.planCommand())
	return c
}

func (a *app) planCommand() *cobra.Command {
	var cluster, out string
	c := &cobra.Command{
		Use:   "plan [FILE]",
		Short: "our configuration and list from an aws-node DaemonSet, and what has no counterpart",
		Long: "Reads the DaemonSet aws-node as kubectl prints it (YAML or JSON; a list or several documents, with ENIConfigs and\n" +
			"ConfigMaps beside it), says of each of its settings what becomes of it, and writes enichaind's configuration and\n" +
			"the list of stages. It changes nothing, anywhere. Without FILE, or with \"-\", standard input is read.\n" +
			"Exit code 1: something that is in effect there has no counterpart here, or could not be read.",
		Example: "  kubectl get daemonset/aws-node -n kube-system -o json | enichainctl migrate plan --cluster prod\n" +
			"  enichainctl migrate plan --out /etc/enichain aws-node.yaml",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return fmt.Errorf("plan takes one file, but got %d", len(args))
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			return a.showPlan(c.Context(), append(args, "-")[0], cluster, out)
		},
	}
	c.Flags().StringVar(&cluster, "cluster", "", "name of the cluster, in place of CLUSTER_NAME")
	c.Flags().StringVar(&out, "out", "", "write enichaind.yaml and 05-enichain.conflist into this folder instead of printing them")
	return c
}

// migration is what "migrate plan" finds.
type migration struct {
	From      string    `json:"from"`
	Version   string    `json:"version,omitempty"`
	Settings  []outcome `json:"settings"`
	Elsewhere []outcome `json:"elsewhere"` // what a DaemonSet does not show
	Do        []string  `json:"do"`        // before it can run
	Config    string    `json:"config"`    // enichaind.yaml
	List      string    `json:"list"`      // 05-enichain.conflist
	Safe      bool      `json:"safe"`      // nothing is lost or unknown
	cluster   string
}

// planMigration says what becomes of an installation. The cluster's name overrules the installation's.
func planMigration(ctx context.Context, n awsNode, cluster string) (migration, error) {
	there, _ := n.value("CLUSTER_NAME")
	m := migration{From: n.Name, Version: n.Version, Elsewhere: elsewhere(), cluster: cmp.Or(cluster, there), Safe: true, Do: []string{}}
	known := map[string]bool{}
	for _, k := range knobs() {
		known[k.name] = true
		m.Settings = append(m.Settings, k.described(n))
	}
	for _, name := range slices.Sorted(maps.Keys(n.set)) {
		if !known[name] {
			m.Settings = append(m.Settings, outcome{Name: name, Value: n.set[name].value, Fate: unknown,
				Text: "not a setting of amazon-vpc-cni-k8s v1.23: see what it is for"})
		}
	}
	if v := n.windows["enable-windows-ipam"]; v == "true" {
		m.Settings = append(m.Settings, outcome{Name: "enable-windows-ipam", Value: v, Fate: lost, Text: "ours is Linux: Windows nodes stay with theirs"})
	}
	for _, stray := range n.strays {
		m.Settings = append(m.Settings, outcome{Name: "the manifest", Fate: unknown, Text: stray})
	}
	for _, o := range m.Settings {
		m.Safe = m.Safe && o.Fate != lost && o.Fate != unknown
	}
	list, err := n.list(ctx)
	if err != nil {
		return m, err
	}
	m.Config, m.List = n.config(m.cluster), string(list)
	m.Do = n.toDo(m)
	return m, nil
}

// toDo is what no DaemonSet says, and what to decide.
func (n awsNode) toDo(m migration) (do []string) {
	if m.cluster == "" && !n.byOthers() {
		do = append(do, "name the cluster: --cluster NAME; each interface is tagged with it, and no other cluster of the account may have it")
	}
	if !n.byOthers() {
		do = append(do, "say where the bus is: bus.listen and bus.users on the control plane, bus.urls and bus.credentials on nodes")
	}
	if label, _ := n.value("ENI_CONFIG_LABEL_DEF"); n.custom() && !told(wellKnown(label)) {
		do = append(do, fmt.Sprintf("tag each instance as its node is labelled, %s=ENICONFIG: pools select by EC2 tags",
			cmp.Or(label, "k8s.amazonaws.com/eniConfig")))
	}
	if !n.custom() && len(n.configs) > 0 {
		do = append(do, fmt.Sprintf("nothing for %s: custom networking is off there", plural(len(n.configs), "ENIConfig")))
	}
	if !m.Safe {
		do = append(do, "decide about each line that begins with \"!\"")
	}
	return do
}

func (a *app) showPlan(ctx context.Context, file, cluster, out string) error {
	text, err := a.readManifest(file)
	if err != nil {
		return err
	}
	objects, err := readObjects(text)
	var n awsNode
	if err == nil {
		n, err = findAWSNode(objects)
	}
	if err != nil {
		return &failure{code: exitUsage, err: fmt.Errorf("%s: %w", named(file), err),
			do: "kubectl get daemonset/aws-node -n kube-system -o yaml | enichainctl migrate plan -"}
	}
	m, err := planMigration(ctx, n, cluster)
	if err != nil {
		return blind(fmt.Errorf("cannot write the list: %w", err), "")
	}
	if out != "" {
		if m.cluster == "" && !n.byOthers() {
			return errors.New("--out: CLUSTER_NAME is empty there, and the configuration needs one: --cluster NAME")
		}
		if err := m.save(out); err != nil {
			return blind(err, "")
		}
	}
	if a.format == "json" {
		err = a.json(m)
	} else {
		a.printPlan(m, out)
	}
	if err == nil && !m.Safe {
		return errWrong
	}
	return err
}

func named(file string) string {
	if file == "-" {
		return "standard input"
	}
	return file
}

func (a *app) readManifest(file string) ([]byte, error) {
	in := a.in
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, blind(fmt.Errorf("cannot read the manifest: %w", err), "")
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, mostManifest+1))
	switch {
	case err != nil:
		return nil, blind(fmt.Errorf("cannot read the manifest: %w", err), "")
	case len(text) > mostManifest:
		return nil, fmt.Errorf("%s has more than %d MiB; give the DaemonSet and the ENIConfigs alone", named(file), mostManifest>>20)
	}
	return text, nil
}

// The names of the two files.
const (
	configName = "enichaind.yaml"
	listName   = "05-enichain.conflist"
)

// save writes both files, neither over one that is there.
func (m migration) save(dir string) error {
	files := map[string]string{configName: m.Config, listName: m.List}
	for name := range files {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			return fmt.Errorf("cannot write %s: there is one already", filepath.Join(dir, name))
		}
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return fmt.Errorf("cannot write the plan: %w", err)
		}
	}
	return nil
}

func (a *app) printPlan(m migration, out string) {
	a.printf("DaemonSet %s%s\n", m.From, spaced(m.Version))
	for _, part := range []struct {
		fate fate
		head string
	}{
		{lost, "no counterpart, and in effect there"}, {unknown, "unknown"}, {carried, "carried"}, {needless, "no counterpart needed"},
		{notSet, "not set there"},
	} {
		rows := [][]string{}
		for _, o := range m.Settings {
			if o.Fate == part.fate {
				rows = append(rows, o.row())
			}
		}
		if len(rows) > 0 {
			a.printf("\n%s\n", part.head)
			a.table(rows)
		}
	}
	a.printf("\nwhat a DaemonSet does not show\n")
	rows := [][]string{}
	for _, o := range m.Elsewhere {
		row := o.row()
		row[0] = "  " + o.Name // nothing says that it is in effect
		rows = append(rows, row)
	}
	a.table(rows)
	if len(m.Do) > 0 {
		a.printf("\nto do\n")
	}
	for i, d := range m.Do {
		a.printf("%3d  %s\n", i+1, d)
	}
	if out != "" {
		a.printf("\nwritten: %s, %s\n", filepath.Join(out, configName), filepath.Join(out, listName))
		return
	}
	a.printf("\n--- %s\n%s\n--- %s\n%s", configName, m.Config, listName, m.List)
}

// row is an outcome as a line of the plan.
func (o outcome) row() []string {
	mark := " "
	if o.Fate == lost || o.Fate == unknown {
		mark = "!"
	}
	name := o.Name
	if o.Value != "" {
		name += "=" + clipped(o.Value)
	}
	switch {
	case o.Fate == notSet:
		return []string{mark + " " + o.Name, "theirs: " + o.Text, "ours: " + o.To}
	case o.To != "" && o.Text != "":
		return []string{mark + " " + name, o.To + "   (" + o.Text + ")"}
	}
	return []string{mark + " " + name, cmp.Or(o.To, o.Text)}
}

// clipped keeps a value from tearing a table apart.
func clipped(value string) string {
	const most = 40
	value = printable(value)
	if r := []rune(value); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return value
}

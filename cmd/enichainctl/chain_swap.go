package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/enichain/enichain/chain"
	"github.com/enichain/enichain/chain/generation"
)

func (a *app) composeCommand() *cobra.Command {
	var o chain.ComposeOptions
	c := &cobra.Command{
		Use:   "compose STAGE…",
		Short: "print a list with sane keys for these stages",
		Long: "Prints a list of the given stages, in this order. A stage is a plugin's type, or caller{delegate} for one that asks\n" +
			"another for addresses. It judges nothing: pipe it into \"enichainctl chain lint -\".",
		Example: "  enichainctl chain compose eni-ipam routed-veth snat portmap-compat --name prod --set routed-veth.mtu=1500\n" +
			"  enichainctl chain compose 'ptp{eni-ipam}' snat",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return fmt.Errorf("compose takes the stages, such as: eni-ipam routed-veth")
			}
			return nil
		},
	}
	x := a.chainFlags(c)
	c.Flags().StringVar(&o.Name, "name", "enichain", "the network's name")
	c.Flags().StringArrayVar(&o.Set, "set", nil, "stage.key=value, where stage is a type or a number; may be repeated")
	c.RunE = func(c *cobra.Command, args []string) error {
		o.Contracts = x.contracts()
		text, err := chain.Compose(c.Context(), args, o)
		if err != nil {
			return err
		}
		x.printf("%s", text)
		return nil
	}
	return c
}

// swapping is one run of "chain swap".
type swapping struct {
	*chains
	confDir      string
	set          []string
	write, force bool
}

func (a *app) swapCommand() *cobra.Command {
	x := &swapping{}
	c := &cobra.Command{
		Use:   "swap OLD=NEW [FILE]",
		Short: "replace one stage, carrying over the keys that both understand",
		Long: "Replaces a stage of a list, named by its type or number. Keys that both stages understand are carried over; all else\n" +
			"in the file stays as it is, byte for byte. The new list goes to standard output, what changed to standard error.\n" +
			"Without FILE it is the list that containerd reads. Exit code 1: the result has errors; nothing is written then.",
		Example: "  enichainctl chain swap portmap-compat=portmap conflists/05-enichain.conflist\n" +
			"  enichainctl chain swap eni-ipam=host-local --set ranges=10.244.1.0/24 -w my.conflist",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 1 || len(args) > 2 {
				return fmt.Errorf("swap takes OLD=NEW and at most one file")
			}
			return nil
		},
	}
	x.chains = a.chainFlags(c)
	x.runtimeFlag(c)
	c.Flags().StringVar(&x.confDir, "conf-dir", generation.DefaultConfDir, "where the runtime reads its lists")
	c.Flags().StringArrayVar(&x.set, "set", nil, "key=value of the new stage; may be repeated")
	c.Flags().BoolVarP(&x.write, "write", "w", false, "write the file in place, and print nothing")
	c.Flags().BoolVar(&x.force, "force", false, "also where the result has errors")
	c.RunE = func(c *cobra.Command, args []string) error { return x.run(c.Context(), args) }
	return c
}

// swapped is the JSON form of the answer.
type swapped struct {
	List     string          `json:"list"` // the new text
	Carried  []string        `json:"carried"`
	Dropped  []string        `json:"dropped"`
	Problems []chain.Problem `json:"problems"`
	Written  string          `json:"written,omitempty"`
}

func (x *swapping) run(ctx context.Context, args []string) error {
	old, replacement, ok := strings.Cut(args[0], "=")
	if !ok || old == "" || replacement == "" {
		return fmt.Errorf("%q: want OLD=NEW, such as portmap-compat=portmap", args[0])
	}
	o, err := x.options()
	if err != nil {
		return err
	}
	path, err := x.file(args[1:])
	if err != nil {
		return err
	}
	l, err := x.must(path)
	if err != nil {
		return err
	}
	done, err := chain.Swap(ctx, l, old, replacement, chain.SwapOptions{Set: x.set, Contracts: x.contracts()})
	if err != nil {
		return &failure{code: exitWrong, err: err}
	}
	after, problems := chain.LoadText(l.Path, done.Text)
	problems = x.judge(ctx, after, problems, o)
	if x.format == "text" {
		x.changes(l, after, done, problems)
	}
	if n := chain.Errors(problems, false); n > 0 && !x.force {
		if x.format == "json" {
			x.app.problems(x.err, problems)
		}
		return &failure{code: exitWrong, err: fmt.Errorf("the list would have %s; nothing was written", plural(n,
			"error")), do: "take it all the same:  --force"}
	}
	return x.answer(path, done, problems)
}

// listed is never null in JSON.
func listed[T any](s []T) []T { return append([]T{}, s...) }

// file is the list that is meant: containerd's where none is named.
func (x *swapping) file(args []string) (string, error) {
	if len(args) == 1 {
		if x.write && args[0] == "-" {
			return "", errors.New("-w needs a file to write, and standard input is none")
		}
		return args[0], nil
	}
	lists, problems := chain.LoadDir(x.confDir, chain.Options{})
	if len(lists) == 0 {
		x.app.problems(x.err, problems)
		return "", blind(fmt.Errorf("there is no list in %s", x.confDir),
			"name the file:  enichainctl chain swap OLD=NEW FILE")
	}
	return lists[0].Path, nil
}

// changes tells people, on standard error, what the swap does.
func (x *swapping) changes(before, after *chain.List, done chain.Swapped, problems []chain.Problem) {
	fmt.Fprint(x.err, chain.LineDiff(before.Raw(), done.Text))
	if len(done.Carried) > 0 {
		fmt.Fprintf(x.err, "carried over: %s\n", strings.Join(done.Carried, ", "))
	}
	for _, d := range done.Dropped {
		fmt.Fprintf(x.err, "dropped %s\n", d)
	}
	x.app.problems(x.err, problems)
	if chain.Errors(problems, false) == 0 {
		fmt.Fprintf(x.err, "lint: ok, %s\n", plural(len(after.Stages), "stage"))
	}
}

func (x *swapping) answer(path string, done chain.Swapped, problems []chain.Problem) error {
	return x.deliver(path, done.Text, x.write, func(written string) any {
		return swapped{List: string(done.Text), Carried: listed(done.Carried), Dropped: listed(done.Dropped),
			Problems: listed(problems), Written: written}
	})
}

// deliver puts a new list in the old one's place, or on standard output; answer is what JSON says of it.
func (x *app) deliver(path string, text []byte, write bool, answer func(written string) any) error {
	written := ""
	if write {
		if err := replace(path, text); err != nil {
			return blind(err, "")
		}
		written = path
	}
	if x.format == "json" {
		return x.json(answer(written))
	}
	if !write {
		x.printf("%s", text)
	}
	return nil
}

// replace writes a file in one step, by a rename: whoever reads it sees the old text or the new. Its mode stays, and a
// symbolic link goes on pointing where it did. The new text waits under a name that no runtime reads.
func replace(path string, text []byte) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("cannot write %s: %w", path, err)
		}
	}()
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.new")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Chmod(info.Mode().Perm()), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

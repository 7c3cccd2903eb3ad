// Bench measures what a pod costs a node, chain by chain, in one interleaved run: wall time and CPU of ADD and DEL,
// as ratios to upstream's reference chain. Absolute times move with the machine; ratios travel.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	throwaway "github.com/enichain/enichain/test/node"
)

func main() {
	pods := flag.Int("pods", 40, "samples of each chain")
	bin := flag.String("bin", "bin", "folder of the binaries under test")
	flag.Parse()
	if err := run(*bin, *pods); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(bin string, pods int) error {
	bin, err := filepath.Abs(bin)
	if err != nil {
		return err
	}
	if err := throwaway.Enter(); err != nil {
		return err
	}
	if err := throwaway.OwnFolders(); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "enichain-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var nodes []*node
	for _, c := range chains {
		n, err := newNode(c, bin, filepath.Join(dir, c.name))
		if err != nil {
			return fmt.Errorf("cannot make a node for %s: %w", c.name, err)
		}
		defer n.close()
		nodes = append(nodes, n)
	}
	const warmUps = 3
	for i := range pods + warmUps {
		for k := range nodes { // rotate who goes first: the one after an idle pause pays for it
			n := nodes[(i+k)%len(nodes)]
			if err := n.cycle(context.Background(), i, i >= warmUps); err != nil {
				return fmt.Errorf("%s, pod %d: %w", n.chain.name, i, err)
			}
			time.Sleep(20 * time.Millisecond) // let the kernel's deferred deletions settle
		}
		progress(i+1, pods+warmUps)
	}
	print(nodes)
	return nil
}

// progress tells people on a terminal how far the run is.
func progress(done, all int) {
	info, err := os.Stderr.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return
	}
	fmt.Fprintf(os.Stderr, "\r%d of %d pods a chain", done, all)
	if done == all {
		fmt.Fprintln(os.Stderr)
	}
}

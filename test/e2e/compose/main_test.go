package compose

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/enichain/enichain/test/node"
)

// made is the node of this process.
var made struct {
	once sync.Once
	node *node.Node
	err  error
}

// TestMain goes on in namespaces of its own, where there may be a node.
func TestMain(m *testing.M) {
	if err := node.Enter(); err != nil && !errors.Is(err, node.ErrRefused) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if os.Getenv(isWorker) != "" {
		if err := work(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "a worker:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	code := m.Run()
	if built.dir != "" {
		_ = os.RemoveAll(built.dir)
	}
	os.Exit(code)
}

// Command spy is a stage for the skeleton's own tests: it leaves a file per verb in $MARKS.
package main

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"github.com/enichain/enichain/chain/contract"
	"github.com/enichain/enichain/stages"
)

type spy struct{}

func mark(r *stages.Request) error {
	return os.WriteFile(filepath.Join(os.Getenv("MARKS"), r.Command), nil, 0o600)
}

func (spy) Contract() contract.Contract { return contract.Contract{V: contract.V} }
func (spy) Add(_ context.Context, r *stages.Request) (*stages.Result, error) {
	// The reader must be gone before the result is written: wait until the pipe says so.
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if closedPipe() {
			break
		}
	}
	return &stages.Result{}, mark(r)
}
func (spy) Check(context.Context, *stages.Request) error   { return nil }
func (spy) Del(_ context.Context, r *stages.Request) error { return mark(r) }
func (spy) GC(context.Context, *stages.Request) error      { return nil }
func (spy) Status(context.Context, *stages.Request) error  { return nil }

func main() { stages.Main("spy", spy{}) }

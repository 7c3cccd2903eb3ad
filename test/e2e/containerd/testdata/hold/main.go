// Command hold is a stage that a test puts into a chain to stop an ADD where it stands: while the file that its
// configuration names is there, ADD waits. It has no effect of its own.
package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"time"

	"github.com/enichain/enichain/chain/contract"
	"github.com/enichain/enichain/stages"
)

type hold struct{}

func (hold) Contract() contract.Contract {
	return contract.Contract{V: contract.V, Previous: contract.Uses, Keys: map[string]string{"while": "path"}}
}

// Add says that it is there by a second file, so that the test need not guess.
func (hold) Add(ctx context.Context, r *stages.Request) (*stages.Result, error) {
	var c struct {
		While string `json:"while"`
	}
	if err := r.Decode(&c); err != nil {
		return nil, err
	}
	if err := os.WriteFile(c.While+".reached", nil, 0o600); err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		if _, err := os.Stat(c.While); errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	return r.Prev, nil
}

func (hold) Check(context.Context, *stages.Request) error  { return nil }
func (hold) Del(context.Context, *stages.Request) error    { return nil }
func (hold) GC(context.Context, *stages.Request) error     { return nil }
func (hold) Status(context.Context, *stages.Request) error { return nil }

func main() { stages.Main("hold", hold{}) }

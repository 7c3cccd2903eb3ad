package routedveth

import (
	"encoding/json"
	"testing"

	"github.com/enichain/enichain/stages"
	"github.com/enichain/enichain/test/manual"
)

// TestREADME decodes every example of the manual as ADD would: a stage, or a list with one in it.
func TestREADME(t *testing.T) {
	for _, example := range manual.Examples(t, "README.md", "json", 3) {
		var list struct{ Plugins []json.RawMessage }
		if err := json.Unmarshal(example, &list); err != nil {
			t.Errorf("%v\n%s", err, example)
		}
		stage := json.RawMessage(example)
		if n := len(list.Plugins); n > 0 {
			stage = list.Plugins[n-1]
		}
		if _, err := decode(&stages.Request{Config: stage}); err != nil {
			t.Errorf("%v\n%s", err, stage)
		}
	}
}

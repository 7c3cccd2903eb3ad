package eniipam

import (
	"encoding/json"
	"testing"

	"github.com/enichain/enichain/stages"
	"github.com/enichain/enichain/test/manual"
)

// TestREADME decodes every example of the manual as ADD would.
func TestREADME(t *testing.T) {
	for _, example := range manual.Examples(t, "README.md", "json", 4) {
		var list struct{ Type string }
		if err := json.Unmarshal(example, &list); err != nil {
			t.Errorf("%v\n%s", err, example)
			continue
		}
		if _, err := decode(&stages.Request{Type: list.Type, Config: example}); err != nil {
			t.Errorf("%v\n%s", err, example)
		}
	}
}

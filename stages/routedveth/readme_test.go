package routedveth

import (
	"encoding/json"
	"os"
	"regexp"
	"testing"

	"github.com/enichain/enichain/stages"
)

// TestREADME decodes every example of the manual as ADD would: a stage, or a list with one in it.
func TestREADME(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	examples := regexp.MustCompile("(?s)```json\n(.*?)```").FindAllSubmatch(text, -1)
	if len(examples) < 3 {
		t.Fatalf("README.md has %d examples", len(examples))
	}
	for _, example := range examples {
		var list struct{ Plugins []json.RawMessage }
		if err := json.Unmarshal(example[1], &list); err != nil {
			t.Errorf("%v\n%s", err, example[1])
		}
		stage := json.RawMessage(example[1])
		if n := len(list.Plugins); n > 0 {
			stage = list.Plugins[n-1]
		}
		if _, err := decode(&stages.Request{Config: stage}); err != nil {
			t.Errorf("%v\n%s", err, stage)
		}
	}
}

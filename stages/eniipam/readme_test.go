package eniipam

import (
	"encoding/json"
	"os"
	"regexp"
	"testing"

	"github.com/enichain/enichain/stages"
)

// TestREADME decodes every example of the manual as ADD would.
func TestREADME(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	examples := regexp.MustCompile("(?s)```json\n(.*?)```").FindAllSubmatch(text, -1)
	if len(examples) < 4 {
		t.Fatalf("README.md has %d examples", len(examples))
	}
	for _, example := range examples {
		var list struct{ Type string }
		if err := json.Unmarshal(example[1], &list); err != nil {
			t.Errorf("%v\n%s", err, example[1])
			continue
		}
		if _, err := decode(&stages.Request{Type: list.Type, Config: example[1]}); err != nil {
			t.Errorf("%v\n%s", err, example[1])
		}
	}
}

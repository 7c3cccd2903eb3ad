package portmapcompat

import (
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
	if len(examples) < 2 {
		t.Fatalf("README.md has %d examples", len(examples))
	}
	for _, example := range examples {
		c := defaults()
		if err := (&stages.Request{Config: example[1]}).Decode(&c); err != nil {
			t.Errorf("%v\n%s", err, example[1])
		}
	}
}

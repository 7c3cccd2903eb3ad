package portmapcompat

import (
	"testing"

	"github.com/enichain/enichain/stages"
	"github.com/enichain/enichain/test/manual"
)

// TestREADME decodes every example of the manual as ADD would.
func TestREADME(t *testing.T) {
	for _, example := range manual.Examples(t, "README.md", "json", 2) {
		c := defaults()
		if err := (&stages.Request{Config: example}).Decode(&c); err != nil {
			t.Errorf("%v\n%s", err, example)
		}
	}
}

package conformance

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
)

func TestOne(t *testing.T) {
	names := strings.Fields(os.Getenv("PLUGIN"))
	only := strings.Fields(os.Getenv("ONLY"))
	for _, n := range names {
		r, err := Run(context.Background(), Options{Binary: "../../bin/" + n, Only: only})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println("==", n, r.Kind, r.Versions, r.NotRun, r.Took)
		for _, f := range r.Findings {
			if f.Outcome == Passed && os.Getenv("ALL") == "" {
				continue
			}
			fmt.Printf("%-8s %-10s %-4s %s  [%s]\n", f.Outcome, f.Strength, f.ID, f.Why, f.Took)
			if f.Outcome == Failed {
				fmt.Printf("     expected %s\n     seen %s\n", f.Expected, f.Seen)
				if os.Getenv("TRY") != "" {
					fmt.Println("     " + strings.Join(f.Try, "\n     "))
				}
			}
		}
	}
}

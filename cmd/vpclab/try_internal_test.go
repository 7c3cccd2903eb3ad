package main

import (
	"testing"

	"github.com/enichain/enichain/test/try"
)

func TestMatrixWorks(t *testing.T) {
	works, broken, not := try.Cell{Report: &try.Report{}}, try.Cell{Report: &try.Report{Broken: []string{"why"}}}, try.Cell{Not: "why"}
	tests := []struct {
		name  string
		cells []try.Cell
		want  bool
	}{
		{"all work", []try.Cell{works, works}, true},
		{"one is not tried", []try.Cell{works, not}, true},
		{"one is broken", []try.Cell{works, broken, works}, false},
		{"none is tried", []try.Cell{not, not}, false},
		{"no cell", nil, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := matrixWorks(tt.cells); got != tt.want {
				t.Errorf("got %t, want %t", got, tt.want)
			}
		})
	}
}

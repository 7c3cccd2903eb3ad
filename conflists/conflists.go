// Package conflists carries the flagship list for programs that have to write it somewhere: a binary knows its own
// release's, wherever it was copied to.
package conflists

import _ "embed" // the list stands in its file alone

// Flagship is 05-enichain.conflist: the four stages.
//
//go:embed 05-enichain.conflist
var Flagship string

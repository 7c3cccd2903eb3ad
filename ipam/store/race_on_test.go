//go:build race

package store_test

// raced: the race detector's build checks pointer arithmetic and ends the process where bbolt follows a damaged page;
// the build that runs on nodes does not.
const raced = true

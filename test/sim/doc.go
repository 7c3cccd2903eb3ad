// Package sim runs reconcilers and nodes in one thread and in virtual time, against the rules of a VPC and over a bus
// that loses, repeats and delays. The seed is the bug report.
package sim

// Package vpc is the rules of a VPC: what EC2 lets one do with network interfaces and addresses, what it refuses and
// with which code, how fast, and who sees it when. It has no socket, no clock and no goroutine: the time comes with
// every call, so that a simulator drives it as well as a server does.
//
// What is modelled, from which source, and what is not: docs/lab.md.
package vpc

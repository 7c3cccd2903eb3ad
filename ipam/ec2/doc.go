// Package ec2 is Amazon EC2 as the reconciler sees it: complete lists, and single attempts at changes, each in its
// turn. EC2's error codes are named here and nowhere else.
//
// Published rates and error meanings are those of the EC2 API reference and of the developer guide's page "Request
// throttling for the Amazon EC2 API", read in November 2026.
package ec2

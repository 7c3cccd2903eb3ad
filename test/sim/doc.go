// Package sim runs whole fleets in one thread and in virtual time: the real cores of agent and reconciler, the real
// transactions of eni-ipam on the real pool file, the lab's rules of a VPC called directly, and a bus that loses,
// repeats, reorders and delays. Processes die between any two effects, files are lost, EC2 lags, people meddle.
//
// One seed makes one Plan, which is data: nodes, pods, faults. A run of a plan is the same every time, byte for byte
// (Result.Trace). After every step the invariants of docs/protocol.md, A8, are checked; a plan that breaks one is made
// smaller by Shrink until nothing can be left out.
package sim

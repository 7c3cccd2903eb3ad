// Package chain is what a CNI network configuration list means, before a node sees it.
//
// A list is a row of plugins, here called stages. A runtime runs them one after the other and hands each the result of
// those before it; nothing else joins them. So a list holds together when each stage finds there what it needs, and that
// can be said without running anything, once it is known what a stage needs and adds. A contract says it
// (chain/contract): facts such as "ips" or "sandbox-interface" that hold before and after a stage, whether it looks at
// prevResult at all, what its CHECK cannot bear, what its DEL cannot do without, and which keys it reads. A stage of
// enichain tells its contract in its answer to VERSION, and so may anybody's; for the reference plugins and some others
// package chain/known has one. Of all others nothing is known, and nothing that depends on them is judged.
//
// What the package does, a file each:
//
//	list.go, parse.go   read a file as libcni does, which a test compares with libcni itself; position.go keeps the places
//	dir.go              read a folder as containerd and CRI-O do: order, shadows, drop-ins, broken files
//	contracts.go        ask the installed plugins, else chain/known
//	lint.go             follow the facts through the list; rules_*.go are what can be wrong with it
//	explain.go          what each stage needs, adds and leaves in the kernel, and what a pod ends with
//	compose.go          write a list of stages, with the keys that they do not work without
//	swap.go             put one stage in another's place; edit.go leaves the rest of the text byte for byte
//	diff.go             what one list in the place of another means for pods that start, and for pods that run
//
// Nothing here changes a node, and only contracts.go runs anything. The words are those of people: a Problem says where,
// what, why, and what to do about it, and docs/lint.md has a section for each code. What the rules are worth is tried:
// the lists in testdata run through "vpclab try", which shows what breaks.
package chain

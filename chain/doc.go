// Package chain reads CNI network configuration lists and judges, explains and changes them, before a node sees them.
package chain

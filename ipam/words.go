package ipam

import "strings"

// PoolsHere says to people which pools a node has.
func PoolsHere(names []string) string {
	switch last := len(names) - 1; last {
	case -1:
		return "this node has no pool"
	case 0:
		return "this node's only pool is " + names[0]
	default:
		return "this node has pools " + strings.Join(names[:last], ", ") + " and " + names[last]
	}
}

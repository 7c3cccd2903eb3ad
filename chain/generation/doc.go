// Package generation lets the list of a network be swapped under living pods.
//
// A runtime sends DEL to the list that is on disk now, so a stage that was taken out of it is told nothing, and what it
// made for a pod stays after the pod. Here every list that was ever installed is kept as a generation of its network,
// and of every attachment its birth is written down: by which list it was made, with which arguments and which result,
// as the runtime's own result cache has it. Once such an attachment has ended, the stages of its list that the lists
// since then lacked, the departed ones, get the DEL that the runtime did not send them.
//
//	/var/lib/enichain/lists/
//	  enichain/1.conflist            what was installed first, byte for byte
//	  enichain/2.conflist            what was installed then
//	  enichain/births/…              one file for each attachment
//
// Store is that folder; everybody may read it, and Apply installs the next generation with no daemon about. Keeper is
// the daemon's part. What is to be done is decided by World.Plan, which has no I/O and no clock.
package generation

// Default places.
const (
	DefaultLists   = "/var/lib/enichain/lists"
	DefaultConfDir = "/etc/cni/net.d"
	DefaultResults = "/var/lib/cni/results" // libcni's: containerd, CRI-O and cnitool alike
	DefaultBinDir  = "/opt/cni/bin"
)

// Package handover lets a stage end without waiting for the kernel. Whoever closes the last descriptor of a netfilter
// socket while deletions of its network namespace are not freed yet waits for the kernel to free them, 5 to 10 ms, and
// keeps every other change of the ruleset waiting (nft_rcv_nl_event in net/netfilter/nf_tables_api.c). A stage has
// committed all that it does by then. So it hands the socket to the daemon, which closes it a moment later.
//
// Nothing depends on it: the descriptor is all that is told, nobody answers, and where nobody listens the stage closes
// the socket itself and waits.
package handover

import "golang.org/x/sys/unix"

// Path is the daemon's socket: unix(7), datagrams, one descriptor each (SCM_RIGHTS). A path works from any network
// namespace; root alone may write to it.
const Path = "/run/enichain/handover.sock"

// Give hands a descriptor over to whoever listens at path, and says whether that took it. The caller closes its own in
// either case. It never waits: a daemon that is stopped has room for some (net.unix.max_dgram_qlen) and refuses the rest.
func Give(path string, fd int) bool {
	s, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(s)
	to := &unix.SockaddrUnix{Name: path}
	return unix.Sendmsg(s, []byte{0}, unix.UnixRights(fd), to, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL) == nil
}

package main

import "golang.org/x/sys/unix"

// closedPipe says whether nobody reads standard output any more: poll(2), "POLLERR … for the write end of a pipe".
func closedPipe() bool {
	fds := []unix.PollFd{{Fd: 1}}
	n, err := unix.Poll(fds, 0)
	return err == nil && n == 1 && fds[0].Revents&unix.POLLERR != 0
}

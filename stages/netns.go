package stages

import (
	"errors"
	"strings"

	"golang.org/x/sys/unix"
)

// checkNetns looks at CNI_NETNS before anything is touched. An ADD or CHECK needs a network namespace that is not our
// own; a DEL forgets one that is gone or has become our own (a process id in its path was used again), for nothing of
// the container can be in it. CNI_NETNS_OVERRIDE=1 or TRUE allows our own, as libcni's skeleton does. A stage that does
// not enter the container takes any file there is: people run an IPAM plugin by hand with CNI_NETNS=/dev/null.
func checkNetns(r *Request, enters bool, override string) (note string, fault *Error) {
	if r.Netns == "" || !perAttachment(r.Command) || r.foreignNetns {
		return "", nil
	}
	id, err := netnsID(r.Netns)
	if errors.Is(err, errNotNetns{}) && !enters {
		return "", nil
	}
	if err != nil {
		if r.Command == cmdDel {
			r.Netns = ""
			return "", nil
		}
		return "", Errorf(Env, "CNI_NETNS=%s is no network namespace: %w", quote(r.Netns), err)
	}
	if override == "1" || strings.EqualFold(override, "true") {
		return "", nil
	}
	var st unix.Stat_t
	if err := unix.Stat("/proc/thread-self/ns/net", &st); err != nil {
		return "", Errorf(Kernel, "cannot read our own network namespace: %w", err)
	}
	if own := (nsID{uint64(st.Dev), st.Ino}); id != own {
		r.foreignNetns = true
		return "", nil
	}
	if r.Command == cmdDel {
		note = "CNI_NETNS=" + r.Netns + " is the network namespace of this process, not a container's: left alone"
		r.Netns = ""
		return note, nil
	}
	return "", Errorf(Env, "CNI_NETNS=%s is the network namespace of this process, not a container's; "+
		"CNI_NETNS_OVERRIDE=1 if that is meant", quote(r.Netns))
}

// nsID is what tells namespaces apart: ioctl_ns(2), "st_dev and st_ino".
type nsID struct{ dev, ino uint64 }

func netnsID(path string) (nsID, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nsID{}, err
	}
	defer unix.Close(fd)
	kind, err := unix.IoctlRetInt(fd, unix.NS_GET_NSTYPE)
	if err != nil || kind != unix.CLONE_NEWNET {
		return nsID{}, errNotNetns{}
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nsID{}, err
	}
	return nsID{uint64(st.Dev), st.Ino}, nil
}

type errNotNetns struct{}

func (errNotNetns) Error() string { return "the file is something else" }

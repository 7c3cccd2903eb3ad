package kernel

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// flat are the folders of /proc/sys/net whose settings are one each; what the kernel itself moves in them is in idle.
var flat = []string{"ipv4", "ipv6", "netfilter", "bridge", "core"}

// idle are settings that move by themselves or are the machine's, not the namespace's.
var idle = []string{"nf_conntrack_count", "nf_conntrack_max", "nf_conntrack_buckets", "tcp_mem", "udp_mem", "tcp_rmem", "tcp_wmem",
	"tcp_fastopen_key", "stable_secret", "tcp_available_congestion_control", "tcp_allowed_congestion_control",
	"tcp_available_ulp", "rps_default_mask", "flow_limit_cpu_bitmap"}

// sysctls are the settings of the namespace that the calling thread is in: those of all and default, those of each
// link that differ from default, and those that have no link.
func sysctls(root string) []string {
	var lines []string
	for _, folder := range flat {
		dir := filepath.Join(root, folder)
		for key, value := range settings(dir, keys(dir)) {
			lines = append(lines, "net."+folder+"."+key+" = "+value)
		}
	}
	for _, folder := range []string{"ipv4/conf", "ipv6/conf", "ipv4/neigh", "ipv6/neigh"} {
		lines = append(lines, linkSettings(root, folder)...)
	}
	return lines
}

// linkSettings are those of a folder that has one folder for each link.
func linkSettings(root, folder string) (lines []string) {
	usually := filepath.Join(root, folder, "default")
	all := keys(usually) // every link has the same
	if len(all) == 0 {   // the neighbours' in any namespace but the first
		usually = filepath.Join(root, folder, "lo")
		all = keys(usually)
	}
	usual := settings(usually, all)
	links, _ := os.ReadDir(filepath.Join(root, folder)) // not there without IPv6
	for _, l := range links {
		for key, value := range settings(filepath.Join(root, folder, l.Name()), all) {
			mirror := folder == "ipv6/conf" && key == "mtu" // the link's own
			if l.Name() == "all" || l.Name() == "default" || value != usual[key] && !mirror {
				lines = append(lines, "net."+strings.Replace(folder, "/", ".", 1)+"."+l.Name()+"."+key+" = "+value)
			}
		}
	}
	return lines
}

// keys are the files of a folder that are settings; none where there is no such folder.
func keys(dir string) (names []string) {
	files, _ := os.ReadDir(dir)
	for _, f := range files {
		if f.Type().IsRegular() && !slices.Contains(idle, f.Name()) {
			names = append(names, f.Name())
		}
	}
	return names
}

// settings are what stands in those files of a folder that can be read. There are a thousand of them, and os.ReadFile
// would make twice as many calls to the kernel for each.
func settings(dir string, names []string) map[string]string {
	at, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(at)
	all := make(map[string]string, len(names))
	b := make([]byte, unix.Getpagesize()) // as long as a setting may be
	for _, name := range names {
		fd, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			continue
		}
		if n, err := unix.Read(fd, b); err == nil {
			all[name] = strings.Join(strings.Fields(string(b[:n])), " ")
		}
		unix.Close(fd)
	}
	return all
}

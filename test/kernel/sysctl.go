package kernel

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
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
		for key, value := range settings(filepath.Join(root, folder)) {
			lines = append(lines, "net."+folder+"."+key+" = "+value)
		}
	}
	for _, folder := range []string{"ipv4/conf", "ipv6/conf", "ipv4/neigh", "ipv6/neigh"} {
		usual := settings(filepath.Join(root, folder, "default"))
		if len(usual) == 0 { // the neighbours' in any namespace but the first
			usual = settings(filepath.Join(root, folder, "lo"))
		}
		links, _ := os.ReadDir(filepath.Join(root, folder)) // not there without IPv6
		for _, l := range links {
			for key, value := range settings(filepath.Join(root, folder, l.Name())) {
				mirror := folder == "ipv6/conf" && key == "mtu" // the link's own
				if l.Name() == "all" || l.Name() == "default" || value != usual[key] && !mirror {
					lines = append(lines, "net."+strings.Replace(folder, "/", ".", 1)+"."+l.Name()+"."+key+" = "+value)
				}
			}
		}
	}
	return lines
}

// settings are the readable files of a folder and what stands in them.
func settings(dir string) map[string]string {
	files, _ := os.ReadDir(dir)
	all := map[string]string{}
	for _, f := range files {
		if !f.Type().IsRegular() || slices.Contains(idle, f.Name()) {
			continue
		}
		if b, err := os.ReadFile(filepath.Join(dir, f.Name())); err == nil {
			all[f.Name()] = strings.Join(strings.Fields(string(b)), " ")
		}
	}
	return all
}

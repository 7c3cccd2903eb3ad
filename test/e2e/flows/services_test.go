package flows_test

import (
	"fmt"
	"strings"
)

// NodePorts of the services below.
const (
	portP0Local, portP1Local     = 30080, 30081 // externalTrafficPolicy: Local
	portP0Cluster, portP1Cluster = 30082, 30083 // Cluster
	portRemote                   = 30084        // Cluster, endpoint on another node
)

type service struct {
	clusterIP, endpoint string // either may be ""
	nodePort            int
	masquerade          bool
}

func (w *world) services() []service {
	return []service{
		{clusterIP: w.a.toRemote, endpoint: w.a.remote}, {clusterIP: w.a.toP0, endpoint: w.a.p0}, {clusterIP: w.a.toP1, endpoint: w.a.p1},
		{nodePort: portP0Local, endpoint: w.a.p0}, {nodePort: portP1Local, endpoint: w.a.p1},
		{nodePort: portP0Cluster, endpoint: w.a.p0, masquerade: true}, {nodePort: portP1Cluster, endpoint: w.a.p1, masquerade: true},
		{nodePort: portRemote, endpoint: w.a.remote, masquerade: true},
	}
}

// iptables are kube-proxy's rules in short form, in its mode "iptables": mark 0x4000, which is masqueraded and cleared.
func (w *world) iptables() string {
	tool := "iptables"
	if w.a.family == "ip6" {
		tool = "ip6tables"
	}
	rules := []string{
		"-N KUBE-SERVICES", "-A PREROUTING -j KUBE-SERVICES", "-A OUTPUT -j KUBE-SERVICES",
		"-N KUBE-MARK-MASQ", "-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000",
		"-N KUBE-POSTROUTING", "-A POSTROUTING -j KUBE-POSTROUTING",
		"-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN",
		"-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x4000", "-A KUBE-POSTROUTING -j MASQUERADE --random-fully",
	}
	for _, protocol := range []string{"tcp", "udp"} {
		for _, s := range w.services() {
			match := fmt.Sprintf("-A KUBE-SERVICES -p %s -d %s --dport 80", protocol, s.clusterIP)
			if s.nodePort != 0 {
				match = fmt.Sprintf("-A KUBE-SERVICES -p %s -m addrtype --dst-type LOCAL --dport %d", protocol, s.nodePort)
			}
			masquerade := match + " -s " + s.endpoint + " -j KUBE-MARK-MASQ" // hairpin
			if s.masquerade {
				masquerade = match + " -j KUBE-MARK-MASQ"
			}
			rules = append(rules, masquerade, match+" -j DNAT --to-destination "+joined(s.endpoint, 80))
		}
	}
	return tool + " -t nat " + strings.Join(rules, "\n"+tool+" -t nat ")
}

// nftables are the same in kube-proxy's mode "nftables": marks, chains and priorities as it has them.
func (w *world) nftables() string {
	var b strings.Builder
	ip := w.a.family
	b.WriteString("nft -f - <<'EOF'\ntable " + ip + " kube-proxy {\nchain services {\n")
	for _, protocol := range []string{"tcp", "udp"} {
		for _, s := range w.services() {
			match := fmt.Sprintf("%s daddr %s %s dport 80", ip, s.clusterIP, protocol)
			if s.nodePort != 0 {
				match = fmt.Sprintf("fib daddr type local %s dport %d", protocol, s.nodePort)
			}
			mark := " meta mark set mark or 0x4000\n"
			if s.masquerade {
				b.WriteString(match + mark)
			} else {
				b.WriteString(match + " " + ip + " saddr " + s.endpoint + mark)
			}
			b.WriteString(match + " dnat to " + joined(s.endpoint, 80) + "\n")
		}
	}
	b.WriteString(`}
chain nat-prerouting { type nat hook prerouting priority dstnat; jump services; }
chain nat-output { type nat hook output priority -100; jump services; }
chain nat-postrouting { type nat hook postrouting priority srcnat;
  mark and 0x4000 == 0 return
  mark set mark xor 0x4000
  masquerade fully-random
}
}
EOF`)
	return b.String()
}

func joined(address string, port int) string {
	if strings.Contains(address, ":") {
		return fmt.Sprintf("[%s]:%d", address, port)
	}
	return fmt.Sprintf("%s:%d", address, port)
}

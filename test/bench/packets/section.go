package packets

import (
	"fmt"
	"strings"

	"github.com/enichain/enichain/test/bench/figure"
)

const source = "issue 5"

// microseconds turns a probe's nanoseconds.
func (b *bench) microseconds(name, measure, what string) figure.Figure {
	var all []float64
	for _, v := range b.samples[name+"/"+measure] {
		all = append(all, v/1000)
	}
	return figure.Of("packets/"+name+"/"+measure, what, figure.Microseconds, all)
}

// ratio compares a measure of two nodes; its ID is packets/OF-to-TO/MEASURE.
func (b *bench) ratio(of, to, measure, what string) figure.Figure {
	return paired(ratioID(of, to, measure), what, b.samples[of+"/"+measure], b.samples[to+"/"+measure])
}

func ratioID(of, to, measure string) string { return "packets/" + of + "-to-" + to + "/" + measure }

// perSecond is how many of something there are in a second that take so many nanoseconds each; times says how much each
// counts.
func (b *bench) perSecond(name, measure, what, unit string, times float64) figure.Figure {
	var all []float64
	for _, v := range b.samples[name+"/"+measure] {
		all = append(all, times*1e9/v)
	}
	return figure.Of("packets/"+name+"/"+measure, what, unit, all)
}

// section makes figures, targets, tables and pictures of the samples.
func (b *bench) section() figure.Section {
	s := figure.Section{Name: "packets", Title: "What a packet pays", Method: method}
	b.tellEstablished(&s)
	b.tellParts(&s)
	b.tellFirsts(&s)
	b.tellConnections(&s)
	return s
}

// tellEstablished tells packets of established flows.
func (b *bench) tellEstablished(s *figure.Section) {
	absolute := figure.Table{Name: "packets-established", Title: "A packet of an established flow, µs", Columns: []string{"node"}}
	ratios := figure.Table{Name: "packets-ratios", Title: "The same as ratios", Columns: []string{"node, to node"}}
	for _, d := range directions() {
		absolute.Columns, ratios.Columns = append(absolute.Columns, d.what), append(ratios.Columns, d.what)
	}
	names := b.byPods()
	for _, mode := range modes() {
		names = append(names, "tracked-"+mode, "ours-"+mode)
	}
	for _, name := range names {
		row := figure.Row{Name: b.title(name)}
		for _, d := range directions() {
			f := b.microseconds(name, d.name, b.title(name)+": "+d.what)
			if row.Cells = append(row.Cells, ""); f.N > 0 {
				s.Add(f)
				row.Cells[len(row.Cells)-1] = f.ID
			}
		}
		absolute.Rows = append(absolute.Rows, row)
	}
	for _, pair := range b.pairs() {
		row := figure.Row{Name: b.title(pair[0]) + " / " + b.title(pair[1])}
		for _, d := range directions() {
			f := b.ratio(pair[0], pair[1], d.name, row.Name+": "+d.what)
			if row.Cells = append(row.Cells, ""); f.N > 0 {
				s.Add(f)
				row.Cells[len(row.Cells)-1] = f.ID
			}
		}
		ratios.Rows = append(ratios.Rows, row)
	}
	s.Tables = append(s.Tables, absolute, ratios)
	most, least, plain := numbered("ours", b.large), numbered("ours", b.small), numbered("tracked", b.large)
	for _, d := range []string{"in", "out", "snat", "in6", "out6"} {
		s.Aim(ratioID(most, least, d), 1.05, source)
	}
	s.Aim(ratioID(most, plain, "in"), 1.15, source)
	s.Aim(ratioID(most, plain, "snat"), 1.30, source)
	b.drawPods(s)
}

// pairs are the nodes that are compared, with what.
func (b *bench) pairs() [][2]string {
	all := [][2]string{
		{numbered("ours", b.large), numbered("ours", b.small)},
		{numbered("ours", b.large), numbered("tracked", b.large)},
		{numbered("ours", b.large), numbered("bare", b.large)},
		{numbered("tracked", b.large), numbered("bare", b.large)},
		{numbered("aws", b.middle), numbered("tracked", b.large)},
		{numbered("aws", b.large), numbered("tracked", b.large)},
		{numbered("ours", b.large), numbered("aws", b.large)},
	}
	for _, mode := range modes() {
		all = append(all, [2]string{"ours-" + mode, "tracked-" + mode})
	}
	return all
}

// title is a node in words.
func (b *bench) title(name string) string {
	kind, n, _ := strings.Cut(name, "-")
	words := map[string]string{"bare": "main table", "tracked": "main table and conntrack", "ours": "enichain", "aws": "aws-cni's rules"}[kind]
	if n == "iptables" || n == "nftables" {
		return fmt.Sprintf("%s, %d pods, %d services by %s", words, b.middle, b.services, n)
	}
	return words + ", " + n + " pods"
}

// drawPods draws cost against pods.
func (b *bench) drawPods(s *figure.Section) {
	for _, d := range []direction{{name: "in", what: "Packet of an established flow into a pod"},
		{name: "snat", what: "Packet of an established flow out of the VPC"}} {
		p := figure.Picture{Name: "packets-pods-" + d.name, Title: d.what, X: "pods on the node", Y: "µs", LogX: true, LogY: true}
		for _, kind := range []string{"aws", "ours", "tracked", "bare"} {
			line := figure.Line{Name: map[string]string{"aws": "aws-cni's rules", "ours": "enichain", "tracked": "conntrack, no rules",
				"bare": "main table"}[kind]}
			for _, n := range b.sizes() {
				if f, ok := s.Find("packets/" + numbered(kind, n) + "/" + d.name); ok {
					line.X, line.Y = append(line.X, float64(n)), append(line.Y, f.Median)
				}
			}
			p.Lines = append(p.Lines, line)
		}
		s.Pictures = append(s.Pictures, p)
	}
}

// tellFirsts tells first packets: by ports, and by networks that are left out of SNAT.
func (b *bench) tellFirsts(s *figure.Section) {
	plain := figure.Table{Name: "packets-first", Title: "The first packet of a flow, µs", Columns: []string{"node", "to the pod", "to the outside"}}
	for _, name := range []string{numbered("bare", b.small), numbered("tracked", b.large), numbered("ours", b.small), numbered("ours", b.large),
		"tracked-iptables", "ours-iptables", "tracked-nftables", "ours-nftables"} {
		direct := b.microseconds(name, "first-direct", b.title(name)+": first packet to the pod")
		outside := b.microseconds(name, "first", b.title(name)+": first packet to the outside")
		s.Add(direct, outside)
		plain.Rows = append(plain.Rows, figure.Row{Name: b.title(name), Cells: []string{direct.ID, outside.ID}})
	}
	s.Tables = append(s.Tables, plain)
	by := func(group, x string, kinds []string, words map[string]string, measure, what string) {
		t := figure.Table{Name: "packets-" + group + "-" + measure, Title: what + ", µs", Columns: []string{"rules"}}
		p := figure.Picture{Name: "packets-" + group + "-" + measure, Title: what, X: x, Y: "µs", LogX: true, LogY: true}
		for _, n := range b.sizes() {
			t.Columns = append(t.Columns, fmt.Sprintf("%d %s", n, x))
		}
		t.Columns = append(t.Columns, fmt.Sprintf("%d / %d", b.large, b.small))
		for _, kind := range kinds {
			row, line := figure.Row{Name: words[kind]}, figure.Line{Name: words[kind]}
			for _, n := range b.sizes() {
				f := b.microseconds(numbered(group+"-"+kind, n), measure, fmt.Sprintf("%s, %s, %d %s", what, words[kind], n, x))
				s.Add(f)
				row.Cells = append(row.Cells, f.ID)
				line.X, line.Y = append(line.X, float64(n)), append(line.Y, f.Median)
			}
			f := b.ratio(numbered(group+"-"+kind, b.large), numbered(group+"-"+kind, b.small), measure,
				fmt.Sprintf("%s, %s: %d %s / %d", what, words[kind], b.large, x, b.small))
			s.Add(f)
			row.Cells = append(row.Cells, f.ID)
			t.Rows, p.Lines = append(t.Rows, row), append(p.Lines, line)
		}
		s.Tables, s.Pictures = append(s.Tables, t), append(s.Pictures, p)
	}
	ports := map[string]string{"ours": "portmap-compat", "iptables": "portmap, iptables", "nftables": "portmap, nftables"}
	by("ports", "host ports", []string{"iptables", "nftables", "ours"}, ports, "first", "First packet to the last host port")
	by("ports", "host ports", []string{"iptables", "nftables", "ours"}, ports, "connect", "TCP connect to the last host port")
	by("snat", "networks left out", []string{"iptables", "ours"}, map[string]string{"ours": "snat", "iptables": "aws-cni's chain"}, "first",
		"First packet out of the VPC")
	s.Aim(ratioID(numbered("ports-ours", b.large), numbered("ports-ours", b.small), "first"), 1.05, source)
	s.Aim(ratioID(numbered("snat-ours", b.large), numbered("snat-ours", b.small), "first"), 1.05, source)
}

// tellConnections tells rates and throughput.
func (b *bench) tellConnections(s *figure.Section) {
	const gigabits = "Gbit/s"
	t := figure.Table{Name: "packets-connections", Title: "Connections and streams",
		Columns: []string{"node", "connect to a pod, µs", "connections/s, one core", "stream pod to pod, Gbit/s", "stream across nodes, Gbit/s"}}
	for _, kind := range []string{"bare", "tracked", "ours", "aws"} {
		name := numbered(kind, b.large)
		all := []figure.Figure{
			b.microseconds(name, "connect", b.title(name)+": TCP connect to a pod"),
			b.perSecond(name, "rate", b.title(name)+": connections to a pod", figure.PerSecond, 1),
			b.perSecond(name, "stream", b.title(name)+": stream between two pods", gigabits, 8e-9),
			b.perSecond(name, "stream-across", b.title(name)+": stream to a pod of another node", gigabits, 8e-9),
		}
		row := figure.Row{Name: b.title(name)}
		for _, f := range all {
			s.Add(f)
			row.Cells = append(row.Cells, f.ID)
		}
		t.Rows = append(t.Rows, row)
	}
	s.Tables = append(s.Tables, t)
	ours := numbered("ours", b.large)
	for _, measure := range []string{"connect", "rate", "stream", "stream-across"} {
		for _, other := range []string{"bare", "tracked", "aws"} {
			to := numbered(other, b.large)
			s.Add(b.ratio(ours, to, measure, fmt.Sprintf("%s / %s: time for %s", b.title(ours), b.title(to), measure)))
		}
	}
	ports := figure.Table{Name: "packets-ports-streams", Title: "By a host port", Columns: []string{"rules",
		fmt.Sprintf("connections/s by the last of %d ports", b.large), "stream, Gbit/s"}}
	for _, kind := range []string{"iptables", "nftables", "ours"} {
		words := map[string]string{"ours": "portmap-compat", "iptables": "portmap, iptables", "nftables": "portmap, nftables"}[kind]
		rate := b.perSecond(numbered("ports-"+kind, b.large), "rate", words+": connections by a host port", figure.PerSecond, 1)
		stream := b.perSecond(numbered("ports-"+kind, b.small), "stream", words+": stream by a host port", gigabits, 8e-9)
		s.Add(rate, stream)
		ports.Rows = append(ports.Rows, figure.Row{Name: words, Cells: []string{rate.ID, stream.ID}})
	}
	host := b.perSecond(numbered("bare", b.small), "stream-host", "main table: stream to the pod itself", gigabits, 8e-9)
	s.Add(host)
	ports.Rows = append(ports.Rows, figure.Row{Name: "main table, the pod itself", Cells: []string{"", host.ID}})
	s.Tables = append(s.Tables, ports)
}

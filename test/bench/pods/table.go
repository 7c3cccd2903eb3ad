package pods

import (
	"fmt"

	"github.com/enichain/enichain/test/bench/figure"
)

// of and to make columns of a measure: itself, and its ratio to amazon-vpc-cni-k8s's chain.
func (b *bench) of(head, measure string) column {
	return column{head, func(subject string) string { return b.id(subject, measure) }}
}

func (b *bench) to(measure string) column {
	return column{"of aws-cni + portmap", func(subject string) string { return b.id(subject, measure, awsPortmap) }}
}

func (b *bench) serialTables() []figure.Table {
	return []figure.Table{
		b.table("pods-ratios", "Of what aws-cni + portmap takes",
			column{"ADD CPU", b.to("add-cpu").cell}, column{"ADD time", b.to("add-wall").cell},
			column{"DEL CPU", b.to("del-cpu").cell}, column{"DEL time", b.to("del-wall").cell}),
		b.table("pods-serial", "One pod after the other",
			b.of("ADD CPU ms", "add-cpu"), b.of("ADD ms", "add-wall"), b.of("DEL CPU ms", "del-cpu"), b.of("DEL ms", "del-wall"),
			b.of("CHECK CPU ms", "check-cpu"), b.of("CHECK ms", "check-wall")),
		b.table("pods-calls", "What is asked of the kernel, for one pod",
			b.of("ADD: processes", "add-processes"), b.of("system calls", "add-calls"),
			b.of("netlink messages", "add-messages"), b.of("dumps", "add-dumps"),
			b.of("DEL: processes", "del-processes"), b.of("system calls", "del-calls"),
			b.of("netlink messages", "del-messages"), b.of("dumps", "del-dumps")),
	}
}

func (b *bench) burstTables() []figure.Table {
	return []figure.Table{
		b.table("bursts-ten", "Ten at once", b.of("ADD/s", "add10-rate"), b.to("add10-rate"), b.of("CPU ms", "add10-cpu"),
			b.of("DEL/s", "del10-rate"), b.to("del10-rate"), b.of("CPU ms", "del10-cpu")),
		b.table("bursts-fifty", "Fifty at once", b.of("ADD/s", "add50-rate"), b.to("add50-rate"), b.of("99 % ms", "add50-p99"), b.to("add50-p99"),
			b.of("DEL/s", "del50-rate"), b.to("del50-rate"), b.of("99 % ms", "del50-p99")),
		b.table("bursts-churn", "Coming and going, four at once", b.of("pods/s", "churn-rate"), b.to("churn-rate"), b.of("CPU ms", "churn-cpu"),
			b.of("ADD ms", "churn-add-p50"), b.of("DEL ms", "churn-del-p50")),
	}
}

func (b *bench) growthTables() []figure.Table {
	return []figure.Table{
		b.sizes("growth-pods", "CPU with other pods present, ms", "-at-%d-pods", "%d pods", b.podCounts()),
		b.sizes("growth-ports", "CPU with host ports, ms", "-%d-ports", "%d ports", b.portCounts()),
	}
}

func (b *bench) programTable() figure.Table {
	programs := figure.Table{Name: "pods-programs", Title: "Programs",
		Columns: []string{"program", "bytes", "VERSION CPU ms", "of a Go program that says hello"}}
	for _, name := range b.programs() {
		programs.Rows = append(programs.Rows, figure.Row{Name: name,
			Cells: []string{b.id(name, "size"), b.id(name, "version-cpu"), b.id(name, "version-cpu", hello)}})
	}
	return programs
}

type column struct {
	head string
	cell func(subject string) string
}

func (b *bench) table(name, title string, columns ...column) figure.Table {
	t := figure.Table{Name: name, Title: title, Columns: []string{"chain"}}
	for _, c := range columns {
		t.Columns = append(t.Columns, c.head)
	}
	for _, s := range b.subjects {
		row := figure.Row{Name: s.name}
		for _, c := range columns {
			row.Cells = append(row.Cells, c.cell(s.id))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// sizes is the table of what grows, or does not.
func (b *bench) sizes(name, title, form, head string, counts []int) figure.Table {
	t := figure.Table{Name: name, Title: title, Columns: []string{"chain"}}
	for _, verb := range []string{"ADD ", "DEL "} {
		for i, n := range counts {
			t.Columns = append(t.Columns, verb+fmt.Sprintf(head, n))
			if i == len(counts)-1 {
				t.Columns = append(t.Columns, fmt.Sprintf("of with %d", counts[0]))
			}
		}
	}
	for _, s := range b.sized() {
		row := figure.Row{Name: s.name}
		for _, verb := range []string{"add-cpu", "del-cpu"} {
			for i, n := range counts {
				at := verb + fmt.Sprintf(form, n)
				row.Cells = append(row.Cells, b.id(s.id, at))
				if i == len(counts)-1 {
					row.Cells = append(row.Cells, b.id(s.id, at, "growth"))
				}
			}
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// pictures show how cost grows with pods and with ports.
func (b *bench) pictures() (all []figure.Picture) {
	for _, p := range []struct {
		name, title, x, form string
		counts               []int
	}{
		{"pods", "CPU of a pod, by pods present", "pods present", "-at-%d-pods", b.podCounts()},
		{"ports", "CPU of a pod, by host ports", "host ports", "-%d-ports", b.portCounts()},
	} {
		for _, verb := range []string{"add", "del"} {
			picture := figure.Picture{Name: verb + "-by-" + p.name, Title: p.title + ": " + map[string]string{"add": "ADD", "del": "DEL"}[verb],
				X: p.x, Y: "CPU, ms", LogX: true, LogY: true}
			for _, s := range b.sized() {
				line := figure.Line{Name: s.name}
				for _, n := range p.counts {
					line.X = append(line.X, float64(n))
					line.Y = append(line.Y, b.median(s.id+"/"+verb+"-cpu"+fmt.Sprintf(p.form, n)))
				}
				picture.Lines = append(picture.Lines, line)
			}
			all = append(all, picture)
		}
	}
	return all
}

func (b *bench) median(key string) float64 {
	if len(b.record[key]) == 0 {
		return -1
	}
	return figure.Quantile(b.record[key], 0.5)
}

package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"
)

// table writes rows with a head, columns aligned; an empty cell is "-".
func table(w io.Writer, head []string, rows [][]string) {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, strings.Join(head, "\t"))
	for _, r := range rows {
		for i, cell := range r {
			if cell == "" {
				r[i] = "-"
			}
		}
		fmt.Fprintln(t, strings.Join(r, "\t"))
	}
	t.Flush()
}

// printLab is what 'up' says.
func printLab(w io.Writer, v view, took time.Duration) {
	fmt.Fprintf(w, "lab %s  vpc %s  up in %s\n", v.Lab, v.VPC, took.Round(10*time.Millisecond))
	for _, s := range v.Subnets {
		fmt.Fprintf(w, "  %s  %s  %s  %d free  %s\n", s.Name, s.CIDR, s.Zone, s.Free, s.ID)
	}
	fmt.Fprintln(w)
	printMachines(w, v)
	fmt.Fprintf(w, `
EC2 answers at %[2]s:   eval "$(%[1]s env --lab %[3]s)"; aws ec2 describe-instances
a pod:        %[1]s pod add web --node %[4]s --port 8080:80
look around:  %[1]s shell %[4]s
the end:      %[1]s down --lab %[3]s
`, typed(), v.Endpoint, v.Lab, v.Nodes[0].Name)
}

// typed is this program as it was called, so that what we say to type works where it is not in PATH.
func typed() string {
	if strings.HasPrefix(os.Args[0], "bin/") || strings.HasPrefix(os.Args[0], "./") {
		return os.Args[0]
	}
	return "vpclab"
}

func printMachines(w io.Writer, v view) {
	var rows [][]string
	for _, n := range v.Nodes {
		rows = append(rows, []string{n.Name, n.Role, n.Type, n.Instance, n.Subnet, n.Address, n.Public, n.Daemon})
	}
	table(w, []string{"NAME", "ROLE", "TYPE", "INSTANCE", "SUBNET", "ADDRESS", "PUBLIC", "ENICHAIND"}, rows)
}

package main

import "testing"

// TestThePod: which pod a name from the command line means.
func TestThePod(t *testing.T) {
	pod := func(node, namespace, name string) podResult {
		return podResult{podOrder: podOrder{Node: node, Namespace: namespace, Name: name}}
	}
	pods := []podResult{pod("node-1", "payments", "web"), pod("node-2", "default", "web"), pod("node-1", "payments", "ledger"),
		pod("node-1", "red", "twin"), pod("node-2", "blue", "twin")}
	for _, tt := range []struct{ name, want, err string }{
		{"web", "node-2/default/web", ""},
		{"default/web", "node-2/default/web", ""},
		{"payments/web", "node-1/payments/web", ""},
		{"ledger", "node-1/payments/ledger", ""},
		{"node-1/payments/ledger", "node-1/payments/ledger", ""},
		{"blue/twin", "node-2/blue/twin", ""},
		{"twin", "", "2 pods are called twin: say which of node-1/red/twin, node-2/blue/twin"},
		{"default/ledger", "", "there is neither a machine nor a pod default/ledger"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := thePod(pods, tt.name)
			if err != nil {
				if err.Error() != tt.err {
					t.Errorf("got %v, want %s", err, tt.err)
				}
				return
			}
			if full := got.Node + "/" + got.Namespace + "/" + got.Name; full != tt.want {
				t.Errorf("got %s, want %s", full, tt.want)
			}
		})
	}
}

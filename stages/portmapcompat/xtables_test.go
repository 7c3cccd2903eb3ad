package portmapcompat

import (
	"testing"
)

// TestRefused reads what iptables-restore says of either variant.
func TestRefused(t *testing.T) {
	script := "*nat\n-C A -j B\n-A A -s x\nCOMMIT\n"
	for _, tt := range []struct {
		name    string
		exit    int
		out     string
		want    string
		passing bool
	}{
		{"nft, a rule is missing", 1, "iptables-restore: line 2 failed: Bad rule (does a matching rule exist in that chain?).\n",
			`iptables-restore refused "-C A -j B": iptables-restore: line 2 failed: Bad rule (does a matching rule exist in that chain?).`, true},
		{"legacy, a rule is missing", 1, "iptables-restore: line 2 failed\n",
			`iptables-restore refused "-C A -j B": iptables-restore: line 2 failed`, true},
		{"a word", 2, "iptables-restore v1.8.9 (legacy): host/network `x' not found\nError occurred at line: 3\nTry `iptables-restore -h' or 'iptables-restore --help' for more information.\n",
			"iptables-restore refused \"-A A -s x\": iptables-restore v1.8.9 (legacy): host/network `x' not found", false},
		{"the lock", 4, "Another app is currently holding the xtables lock; still 1s 0us time ahead to have a chance to grab the lock...\nAnother app is currently holding the xtables lock. Stopped waiting after 20s.\n",
			"iptables-restore failed: another program has held /run/xtables.lock for 20 s", false},
		{"no number", 1, "iptables-restore: line failed\n", "iptables-restore failed: iptables-restore: line failed", true},
		{"the kernel", 4, "iptables-restore v1.8.9 (nf_tables): \nline 3: RULE_APPEND failed (No such file or directory): rule in chain A\n",
			`iptables-restore refused "-A A -s x": iptables-restore v1.8.9 (nf_tables):; line 3: RULE_APPEND failed (No such file or directory): rule in chain A`, true},
	} {
		got := refused("iptables-restore", tt.exit, tt.out, script)
		if got.Error() != tt.want || got.passing() != tt.passing {
			t.Errorf("%s: %v, passing %t\nwant %s", tt.name, got, got.passing(), tt.want)
		}
	}
}

// TestWords: what quoted writes, words reads; and what iptables -S prints.
func TestWords(t *testing.T) {
	for _, word := range []string{"plain", "two words", `it's "quoted" \ here`, "#1", "", "\\"} {
		if got := words("-A X " + quoted(word) + " end"); len(got) != 4 || got[2] != word {
			t.Errorf("%q comes back as %q", word, got)
		}
	}
	l := parseRule(`-A CNI-HOSTPORT-DNAT -p tcp -m comment --comment "dnat name: \"n\" id: \"c\"" -m multiport --dports 80,81 -j CNI-DN-x`)
	if l.comment != `dnat name: "n" id: "c"` || l.jump != "CNI-DN-x" || len(l.ports) != 2 || l.to.proto != 6 {
		t.Errorf("%+v", l)
	}
}

func FuzzParseRule(f *testing.F) {
	f.Add(`-A X -d 10.0.0.1/32 -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.0.0.2:80`)
	f.Add(`-A X -m comment --comment "a \"b\" \\" -j Y`)
	f.Fuzz(func(t *testing.T, line string) {
		parseRule(line)
		for _, w := range words(line) {
			if got := words(quoted(w)); len(got) != 1 || got[0] != w {
				t.Errorf("%q comes back as %q", w, got)
			}
		}
	})
}

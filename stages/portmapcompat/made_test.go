package portmapcompat

import (
	"strings"
	"testing"
	"time"

	"github.com/enichain/enichain/stages"
)

const other = `{"hostPort":8081,"containerPort":80,"protocol":"tcp"}`

// TestDELLeavesNothing: whatever was asked for at ADD, is asked for at DEL, or happened to what ADD made in between,
// nothing of the pod is left, and all of the other one.
func TestDELLeavesNothing(t *testing.T) {
	const drop = "nft delete map inet enichain-portmap-compat made"
	w := newWorld(t)
	bareWith := func(ports string) *requested { return &requested{"", ports, true} }
	for _, tt := range []struct {
		name    string
		adds    []requested
		between string // a script
		del     *requested
	}{
		{"as it was made", []requested{{"", web, false}}, "", &requested{"", web, false}},
		{"without prevResult", []requested{{"", web, false}}, "", bareWith(web)},
		{"without ports", []requested{{"", web, false}}, "", &requested{"", "", false}},
		{"with other ports", []requested{{"", web, false}}, "", bareWith(other)},
		{"with bad ports", []requested{{"", web, false}}, "", bareWith(`{"hostPort":0}`)},
		{"with masqAll by now", []requested{{"", web, false}}, "", &requested{`,"masqAll":true`, web, false}},
		{"without snat by now", []requested{{"", web, false}}, "", &requested{`,"snat":false`, web, false}},
		{"with conditions by now", []requested{{"", web, false}}, "", &requested{`,"conditionsV4":["tcp","sport","1-65535"]`, web, false}},
		{"with a bad key by now", []requested{{"", web, false}}, "", &requested{`,"nonsense":1`, web, false}},
		{"one address", []requested{{"", `{"hostPort":80,"containerPort":80,"protocol":"tcp","hostIP":"10.0.0.20"}`, false}}, "",
			bareWith(`{"hostPort":80,"containerPort":80,"protocol":"tcp","hostIP":"10.0.0.20"}`)},
		{"added twice", []requested{{"", web, false}, {"", web, false}}, "", bareWith(web)},
		{"added twice, the second told", []requested{{"", web, false}, {"", other, false}}, "", bareWith(other)},
		{"added twice, the first told", []requested{{"", web, false}, {"", other, false}}, "", bareWith(web)},
		{"added to and fro", []requested{{"", web, false}, {"", other, false}, {"", web, false}}, "", bareWith(web)},
		{"of an older version", []requested{{"", web, false}}, drop, bareWith(web)},
		{"what was made is lost", []requested{{"", web, false}}, "nft flush map inet enichain-portmap-compat made", bareWith(web)},
		{"added twice, nothing told", []requested{{"", web, false}, {"", other, false}}, "", bareWith("")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w.t = t
			b := request("b", "", `{"hostPort":9000,"containerPort":80,"protocol":"tcp"}`)
			w.add(b)
			for _, r := range tt.adds {
				a := request("a", r.config, r.ports)
				w.add(a)
				w.must(Stage{}.Check, a)
			}
			w.node.Script(tt.between)
			del := request("a", tt.del.config, tt.del.ports)
			if tt.del.bare {
				del.Prev, del.Netns = nil, ""
			}
			for range 2 {
				w.must(Stage{}.Del, del)
			}
			if text := w.table(); strings.Contains(text, "enichain/a/") || strings.Count(text, "enichain/b/") < 5 {
				t.Errorf("a ended and b lives:\n%s", text)
			}
			w.add(b) // the script may have taken of it, too
			w.must(Stage{}.Check, b)
			w.must(Stage{}.Del, b)
			if text := w.table(); strings.Contains(text, "elements") {
				t.Errorf("all ended:\n%s", text)
			}
		})
	}
}

// requested is what differs in requests for a pod; bare is one without prevResult and namespace.
type requested struct {
	config, ports string
	bare          bool
}

// TestOlderVersionsPods: a pod of a version that did not note what it made is whole, stays as it is, and a second ADD of
// it or a look of the daemon claims nothing that it cannot know.
func TestOlderVersionsPods(t *testing.T) {
	w := newWorld(t)
	a, b := request("a", "", web), request("b", "", other)
	w.add(a)
	w.node.Script("nft delete map inet enichain-portmap-compat made")
	w.must(Stage{}.Check, a)
	if what, again := w.restore(&Restorer{}, 0, a); len(what) > 0 || again {
		t.Errorf("a look at a whole pod: %q, again %t", what, again)
	}
	w.add(a)
	if text := w.table(); strings.Contains(text, "map made") {
		t.Errorf("a second ADD notes what it cannot know:\n%s", text)
	}
	w.add(b)
	const nothing = "0.0.0.0 . :: . 00:00:00:00:00:00"
	noted := func() string {
		_, made, _ := strings.Cut(w.table(), "map made")
		made, _, _ = strings.Cut(made, "\n  chain")
		return made
	}
	if got := noted(); !strings.Contains(got, "enichain/a/") || !strings.Contains(got, "enichain/b/") || strings.Count(got, nothing) != 1 {
		t.Errorf("noted of an older pod and a new one:\n%s", got)
	}
	w.node.Script("nft delete element inet enichain-portmap-compat ports '{ tcp . 8080 }'")
	w.restore(&Restorer{}, time.Minute, a, b)
	if got := noted(); strings.Count(got, nothing) != 1 {
		t.Errorf("mending one port notes what it cannot know:\n%s", got)
	}
	w.must(Stage{}.Check, a)
	whole := w.table()
	w.node.Script("nft flush map inet enichain-portmap-compat made")
	for _, r := range []*stages.Request{a, b} {
		if err := w.do(Stage{}.Check, r); err == nil || !strings.Contains(err.Error(), "set made is missing") {
			t.Errorf("CHECK without the note of %s: %v", r.Container, err)
		}
	}
	w.restore(&Restorer{}, 2*time.Minute, a, b)
	w.must(Stage{}.Check, a)
	w.must(Stage{}.Check, b)
	if got := noted(); strings.Count(got, nothing) != 2 {
		t.Errorf("mending the notes alone tells more than is known:\n%s", got)
	}
	w.node.Script("nft flush ruleset")
	w.restore(&Restorer{}, time.Hour, a, b)
	if text := w.table(); strings.Count(text, "enichain/a/") != strings.Count(whole, "enichain/a/") || strings.Contains(noted(), nothing) {
		t.Errorf("after a flush:\n%s", text)
	}
	for _, r := range []string{"a", "b"} {
		w.must(Stage{}.Del, bare(r))
	}
	if text := w.table(); strings.Contains(text, "elements") {
		t.Errorf("all ended:\n%s", text)
	}
}

func TestUsesAreCountedAsTheTablesHaveThem(t *testing.T) {
	dnat := defaults().dnat().Chains
	if want := len(dnat[0].Rules) + len(dnat[1].Rules) + len(dnat[2].Rules); useOfDNAT != want {
		t.Errorf("useOfDNAT is %d: chain %s has %d uses", useOfDNAT, dnat[0].Name, want)
	}
	if want := len(masquerade().Chains[0].Rules); useOfMasquerade != want {
		t.Errorf("useOfMasquerade is %d: chain %s has %d uses", useOfMasquerade, chainPostrouting, want)
	}
}

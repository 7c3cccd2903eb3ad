package portmapcompat

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/enichain/enichain/stages"
	"github.com/enichain/enichain/stages/internal/link"
)

// restore is one look at live containers, at a time that a test says.
func (w *world) restore(x *Restorer, at time.Duration, live ...*stages.Request) (what []string, again bool) {
	w.t.Helper()
	var err error
	w.node.Do(func(*link.Conn) {
		what, again, err = x.Restore(context.Background(), time.Unix(1000, 0).Add(at), live)
	})
	if err != nil {
		w.t.Fatalf("Restore: %v", err)
	}
	return what, again
}

// inOrder sorts lines: a chain that is made anew stands last.
func inOrder(text string) []string { return slices.Sorted(strings.SplitSeq(text, "\n")) }

// TestRestoreMends: whatever CHECK complains of is back, and a second look finds nothing.
func TestRestoreMends(t *testing.T) {
	for name, damage := range map[string]string{
		"nothing":         "true",
		"ruleset":         "nft flush ruleset",
		"table":           "nft delete table inet enichain-portmap-compat",
		"all rules":       "nft flush table inet enichain-portmap-compat",
		"chain":           "nft delete chain inet enichain-portmap-compat prerouting",
		"masquerading":    "nft flush chain inet enichain-portmap-compat postrouting",
		"a rule too much": "nft insert rule inet enichain-portmap-compat to-pods return",
		"port":            "nft delete element inet enichain-portmap-compat ports '{ tcp . 8080 }'",
		"ports":           "nft flush map inet enichain-portmap-compat ports",
		"mark":            "nft flush set inet enichain-portmap-compat pods",
		"hairpin":         "nft flush set inet enichain-portmap-compat hairpin",
		"marks' own set":  "nft delete set inet enichain-portmap-compat pods",
		"port led away": `nft 'delete element inet enichain-portmap-compat ports { tcp . 8080 }
			add element inet enichain-portmap-compat ports { tcp . 8080 comment "enichain/a/eth0" : 10.0.1.2 . 80 }'`,
		"127.0.0.1's way": "echo 0 > /proc/sys/net/ipv4/conf/pod-a/route_localnet",
		"two things":      "nft flush map inet enichain-portmap-compat ports; nft delete chain inet enichain-portmap-compat output",
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			r := request("a", "", web)
			w.add(r)
			before := w.table()
			w.node.Script(damage)
			x := &Restorer{}
			if what, _ := w.restore(x, 0, r); (len(what) == 0) != (damage == "true") {
				t.Errorf("after %q: %q", damage, what)
			}
			w.must(Stage{}.Check, r)
			if diff := cmp.Diff(inOrder(before), inOrder(w.table())); diff != "" {
				t.Errorf("table (-before +after)\n%s", diff)
			}
			if got := ask(t, w.outside, "tcp", "198.51.100.1", "10.0.0.10:8080"); got != "a sees 198.51.100.1" {
				t.Errorf("host port: %s", got)
			}
			for range 2 {
				if what, again := w.restore(x, time.Second, r); len(what) != 0 || again {
					t.Errorf("the second look: %q, again %t", what, again)
				}
			}
		})
	}
}

// TestRestoreConditions: rules that only nft can write come back too.
func TestRestoreConditions(t *testing.T) {
	w := newWorld(t)
	r := request("a", `,"conditionsV4":["ip","saddr","!=","203.0.113.0/24"]`, web)
	w.add(r)
	before := w.table()
	w.node.Script("nft flush ruleset")
	w.restore(&Restorer{}, 0, r)
	if diff := cmp.Diff(inOrder(before), inOrder(w.table())); diff != "" {
		t.Errorf("table (-before +after)\n%s", diff)
	}
}

// TestRestoreTakesNothing: a port has one owner, and after a flush it is the first of those that live.
func TestRestoreTakesNothing(t *testing.T) {
	w := newWorld(t)
	a, b := request("a", "", web), request("b", "", web)
	w.add(a)
	w.add(b)
	before := w.table()
	x := &Restorer{}
	w.restore(x, 0, b, a)
	if diff := cmp.Diff(inOrder(before), inOrder(w.table())); diff != "" {
		t.Errorf("a look at a shared port (-before +after)\n%s", diff)
	}
	w.node.Script("nft flush ruleset")
	w.restore(x, time.Minute, b, a)
	if got := ask(t, w.outside, "tcp", "198.51.100.1", "10.0.0.10:8080"); !strings.HasPrefix(got, "b ") {
		t.Errorf("after a flush the port leads to %q, want b", got)
	}
	// b ends: a is the one that lives, and its port is missing.
	w.must(Stage{}.Del, bare("b"))
	w.restore(x, 2*time.Minute, a)
	if got := ask(t, w.outside, "tcp", "198.51.100.1", "10.0.0.10:8080"); !strings.HasPrefix(got, "a ") {
		t.Errorf("after the end of b the port leads to %q, want a", got)
	}
}

// TestRestoreDuringDel: DEL closed the ports, and the runtime still has the attachment.
func TestRestoreDuringDel(t *testing.T) {
	w := newWorld(t)
	a, b := request("a", "", web), request("b", "", `{"hostPort":8081,"containerPort":80,"protocol":"tcp"}`)
	w.add(a)
	w.add(b)
	x := &Restorer{}
	w.must(Stage{}.Del, bare("a"))
	if what, again := w.restore(x, 0, a, b); len(what) != 0 || !again {
		t.Errorf("at DEL: %q, again %t; want a second look", what, again)
	}
	if what, again := w.restore(x, time.Second, b); len(what) != 0 || again {
		t.Errorf("after DEL: %q, again %t", what, again)
	}
	// The same with a flush in between: what is put back goes with the next look.
	w.add(a)
	w.must(Stage{}.Del, bare("a"))
	w.node.Script("nft flush ruleset")
	w.restore(x, time.Minute, a, b)
	w.restore(x, time.Minute+time.Second, b)
	if text := w.table(); strings.Contains(text, "enichain/a/") || !strings.Contains(text, "enichain/b/") {
		t.Errorf("a ended and b lives:\n%s", text)
	}
	// And one that lost everything while the table stands is believed later.
	w.must(Stage{}.Del, bare("b"))
	for at, want := range []bool{true, false} {
		if what, again := w.restore(x, time.Hour+time.Duration(at)*stages.Doubt, b); !again || (len(what) > 0) == want {
			t.Errorf("look %d: %q, again %t", at, what, again)
		}
	}
	w.must(Stage{}.Check, b)
}

// TestRestoreRandom takes random parts away, several at a time, and looks once.
func TestRestoreRandom(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	w := newWorld(t)
	live := []*stages.Request{request("a", "", web+`,{"hostPort":5353,"containerPort":80,"protocol":"udp","hostIP":"10.0.0.20"}`),
		request("b", "", `{"hostPort":8081,"containerPort":80,"protocol":"tcp"}`)}
	for _, r := range live {
		w.add(r)
	}
	before := w.table()
	const table = "inet enichain-portmap-compat"
	damages := []string{"nft flush ruleset", "nft delete table " + table, "nft flush table " + table, "nft delete chain " + table + " output",
		"nft flush chain " + table + " to-pods", "nft flush map " + table + " ports", "nft flush map " + table + " ports6",
		"nft delete element " + table + " ports '{ tcp . 8081 }'", "nft flush set " + table + " pods", "nft flush set " + table + " hairpin",
		"nft delete chain " + table + " postrouting", "nft flush map " + table + " addrports"}
	x := &Restorer{}
	for step := range 40 {
		var done []string
		for range 1 + random.IntN(3) {
			d := damages[random.IntN(len(damages))]
			w.node.Script(d + " 2>/dev/null || true")
			done = append(done, d)
		}
		for look := range 3 {
			if _, again := w.restore(x, time.Duration(step)*time.Minute+time.Duration(look)*stages.Doubt, live...); !again {
				break
			}
		}
		if diff := cmp.Diff(inOrder(before), inOrder(w.table())); diff != "" {
			t.Fatalf("seed %d step %d after %s (-before +after)\n%s", seed, step, fmt.Sprint(done), diff)
		}
	}
}

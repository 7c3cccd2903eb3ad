package portmapcompat

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/enichain/enichain/stages"
)

// TestBackend: the key decides; without it, the language of the others does.
func TestBackend(t *testing.T) {
	chain := "KUBE-MARK-MASQ"
	for _, tt := range []struct {
		name string
		config
		want string
	}{
		{"nothing", config{}, nftables},
		{"nftables", config{Backend: nftables}, nftables},
		{"iptables", config{Backend: iptables}, iptables},
		{"a chain", config{ExternalSetMarkChain: &chain}, iptables},
		{"iptables' condition", config{ConditionsV4: []string{"-s", "10.0.0.0/8"}}, iptables},
		{"its negation, IPv6", config{ConditionsV6: []string{"!", "-s", "fd00::/8"}}, iptables},
		{"nft's condition", config{ConditionsV4: []string{"ip", "saddr", "10.0.0.0/8"}}, nftables},
		{"a mark", config{MarkMasqBit: new(int)}, nftables},
	} {
		if got := tt.backend(); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

// TestIptablesConditions: they hold for this network's ports alone.
func TestIptablesConditions(t *testing.T) {
	eachVariant(t, func(t *testing.T) {
		w := newWorld(t)
		r := request("a", `,"conditionsV4":["!","-s","198.51.100.1"]`, web) // the backend follows from them
		w.add(r)
		w.add(r)
		w.add(request("b", byIptables, `{"hostPort":8081,"containerPort":80,"protocol":"tcp"}`))
		w.must(Stage{}.Check, r)
		for _, tt := range []struct{ source, to, want string }{
			{"198.51.100.1", "10.0.0.10:8080", "nothing"},
			{"10.0.0.1", "10.0.0.10:8080", "a sees 10.0.0.1"},
			{"198.51.100.1", "10.0.0.10:8081", "b sees 198.51.100.1"},
			{"2001:db8::1", "[fd00::10]:8080", "a sees 2001:db8::1"},
		} {
			if got := ask(t, w.outside, "tcp", tt.source, tt.to); got != tt.want {
				t.Errorf("%s → %s: %s, want %s", tt.source, tt.to, got, tt.want)
			}
		}
		w.must(Stage{}.Del, bare("a"))
		w.must(Stage{}.Del, bare("b"))
		w.ended()
	})
}

// TestIptablesRandomLives lets five pods take and leave four ports in any order, with repeated ADDs, DELs and GCs, and
// compares who has which port with a list: the last ADD is first, and whoever ends leaves it.
func TestIptablesRandomLives(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	eachVariant(t, func(t *testing.T) {
		w := newWorld(t)
		type taken struct {
			pod  string
			port int
		}
		var queue []taken
		ends := func(gone func(pod string) bool) {
			queue = slices.DeleteFunc(queue, func(q taken) bool { return gone(q.pod) })
		}
		for range 50 {
			pod := strconv.Itoa(1 + r.IntN(5))
			request := request("a", byIptables, "")
			request.Container = pod
			switch r.IntN(5) {
			case 0, 1:
				port := 8000 + r.IntN(4)
				request.Config = fmt.Appendf(nil, `{"name":"enichain","backend":"iptables","runtimeConfig":{"portMappings":[`+
					`{"hostPort":%d,"containerPort":80,"protocol":"tcp"}]}}`, port)
				w.add(request)
				w.must(Stage{}.Check, request)
				ends(func(p string) bool { return p == pod }) // an ADD is all that the container has
				queue = slices.Insert(queue, 0, taken{pod, port})
			case 2, 3:
				w.must(Stage{}.Del, request)
				ends(func(p string) bool { return p == pod })
			case 4:
				w.must(Stage{}.GC, &stages.Request{Command: "GC", Attachment: stages.Attachment{Network: "enichain"},
					Config: []byte(`{}`), Valid: []stages.Attachment{request.Attachment}})
				ends(func(p string) bool { return p != pod })
			}
			for _, program := range []string{"iptables", "ip6tables"} {
				var got []taken
				for line := range strings.Lines(w.nat(program)) {
					if l := parseRule(strings.TrimSpace(line)); len(l.ports) == 1 {
						_, id, _ := strings.Cut(l.comment, `id: "`)
						got = append(got, taken{id[:1], int(l.ports[0])})
					}
				}
				if diff := cmp.Diff(queue, got, cmp.AllowUnexported(taken{})); diff != "" && len(queue)+len(got) > 0 {
					t.Fatalf("seed %d, %s (-want +got):\n%s", seed, program, diff)
				}
			}
		}
	})
}

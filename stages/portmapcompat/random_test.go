package portmapcompat

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/enichain/enichain/stages"
)

// TestRandomLives lets five pods take and leave four ports in any order, with late and repeated DELs, told the ports of the
// last ADD or nothing, and GCs, and
// compares who has which port with a table of three lines: the last ADD wins, and only the winner's DEL closes it.
func TestRandomLives(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	w := newWorld(t)
	want := map[int]string{} // port to container
	last := map[string]int{} // container to the port that it asked for last
	var story []string
	for range 80 {
		pod := strconv.Itoa(1 + r.IntN(5))
		request := request("a", "", "")
		request.Container = pod
		asked := func(port int) []byte {
			return fmt.Appendf(nil, `{"name":"enichain","runtimeConfig":{"portMappings":[`+
				`{"hostPort":%d,"containerPort":80,"protocol":"tcp"}]}}`, port)
		}
		switch r.IntN(5) {
		case 0, 1:
			port := 8000 + r.IntN(4)
			request.Config = asked(port)
			w.add(request)
			want[port], last[pod] = pod, port
			story = append(story, fmt.Sprintf("pod %s takes %d", pod, port))
		case 2, 3:
			how := "told nothing"
			if port := last[pod]; port > 0 && r.IntN(2) == 0 {
				request.Config, how = asked(port), fmt.Sprintf("told %d", port)
			}
			w.must(Stage{}.Del, request)
			closeAll(want, func(c string) bool { return c == pod })
			story = append(story, "pod "+pod+" ends, "+how)
		case 4:
			gc := &stages.Request{Command: "GC", Attachment: stages.Attachment{Network: "enichain"}, Config: []byte(`{}`)}
			gc.Valid = []stages.Attachment{request.Attachment}
			w.must(Stage{}.GC, gc)
			closeAll(want, func(c string) bool { return c != pod })
			story = append(story, "GC keeps pod "+pod)
		}
		if diff := cmp.Diff(want, w.holders()); diff != "" {
			t.Fatalf("seed %d: %v: ports (-want +got):\n%s", seed, story[max(0, len(story)-12):], diff)
		}
	}
}

func closeAll(ports map[int]string, gone func(container string) bool) {
	for port, container := range ports {
		if gone(container) {
			delete(ports, port)
		}
	}
}

var holder = regexp.MustCompile(`tcp \. (\d+) comment "enichain/(\d)/eth0" : 10\.`)

// holders are the containers that have ports by IPv4; IPv6's must be the same.
func (w *world) holders() map[int]string {
	w.t.Helper()
	text := w.table()
	found := map[int]string{}
	for _, m := range holder.FindAllStringSubmatch(text, -1) {
		port, _ := strconv.Atoi(m[1])
		found[port] = m[2]
	}
	six := regexp.MustCompile(`tcp \. (\d+) comment "enichain/(\d)/eth0" : fd00`).FindAllString(text, -1)
	if len(six) != len(found) {
		w.t.Fatalf("%d ports by IPv4, by IPv6 %v", len(found), slices.Sorted(slices.Values(six)))
	}
	return found
}

package flows_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/enichain/enichain/test/need"
)

// fast is a stage behind the flagship's four.
var fast = map[string]any{"type": "fastpath"}

// TestFlowsWithFastPath asks everything once, as without the stage.
func TestFlowsWithFastPath(t *testing.T) {
	need.MachinesRoot(t, "for the kernel takes programs from nobody else")
	w := upWith(t, []map[string]any{fast}, four, six)
	for _, a := range w.all {
		w.a = a
		w.sh(w.node, w.nftables())
	}
	for _, a := range w.all {
		w.a = a
		t.Run(a.family, func(t *testing.T) { w.try(t, append(w.everyday(), w.ports()...)) })
	}
}

// long is a connection that stays open.
type long struct {
	flow
	net.Conn
	family string
}

// TestLongFlowsWithFastPath keeps a connection open for every flow of TCP in both families, and talks on all of them until
// hardly a packet goes the kernel's own way, and for longer than what was learnt counts. The router may drop nothing.
func TestLongFlowsWithFastPath(t *testing.T) {
	need.MachinesRoot(t, "for the kernel takes programs from nobody else")
	w := newWorld(t, four, six)
	w.load(fast)
	for i, pod := range []string{"p0", "p1"} {
		w.add(pod, both(hostPort0+i)...)
	}
	w.add("p2")
	w.sh(w.node, "nft 'add table inet seen; add counter inet seen forwarded; add chain inet seen count "+
		"{ type filter hook forward priority 0; }; add rule inet seen count counter name forwarded'")
	var all []long
	for _, a := range w.all {
		w.a = a
		w.sh(w.node, w.nftables())
		w.talkers()
		for _, f := range append(w.everyday(), w.ports()...) {
			if f.port != dns {
				all = append(all, w.open(t, f))
			}
		}
	}
	if len(all) < 60 {
		t.Fatalf("only %d flows are open", len(all))
	}
	const few = 0.2 // a pod's packets to itself take no fast path: 8 of these flows
	least, began := 1.0, time.Now()
	for rounds := 0; time.Since(began) < 2*patience && (least > few || time.Since(began) < patience/2); rounds++ {
		before := w.forwarded(t)
		const questions = 20
		for range questions {
			for _, l := range all {
				l.say(t)
			}
		}
		least = min(least, float64(w.forwarded(t)-before)/float64(2*questions*len(all)))
	}
	t.Logf("%d flows; at best %.3f packets per packet sent went through the forward chain", len(all), least)
	if least > few {
		t.Error("they took no fast path")
	}
	if d := w.drops(); d > 0 {
		t.Errorf("the VPC dropped %d packets: %v", d, w.fabric.Drops())
	}
}

// talkers answer on every address: a line that says who sees whom, and then whatever they hear.
func (w *world) talkers() {
	a := w.a
	for _, s := range []struct {
		name, at, address string
		port              int
	}{
		{"p0", "p0", a.p0, web}, {"p1", "p1", a.p1, web}, {"p2", "p2", a.p2, web}, {"host", "host", a.host, web},
		{"remote", "remote", a.remote, web}, {"client", "client", a.client, web}, {"web", "web", a.web, web},
		{"node", "node", a.node, hostNetwork}, {"node", "node", a.eni, hostNetwork},
	} {
		var l net.Listener
		must(w.t, w.at(s.at).do(func() (err error) {
			l, err = net.Listen("tcp", net.JoinHostPort(s.address, fmt.Sprint(s.port)))
			return err
		}))
		w.t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go func() {
					defer c.Close()
					fmt.Fprintf(c, "%s sees %s\n", s.name, c.RemoteAddr().(*net.TCPAddr).IP)
					_, _ = io.Copy(c, c)
				}()
			}
		}()
	}
}

// open connects and wants the flow's answer.
func (w *world) open(t *testing.T, f flow) long {
	t.Helper()
	l := long{flow: f, family: w.a.family}
	err := w.at(f.from).do(func() (err error) {
		l.Conn, err = net.DialTimeout("tcp", net.JoinHostPort(f.to, fmt.Sprint(f.port)), patience)
		return err
	})
	if err != nil {
		t.Fatalf("%s: %s: %v", l.family, f.name, err)
	}
	t.Cleanup(func() { l.Close() })
	must(t, l.SetDeadline(time.Now().Add(10*patience)))
	if said, err := bufio.NewReaderSize(l, 64).ReadString('\n'); err != nil || strings.TrimSpace(said) != f.want {
		t.Fatalf("%s: %s: %q, want %q: %v", l.family, f.name, said, f.want, err)
	}
	return l
}

func (l long) say(t *testing.T) {
	t.Helper()
	question, answer := []byte("do you hear me?"), make([]byte, 15)
	if _, err := l.Write(question); err != nil {
		t.Fatalf("%s: %s: %v", l.family, l.name, err)
	}
	if _, err := io.ReadFull(l, answer); err != nil || string(answer) != string(question) {
		t.Fatalf("%s: %s: %q: %v", l.family, l.name, answer, err)
	}
}

// forwarded is how many packets the node's forward chain has seen.
func (w *world) forwarded(t *testing.T) int {
	t.Helper()
	text := w.sh(w.node, "nft list counter inet seen forwarded")
	n, err := strconv.Atoi(regexp.MustCompile(`packets (\d+)`).FindStringSubmatch(text)[1])
	must(t, err)
	return n
}

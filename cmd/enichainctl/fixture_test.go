package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/store"
	"github.com/enichain/enichain/ipam/store/storetest"
	"github.com/enichain/enichain/stages/routedveth"
)

// node is a node to look at: a real pool file and flight record, and a kernel as it would show itself.
type node struct {
	*storetest.Pool
	view   routedveth.View
	flight string
	way    way
}

func newNode(t *testing.T, enis ...ipam.SuppliedENI) *node {
	t.Helper()
	p := storetest.New(t, enis...)
	n := &node{Pool: p, flight: filepath.Join(filepath.Dir(p.Path()), "flight.jsonl")}
	for _, e := range enis {
		n.view.ENIs = append(n.view.ENIs, routedveth.ENIView{N: e.Device, Name: fmt.Sprintf("eth%d", e.Device), MAC: e.MAC, Up: true})
	}
	if len(enis) > 0 {
		n.tell(nil, nil)
	}
	return n
}

// pod leases an address and shows its link and route in the kernel.
func (n *node) pod(name string) store.Lease {
	n.T.Helper()
	r := storetest.Request(strings.ReplaceAll(name, "/", "-") + "-373b7e98b5a1")
	r.Pod = name
	l := n.Lease(r)
	n.view.Pods = append(n.view.Pods, routedveth.PodView{Link: "eni" + fmt.Sprint(len(n.view.Pods)), MAC: "02:5b:59:7b:c9:f7", Owner: l.Attachment.String(),
		N: l.ENI.N, Profile: 1, Up: true, Addresses: l.Addresses})
	n.view.Routes = append(n.view.Routes, routedveth.RouteView{Addr: l.Addresses[0], Link: "eni" + fmt.Sprint(len(n.view.Pods)-1), Owner: l.Attachment.String()})
	return l
}

// flew writes one line of the flight record, ago before now.
func (n *node) flew(ago time.Duration, stage, command, pod, token string, took, wait int) {
	n.T.Helper()
	f, err := os.OpenFile(n.flight, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		n.T.Fatal(err)
	}
	defer f.Close()
	fmt.Fprintf(f, `{"t":%q,"stage":%q,"cmd":%q,"net":"enichain","ctr":"%s-373b7e98b5a1","if":"eth0","pod":%q,"took_us":%d,"lock_us":10,"wait_us":%d,"token":%q}`+"\n",
		n.Now.Wall.Add(-ago).UTC().Format("2006-01-02T15:04:05.000000Z"), stage, command, strings.ReplaceAll(pod, "/", "-"), pod, took, wait, token)
}

// run is one command line; text is standard output, and errors after it.
func (n *node) run(args ...string) (text string, code int) {
	n.T.Helper()
	var out, errs bytes.Buffer
	a := &app{out: &out, err: &errs, clock: func() store.Now { return n.Now }, boot: func() (string, error) { return storetest.Boot, nil },
		inspect: func(context.Context) (routedveth.View, error) { return n.view, nil },
		walk:    func(context.Context, packet) (way, error) { return n.way, nil },
		host:    func() (string, error) { return "node-1", nil }, zone: time.UTC,
		getenv: func(string) string { return "" }}
	dir := filepath.Dir(n.Path())
	where := []string{"--pool", n.Path(), "--flight", n.flight, "--socket", filepath.Join(dir, "d.sock")}
	code = a.run(n.T.Context(), slices.Insert(slices.Clone(args), 1, where...)) // completion wants the last word last
	return strings.ReplaceAll(out.String()+errs.String(), dir, "DIR"), code
}

// golden compares what is printed, without blanks at line ends.
func (n *node) golden(wantCode int, want string, args ...string) {
	n.T.Helper()
	text, code := n.run(args...)
	lines := strings.Split(strings.Trim(text, "\n"), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	if d := cmp.Diff(strings.Split(strings.Trim(want, "\n"), "\n"), lines); d != "" || code != wantCode {
		n.T.Errorf("enichainctl %s: exit %d, want %d (-want +got):\n%s\n%s", strings.Join(args, " "), code, wantCode, d, text)
	}
}

// full is a node with some of everything.
func full(t *testing.T) *node {
	t.Helper()
	n := newNode(t, storetest.ENI(0, 4), storetest.ENI(1, 4))
	n.pod("default/web")
	n.pod("default/db")
	n.Lease(storetest.Request("gone"))
	n.Pass(40 * time.Second)
	n.Release("gone")
	n.Pass(5 * time.Second)
	wish := ipam.Release{ENI: "eni-01", Count: 1}
	n.Do(func(tx *store.Tx) error {
		chosen, err := tx.Choose(n.Now, wish)
		if err == nil {
			_, err = tx.Fence(n.Now, wish, chosen)
		}
		return err
	})
	n.tell(nil, &ipam.Why{Code: "InsufficientFreeAddressesInSubnet", Text: "subnet-a (10.110.10.0/24) has 0 free addresses",
		Since: time.Date(2026, 11, 20, 14, 0, 30, 0, time.UTC), RetryIn: 26})
	n.flew(45*time.Second, "eni-ipam", "ADD", "default/web", "", 1900, 0)
	n.flew(44*time.Second, "routed-veth", "ADD", "default/web", "", 2600, 0)
	n.flew(43*time.Second, "snat", "ADD", "default/web", "", 1800, 0)
	return n
}

// tell supplies what keeps the pool "default" from growing, and more pools behind it.
func (n *node) tell(more []ipam.SuppliedPool, why *ipam.Why) {
	n.T.Helper()
	n.Supply.Pools = append([]ipam.SuppliedPool{{Name: "default", Families: []ipam.Family{ipam.IPv4}, Cooldown: 30 * time.Second, Low: 2, High: 8,
		Window: 10 * time.Minute, Why: why}}, more...)
	n.Accept()
}

// daemon answers on the socket as enichaind would: with a status, and events.
func (n *node) daemon(status, events string) {
	n.T.Helper()
	l, err := net.Listen("unix", filepath.Join(filepath.Dir(n.Path()), "d.sock"))
	if err != nil {
		n.T.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, status) })
	mux.HandleFunc("GET /v1/events", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("since") != "1h0m0s" {
			http.Error(w, "since="+r.URL.Query().Get("since"), http.StatusBadRequest)
			return
		}
		fmt.Fprint(w, events)
	})
	s := &http.Server{Handler: mux}
	go func() { _ = s.Serve(l) }()
	n.T.Cleanup(func() { s.Close() })
}

// alive makes the agent's lock as a running agent has it: held and fresh.
func (n *node) alive() {
	n.T.Helper()
	f, err := os.Create(filepath.Join(filepath.Dir(n.Path()), "agent.lock"))
	if err != nil {
		n.T.Fatal(err)
	}
	n.T.Cleanup(func() { f.Close() })
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		n.T.Fatal(err)
	}
	if err := os.Chtimes(f.Name(), n.Now.Wall, n.Now.Wall); err != nil {
		n.T.Fatal(err)
	}
}

// lines passes on each write.
type lines chan string

func (l lines) Write(b []byte) (int, error) { l <- string(b); return len(b), nil }

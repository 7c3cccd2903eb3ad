package flows_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	types100 "github.com/containernetworking/cni/pkg/types/100"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/stages/routedveth"
)

// many is an m5.4xlarge's worth of pods at once, and rounds how often.
const (
	many   = 50
	rounds = 3
)

// crowded is a node with many addresses on two network interfaces.
func crowded() addresses {
	a := four
	for i := range many/2 + 3 { // two more than pods, and room for what cools
		a.more = append(a.more, fmt.Sprintf("10.0.0.%d", 100+i), fmt.Sprintf("10.0.1.%d", 100+i))
	}
	return a
}

// TestCrowd: many pods at once through the whole chain, then all gone at once, three times over.
func TestCrowd(t *testing.T) {
	w := newWorld(t, crowded())
	w.load()
	before := w.kernel()
	for round := range rounds {
		var names []string
		for i := range many {
			names = append(names, fmt.Sprintf("crowd%d-%d", round, i))
		}
		w.sh(w.node, "for p in "+strings.Join(names, " ")+"; do ip netns add $p; done")
		began := time.Now()
		got := w.addAll(names)
		t.Logf("round %d: %d pods in %s", round, many, time.Since(began).Round(time.Millisecond))
		slices.Sort(got)
		if distinct := len(slices.Compact(slices.Clone(got))); distinct != many || len(got) != many {
			t.Fatalf("%d addresses, %d distinct: %v", len(got), distinct, got)
		}
		w.listen(names[0])
		began = time.Now()
		w.together(names, func(ctx context.Context, pod string) error { return w.cni.DelNetworkList(ctx, w.list, w.runtime(pod)) })
		t.Logf("round %d: gone in %s", round, time.Since(began).Round(time.Millisecond))
		w.sh(w.node, "for p in "+strings.Join(names, " ")+"; do ip netns del $p; done")
		w.settled(before)
	}
	for _, a := range w.state().Addresses {
		if a.State == ipam.Leased {
			t.Errorf("%s is leased yet", a.Address)
		}
	}
}

// listen asks one of the crowd from the node: the crowd's wires carry packets.
func (w *world) listen(pod string) {
	w.t.Helper()
	v := w.inspect()
	for _, p := range v.Pods {
		if strings.Contains(p.Owner, "/"+pod+"/") && len(p.Addresses) > 0 {
			defer w.serve(pod, pod, p.Addresses[0].String(), web)()
			if got, want := w.ask("tcp", "node", p.Addresses[0].String(), web, patience), pod+" sees "+w.a.node; got != want {
				w.t.Errorf("%s: %q, want %q", pod, got, want)
			}
			return
		}
	}
	w.t.Errorf("%s has no wire among %d", pod, len(v.Pods))
}

func (w *world) inspect() (v routedveth.View) {
	w.t.Helper()
	must(w.t, w.node.Do(func() (err error) { v, err = routedveth.Inspect(w.t.Context()); return err }))
	return v
}

func (w *world) addAll(pods []string) (addresses []string) {
	var mu sync.Mutex
	w.together(pods, func(ctx context.Context, pod string) error {
		answer, err := w.cni.AddNetworkList(ctx, w.list, w.runtime(pod))
		if err != nil {
			return err
		}
		result, err := types100.NewResultFromResult(answer)
		mu.Lock()
		defer mu.Unlock()
		addresses = append(addresses, result.IPs[0].Address.IP.String())
		return err
	})
	return addresses
}

// together does the same for all pods at once.
func (w *world) together(pods []string, do func(context.Context, string) error) {
	w.t.Helper()
	errs := make([]error, len(pods))
	var group sync.WaitGroup
	for i, pod := range pods {
		group.Go(func() {
			if err := do(w.t.Context(), pod); err != nil {
				errs[i] = fmt.Errorf("%s: %w", pod, err)
			}
		})
	}
	group.Wait()
	must(w.t, errors.Join(errs...))
}

// kernel is what the stages have in the node's kernel, as text.
func (w *world) kernel() string {
	w.t.Helper()
	return w.sh(w.node, `ip -o link | grep -c . ; ip rule; ip route show table all proto 233
		nft list tables | grep enichain | sort; nft list table inet enichain-routed-veth | grep -c .`)
}

// settled waits until nothing of the pods is left: the kernel deletes a namespace's links in its own time.
func (w *world) settled(before string) {
	w.t.Helper()
	now := ""
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		now = w.kernel()
		// The tables of other stages stay, empty of pods.
		if strings.Join(withoutTables(now), "\n") == strings.Join(withoutTables(before), "\n") {
			return
		}
		select {
		case <-w.t.Context().Done():
			return
		case <-time.After(50 * time.Millisecond):
		}
	}
	w.t.Fatalf("left in the kernel:\n%s\nbefore:\n%s", now, before)
}

func withoutTables(state string) []string {
	return slices.DeleteFunc(strings.Split(state, "\n"), func(l string) bool { return strings.HasPrefix(l, "table ") })
}

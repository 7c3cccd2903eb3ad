package eniipam_test

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/store"
	"github.com/enichain/enichain/ipam/store/storetest"
	"github.com/enichain/enichain/stages/internal/link"
	"github.com/enichain/enichain/stages/internal/linktest"
)

func TestDelNeverFailsForWhatTheAgentSettles(t *testing.T) {
	n := newNode(t, storetest.ENI(0, 2))
	n.must("DEL", "never-added", n.conf(""), "CNI_NETNS=")
	n.must("DEL", "a", `{"cniVersion":"1.0.0","name":"enichain","type":"eni-ipam","poolFile":"/nowhere/pool.db"}`)
	n.must("ADD", "a", n.conf(""))
	n.must("DEL", "a", n.conf(`,"nonsense":1,"wait":"x"`)) // a list that was spoilt meanwhile
	want(t, "leases", nil, n.leases())

	n.must("ADD", "b", n.conf(""))
	lock, err := os.OpenFile(n.Path()+".lock", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	n.must("DEL", "b", n.conf(""))
	n.must("STATUS", "", n.conf("")) // busy is not broken
	code, msg := n.refused("ADD", "c", n.conf(""))
	if code != 11 || !strings.HasPrefix(msg, "POOL_LOCKED no address for enichain/c/eth0: cannot lock "+n.Path()+".lock within 2") {
		t.Errorf("%d %q", code, msg)
	}
	lock.Close()
	n.must("ADD", "c", n.conf(""))
	want(t, "b's end was settled before c's beginning", []string{"c 10.110.10.10"}, n.leases())

	db, err := bbolt.Open(n.Path(), 0o644, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte("meta")).Put([]byte("schema"), []byte("9"))
	}), db.Close()); err != nil {
		t.Fatal(err)
	}
	n.must("DEL", "c", n.conf(""))
	if code, msg := n.refused("ADD", "d", n.conf("")); code != 102 || !strings.Contains(msg, "it has schema 9, this program reads 1 to 2") {
		t.Errorf("%d %q", code, msg)
	}
	if err := os.Truncate(n.Path(), 8192); err != nil {
		t.Fatal(err)
	}
	n.must("DEL", "c", n.conf(""))
	if code, msg := n.refused("ADD", "d", n.conf("")); code != 103 && code != 102 {
		t.Errorf("%d %q", code, msg)
	}
}

func TestGC(t *testing.T) {
	n := newNode(t, storetest.ENI(0, 5))
	for _, c := range []string{"kept", "stale"} {
		n.must("ADD", c, n.conf(""))
	}
	n.must("ADD", "other", strings.Replace(n.conf(""), `"name":"enichain"`, `"name":"other"`, 1))
	all := []string{"kept 10.110.10.10", "stale 10.110.10.11", "other 10.110.10.12"}
	list := `,"cni.dev/valid-attachments":[{"containerID":"kept","ifname":"eth0"},{"containerID":"stale","ifname":"eth1"}]`
	n.must("GC", "", n.conf(list))
	want(t, "leases too young to be judged", all, n.leases())
	n.stage.Clock = func() store.Now {
		now := store.ReadClock()
		return store.Now{Boot: now.After(3 * time.Minute), Wall: now.Wall}
	}
	n.must("GC", "", n.conf(""))
	want(t, "no list", all, n.leases())
	n.must("GC", "", n.conf(list))
	want(t, "a list", []string{"kept 10.110.10.10", "other 10.110.10.12"}, n.leases())
	n.must("GC", "", n.conf(`,"cni.dev/valid-attachments":null`))
	want(t, "null keeps none of this network", []string{"other 10.110.10.12"}, n.leases())
	n.must("GC", "", `{"cniVersion":"1.1.0","name":"n","type":"eni-ipam","poolFile":"/nowhere/pool.db","cni.dev/valid-attachments":[]}`)
}

func TestEmptyPoolSaysWhy(t *testing.T) {
	n := newNode(t, storetest.ENI(0, 1))
	n.must("ADD", "a", n.conf(""))
	pod := "CNI_ARGS=K8S_POD_NAMESPACE=default;K8S_POD_NAME=late-4"
	try := func() string {
		t.Helper()
		code, msg := n.refused("ADD", "b", n.conf(`,"wait":"30ms"`), pod)
		if code != 11 || len(n.State().Tickets) != 0 {
			t.Errorf("code %d, tickets %v", code, n.State().Tickets)
		}
		// On a slow machine seconds pass, and are told.
		msg = regexp.MustCompile(`^(POOL_EMPTY no address for \S+) after \d+ s:`).ReplaceAllString(msg, "$1:")
		return regexp.MustCompile(`next try in (2[0-6]|1\d) s,`).ReplaceAllString(msg, "next try in 26 s,")
	}
	head := "POOL_EMPTY no address for default/late-4: 1 of 1 leased; "
	want(t, "no agent", head+"enichaind does not run on this node, so that nobody fills the pool; start it", try())
	n.agentLives(91 * time.Second)
	if msg := try(); !strings.HasPrefix(msg, head+"enichaind has not run since ") {
		t.Error("dead:", msg)
	}
	n.agentLives(time.Second)
	if msg := try(); !strings.HasPrefix(msg, head+"enichaind does not run, last seen at ") {
		t.Error("down a second ago:", msg)
	}
	n.agentLives(0)
	want(t, "no answer", head+"the reconciler was asked for more and has not answered yet; its last word came at "+n.Now.Wall.Local().Format(time.TimeOnly)+
		"; it is asked again within a minute, or when any pod here ends", try())
	n.Do(func(tx *store.Tx) error {
		tx.SetMute(&store.Mute{Since: n.Now.Wall, Bus: "nats://10.0.0.5:4222"})
		return nil
	})
	want(t, "no bus", head+"enichaind cannot reach the bus nats://10.0.0.5:4222 since "+n.Now.Wall.Local().Format(time.TimeOnly)+
		"; it goes on trying; next try in 10 s at most, or when any pod here ends", try())
	n.Do(func(tx *store.Tx) error { tx.SetMute(nil); return nil })
	since := time.Date(2026, 11, 20, 14, 2, 19, 0, time.Local)
	n.Supply.Pools[0].Why = &ipam.Why{Code: "InsufficientFreeAddressesInSubnet", Text: "subnet-a (10.110.10.0/24) has 0 free addresses", Since: since, RetryIn: 26}
	n.Accept()
	want(t, "EC2's reason", head+"subnet-a (10.110.10.0/24) has 0 free addresses since 14:02:19; next try in 26 s, or when any pod here ends", try())
	n.Supply.Pools[0].Why.Text = strings.Repeat("a long story ", 50)
	n.Accept()
	try() // refused() looks at the length
	var gaveUp int
	n.Do(func(tx *store.Tx) error {
		records, _ := tx.Outbox(0, 0)
		for _, r := range records {
			if r.Verb == ipam.PodGaveUp && r.Pod == "default/late-4" && strings.HasPrefix(r.Cause, "POOL_EMPTY") {
				gaveUp++
			}
		}
		return nil
	})
	want(t, "records of giving up", 5, gaveUp)
}

// TestWaitersAreServedInOrder has ten ADDs wait, and gives addresses one by one.
func TestWaitersAreServedInOrder(t *testing.T) {
	n := newNode(t, storetest.ENI(0, 0))
	n.agentLives(0)
	served := make(chan string, 10)
	for i := range 10 {
		c := fmt.Sprintf("c%d", i)
		go func() {
			out, ok := n.run("ADD", c, n.conf(`,"wait":"60s"`))
			if !ok {
				c += " " + out
			}
			served <- c
		}()
		until(t, func() bool { return len(n.State().Tickets) == i+1 })
	}
	for i := range 10 {
		n.Give(storetest.ENI(0, i+1))
		select {
		case c := <-served:
			want(t, "next in turn", fmt.Sprintf("c%d", i), c)
		case <-time.After(time.Minute):
			t.Fatalf("nobody was served with address %d", i)
		}
	}
}

func until(t *testing.T, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !holds(); {
		if time.Now().After(deadline) {
			t.Fatal("it did not come true in a minute")
		}
		time.Sleep(time.Millisecond)
	}
}

// TestWaiterTakesACooledAddress needs no agent to turn an address free.
func TestWaiterTakesACooledAddress(t *testing.T) {
	n := newNode(t, storetest.ENI(0, 1))
	n.agentLives(0)
	n.Supply.Pools[0].Cooldown = 300 * time.Millisecond
	n.Accept()
	n.must("ADD", "a", n.conf(""))
	began := time.Now() // before the cooling
	n.must("DEL", "a", n.conf(""))
	n.must("ADD", "b", n.conf(`,"wait":"60s"`))
	if d := time.Since(began); d < 300*time.Millisecond || d > 50*time.Second {
		t.Errorf("served after %s", d)
	}
}

func TestFiftyAtOnce(t *testing.T) {
	n := newNode(t, storetest.ENI(0, 30), storetest.ENI(1, 20))
	for range 3 {
		var wg sync.WaitGroup
		var mu sync.Mutex
		got := map[string]bool{}
		for i := range 50 {
			wg.Go(func() {
				out := n.must("ADD", fmt.Sprintf("c%d", i), n.conf(""))
				_, address, _ := strings.Cut(out, `"address":"`)
				mu.Lock()
				defer mu.Unlock()
				got[address[:12]] = true
			})
		}
		wg.Wait()
		want(t, "different addresses", 50, len(got))
		for i := range 50 {
			wg.Go(func() { n.must("DEL", fmt.Sprintf("c%d", i), n.conf("")) })
		}
		wg.Wait()
		want(t, "leases", nil, n.leases())
	}
}

// TestKernelIsAsked leases in a namespace whose kernel still routes one address to a pod.
func TestKernelIsAsked(t *testing.T) {
	ns := linktest.New(t)
	n := newNode(t, storetest.ENI(0, 2))
	n.stage.InUse = nil
	ns.Run("ip", "link", "set", "lo", "up")
	ns.Run("ip", "rule", "add", "pref", "500", "lookup", "1000")
	ns.Run("ip", "route", "add", "10.110.10.10/32", "dev", "lo", "table", "1000", "proto", "233")
	var out string
	ns.Do(func(*link.Conn) { out = n.must("ADD", "a", n.conf("")) })
	if !strings.Contains(out, "10.110.10.11/32") {
		t.Error(out)
	}
	flagged := slices.ContainsFunc(n.State().Addresses, func(a store.Address) bool {
		return a.Address == netip.MustParseAddr("10.110.10.10") && a.Flagged
	})
	if !flagged {
		t.Error("the address in use is not flagged")
	}
}

package fabric_test

import (
	"os"
	"strings"
	"testing"
	"time"
)

// A machine that was stopped and started has its files, another boot id, an empty /run, and neither links nor processes.
func TestStopAndStart(t *testing.T) {
	f := up(t)
	n := node(t, f, "a")
	attach(t, f, "a", eni("eni-1", 0, 1, "10.0.1.10"))
	run(t, n, `mkdir -p /var/lib/enichain/deep && echo kept > /var/lib/enichain/deep/file && chmod 600 /var/lib/enichain/deep/file
		echo gone > /run/enichain/pool; (setsid sleep 1000 >/dev/null 2>&1 &)`)
	boot, pid := run(t, n, "cat /proc/sys/kernel/random/boot_id"), n.PID()
	if err := f.Stop(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if err := f.Stop(t.Context(), "a"); err != nil {
		t.Errorf("stopping it again: %v", err)
	}
	if _, err := n.Exec(t.Context(), "true"); err == nil {
		t.Error("a program runs in a machine that is off")
	}
	if _, _, owned := f.Owner(eni("", 0, 1, "10.0.1.10").Addresses[0]); owned {
		t.Error("the router knows the address of a machine that is off")
	}
	if err := f.Start(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if err := f.Start(t.Context(), "a"); err == nil {
		t.Error("a machine that is on was started")
	}
	if f.Node("a") != n || n.PID() == pid {
		t.Errorf("it is another node, or the same machine: %d", n.PID())
	}
	got := run(t, n, `cat /var/lib/enichain/deep/file; stat -c %a /var/lib/enichain/deep/file; ls /run/enichain | wc -l; ip -o link | wc -l
		for p in /proc/[0-9]*; do [ "$(readlink $p/ns/mnt)" = "$(readlink /proc/self/ns/mnt)" ] && tr '\0' ' ' < $p/cmdline | grep '^sleep'; done; true`)
	if want := "kept\n600\n0\n1"; got != want {
		t.Errorf("after the start:\n%s\nwant:\n%s", got, want)
	}
	if again := run(t, n, "cat /proc/sys/kernel/random/boot_id"); again == boot || len(again) != len(boot) {
		t.Errorf("boot id %s after %s", again, boot)
	}
	own, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil || strings.TrimSpace(string(own)) != boot {
		t.Errorf("this machine's own boot id is %s now, it was %s: %v", own, boot, err)
	}
	attach(t, f, "a", eni("eni-1", 0, 1, "10.0.1.10"))
	b := node(t, f, "b")
	attach(t, f, "b", eni("eni-2", 0, 2, "10.0.2.10"))
	answers(t, n)
	if got := ask(b, "", "10.0.1.10"); got != "you are 10.0.2.10" {
		t.Errorf("from b: %q", got)
	}
}

// What is lost is lost for one node only, in both directions, also on links that come later, and is no drop.
func TestLoss(t *testing.T) {
	f := up(t)
	a, b, c := node(t, f, "a"), node(t, f, "b"), node(t, f, "c")
	if err := f.Loss(t.Context(), "a", 100); err != nil {
		t.Fatal(err)
	}
	attach(t, f, "a", eni("eni-1", 0, 1, "10.0.1.10"))
	attach(t, f, "b", eni("eni-2", 0, 2, "10.0.2.10"))
	attach(t, f, "c", eni("eni-3", 0, 3, "10.0.2.11"))
	answers(t, a)
	answers(t, c)
	if got := askInVain(b, "", "10.0.1.10"); !strings.Contains(got, "timeout") {
		t.Errorf("with all packets lost: %q", got)
	}
	if got := ask(b, "", "10.0.2.11"); got != "you are 10.0.2.10" {
		t.Errorf("another node: %q", got)
	}
	if err := f.Loss(t.Context(), "a", 20); err != nil {
		t.Fatal(err)
	}
	if got := askFor(b, "", "10.0.1.10", 30*time.Second); got != "you are 10.0.2.10" {
		t.Errorf("with a fifth lost, which TCP bears: %q", got)
	}
	if err := f.Loss(t.Context(), "a", 0); err != nil {
		t.Fatal(err)
	}
	if got := run(t, f.Router(), "nft list tables"); strings.Contains(got, "loss") {
		t.Errorf("rules are left: %s", got)
	}
	if dropped := f.Dropped(); len(dropped) != 0 {
		t.Errorf("lost packets count as drops: %v", dropped)
	}
	if err := f.Loss(t.Context(), "a", 101); err == nil {
		t.Error("101% was taken")
	}
}

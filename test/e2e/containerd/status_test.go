package containerd

import (
	"strings"
	"testing"
)

// TestModule runs containerd 2.x, built from its Go module: it is the one that asks STATUS.
func TestModule(t *testing.T) {
	needs(t)
	r := module(t)
	const addresses = 9 // of a t3.small: 3 network interfaces with 4 each, the primary ones not for pods
	l := newLab(t, "t3.small", "free: 9")
	story(t, l.boot(r), addresses, chapter{"list swapped under live pods", swapped("iptables")}, chapter{"STATUS", status})
}

// status wants a node with a full pool to stay Ready: kubelet evicts the pods of one that does not. One that cannot
// start any pod, ever, has to say so in our words.
func status(t *testing.T, d *daemon, addresses int) []*pod {
	pods := d.crowd("full", addresses, 8000)
	if n := len(d.leases()); n != addresses {
		t.Fatalf("%d addresses are leased, want all %d", n, addresses)
	}
	if ready, message := d.network(); !ready {
		t.Errorf("with a full pool the network is not ready: %s", message)
	}
	d.must(d.vpclab("fault", "set", "kill", "node-1=enichaind")) // it would put the pool file back
	d.sh("mv /run/enichain/pool.db /run/enichain/pool.away")
	ready, message := d.network()
	if ready || !strings.Contains(message, "POOL_NOT_READY") || !strings.Contains(message, "/run/enichain/pool.db") {
		t.Errorf("without a pool file: ready is %t, and the message %q should say POOL_NOT_READY and which file", ready, message)
	}
	t.Logf("NetworkReady=%t, %s", ready, message)
	d.reached("without a pool file", pods...)
	d.must(d.vpclab("fault", "clear"))
	d.await() // the daemon has rebuilt the pool from the kernel's marks, and it is still full
	d.sound(pods...)
	return pods
}

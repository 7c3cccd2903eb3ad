package blackbox

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"github.com/enichain/enichain/ipam/store"
)

const pool = store.DefaultPath

func eniIPAM(verb string, c container, conf object) call {
	return call{stage: "eni-ipam", verb: verb, ctr: c, conf: conf}
}

// delegated is a configuration in which another plugin calls eni-ipam.
func delegated(caller string, ipam object) object {
	own := object{"type": "eni-ipam"}
	for k, v := range ipam {
		own[k] = v
	}
	return object{"type": caller, "mtu": 1400, "master": "eth0", "unknown": true, "ipam": own}
}

func TestIPAMDelegate(t *testing.T) {
	begin(t)
	c := sandbox(t, "delegate")
	ptp := delegated("ptp", nil)
	got := eniIPAM("ADD", c, ptp).ok(t).result
	ips := got["ips"].([]any)
	if ip := ips[0].(object); got["interfaces"] != nil || ip["interface"] != nil || len(ips) != 1 ||
		!strings.HasSuffix(ip["address"].(string), "/24") || ip["gateway"] == nil || ip["gateway"] == "10.110.10.1" { // I1 I3 I4 R11
		t.Errorf("under ptp: %v", got)
	}
	if again := eniIPAM("ADD", c, ptp).ok(t).result; !reflect.DeepEqual(again, got) { // I11
		t.Errorf("asked twice: %v, then %v", got, again)
	}
	eniIPAM("CHECK", c, ptp).ok(t)
	eniIPAM("STATUS", c, ptp).ok(t)
	for range 2 { // I5
		eniIPAM("DEL", container{id: c.id, ifname: c.ifname}, ptp).ok(t)
	}
	eniIPAM("DEL", container{id: "nobody", ifname: "eth0"}, ptp).ok(t)
	eniIPAM("CHECK", c, ptp).refused(t, 104, "no lease") // I6
	for _, tt := range []struct {
		id   string
		conf object
		word string
	}{
		{"R10", delegated("ptp", object{"gateway": "none"}), "reserve"},
		{"R10", delegated("ptp", object{"scope": "any"}), "primary"},
		{"I2", delegated("ptp", object{"poll": "x"}), "pool"},
		{"R6", delegated("bridge", nil), "bridge"},
		{"R6", delegated("macvlan", nil), "macvlan"},
		{"F10", object{"pool": "a", "ipam": object{"pool": "b"}}, "once"},
		{"F10", object{"ipam": "x"}, "ipam"},
		{"bad", object{"wait": "1h"}, "wait"},
		{"bad", object{"wait": 20}, "wait"},
		{"bad", object{"families": []string{"ipv5"}}, "ipv5"},
		{"bad", object{"families": []string{}}, "families"},
		{"bad", object{"poolFile": "pool.db"}, "absolute"},
		{"bad", object{"pool": ""}, "pool"},
		{"bad", object{"select": []object{{"namespace": "["}}}, "select[0]"},
		{"I12", object{"runtimeConfig": object{"ips": []string{"10.110.10"}}}, "runtimeConfig.ips[0]"},
		{"I12", object{"runtimeConfig": object{"ips": "10.110.10.12"}}, "runtimeConfig.ips"},
		{"I12", object{"runtimeConfig": object{"ips": []string{"10.110.10.12", "10.110.10.13"}}}, "second"},
		{"I12", object{"runtimeConfig": object{"ipRanges": [][]object{{{"subnet": "10.0.0.0/8"}}}}}, "ipRanges"},
		{"C26", object{"args": object{"cni": object{"ips": "10.110.10.12"}}}, "args.cni.ips"},
		{"C26", object{"args": object{"cni": object{"ips": []any{12}}}}, "args.cni.ips"},
	} {
		t.Run(tt.id+"/"+tt.word, func(t *testing.T) {
			unchanged(t)
			eniIPAM("ADD", c, tt.conf).refused(t, 7, tt.word)
			eniIPAM("DEL", c, tt.conf).ok(t) // a wrong list must not keep an address
		})
	}
}

func TestIPAMWanted(t *testing.T) { // I12 C26
	begin(t)
	c := sandbox(t, "wanted")
	for _, tt := range []struct {
		name string
		conf object
		args string
	}{
		{"capability", object{"runtimeConfig": object{"ips": []string{"10.110.11.20/24"}}, "args": object{"cni": object{"ips": []string{"10.110.11.21"}}}}, "IP=10.110.11.22"},
		{"args", object{"args": object{"cni": object{"ips": []string{"10.110.11.20"}}}}, "IP=10.110.11.22"},
		{"CNI_ARGS", nil, "IP=10.110.11.20"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			unchanged(t)
			add := eniIPAM("ADD", c, tt.conf)
			add.env = map[string]string{"CNI_ARGS": tt.args}
			got := add.ok(t).result
			ip, at := got["ips"].([]any)[0].(object), got["interfaces"].([]any)[0].(object)
			if ip["address"] != "10.110.11.20/32" || at["name"] != "eth1" || at["mac"] != "02:00:00:00:00:02" || at["sandbox"] != nil {
				t.Errorf("got %v", got)
			}
			add.ok(t)
			other := add
			other.ctr.id = "another"
			other.refused(t, 11, "10.110.11.20", "bb/wanted/eth0")
			eniIPAM("DEL", c, nil).ok(t)
		})
	}
	for _, ip := range []string{"192.0.2.1", "10.110.10.5", "10.110.10.1", "2001:db8::1"} {
		eniIPAM("ADD", c, object{"runtimeConfig": object{"ips": []string{ip}}}).refused(t, 11, ip)
	}
}

// TestPoolFile gives eni-ipam pool files that it cannot use: ADD, CHECK and GC say so, DEL never fails.
func TestPoolFile(t *testing.T) {
	begin(t)
	dir := t.TempDir()
	good, err := os.ReadFile(pool)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, content []byte) string {
		path := filepath.Join(dir, name, "pool.db")
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	meta := func(name, key, value string) string {
		path := write(name, good)
		db, err := bbolt.Open(path, 0o644, nil)
		if err != nil {
			t.Fatal(err)
		}
		err = db.Update(func(tx *bbolt.Tx) error { return tx.Bucket([]byte("meta")).Put([]byte(key), []byte(value)) })
		if err != nil || db.Close() != nil {
			t.Fatal(err)
		}
		return path
	}
	noise := slices.Clone(good)
	for i := range noise {
		noise[i] = byte(i * 7)
	}
	folder := filepath.Join(dir, "folder", "pool.db")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	c := sandbox(t, "file")
	for _, tt := range []struct {
		name, path string
		code       int
		status     int
		word       string
	}{
		{"missing", filepath.Join(dir, "none", "pool.db"), 11, 50, "POOL_NOT_READY"},
		{"empty", write("empty", nil), 11, 50, "POOL_NOT_READY"},
		{"other boot", meta("boot", "meta", `{"Instance":"i-1","Boot":"x","Inc":"y"}`), 11, 50, "POOL_NOT_READY"},
		{"later schema", meta("later", "schema", "7"), 102, 50, "schema 7"},
		{"no schema", meta("unversioned", "schema", ""), 103, 50, "POOL_DAMAGED"},
		{"noise", write("noise", noise), 103, 50, "POOL_DAMAGED"},
		{"text", write("text", []byte("hello\n")), 103, 50, "POOL_DAMAGED"},
		{"cut to 100 bytes", write("cut100", good[:100]), 103, 50, "POOL_DAMAGED"},
		{"cut to a page", write("cut4096", good[:4096]), 103, 50, "POOL_DAMAGED"},
		{"cut to two", write("cut8192", good[:8192]), 103, 50, "POOL_DAMAGED"},
		{"meta is no JSON", meta("json", "meta", "{"), 103, 50, "POOL_DAMAGED"},
		{"folder", folder, 103, 50, "POOL_DAMAGED"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			unchanged(t)
			conf := object{"poolFile": tt.path, "wait": "0s"}
			eniIPAM("ADD", c, conf).refused(t, tt.code, tt.word)
			eniIPAM("CHECK", c, conf).refused(t, tt.code, tt.word)
			eniIPAM("STATUS", c, conf).refused(t, tt.status, tt.word)
			eniIPAM("DEL", c, conf).ok(t)
			eniIPAM("DEL", container{id: c.id, ifname: c.ifname}, conf).ok(t)
		})
	}
}

// TestPoolEmpty takes all addresses, and asks for one more (I7: a full pool is healthy).
func TestPoolEmpty(t *testing.T) {
	begin(t)
	c := container{ifname: "eth0", netns: "/run/netns/vpc"}
	var ids []string
	for i := range 2*addresses + 1 {
		c.id = "full" + string(rune('A'+i/26)) + string(rune('a'+i%26))
		add := eniIPAM("ADD", c, object{"wait": "0s"})
		if i == 2*addresses {
			add.refused(t, 11, "POOL_EMPTY", "80 of 80 leased", "enichaind")
			add.conf["pool"] = "gold"
			add.refused(t, 11, "POOL_EMPTY", "gold")
			eniIPAM("STATUS", container{}, nil).ok(t)
			break
		}
		add.ok(t)
		ids = append(ids, c.id)
	}
	for _, id := range ids {
		eniIPAM("DEL", container{id: id, ifname: "eth0"}, nil).ok(t)
	}
}

// TestPoolLocked: a stopped holder costs an error, not a hang, and DEL is written down for later. A holder that left no
// name is not taken for the one before it.
func TestPoolLocked(t *testing.T) {
	begin(t)
	c := sandbox(t, "locked")
	eniIPAM("ADD", c, nil).ok(t)
	lock, err := os.OpenFile(pool+".lock", os.O_RDWR, 0)
	if err == nil {
		err = unix.Flock(int(lock.Fd()), unix.LOCK_EX)
	}
	if err != nil {
		t.Fatal(err)
	}
	other := c
	other.id = "other"
	eniIPAM("ADD", other, nil).refused(t, 11, "POOL_LOCKED", "did not leave its name")
	eniIPAM("STATUS", c, nil).ok(t)
	eniIPAM("DEL", c, nil).ok(t)
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	eniIPAM("ADD", other, nil).ok(t) // whoever changes the pool next settles it
	eniIPAM("DEL", other, nil).ok(t)
}

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/enichain/enichain/chain/generation"
	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/agent"
	"github.com/enichain/enichain/test/need"
)

// cachedResult is a file as libcni writes it after ADD of the list. That of the container "new" is fused.
func cachedResult(t *testing.T, container, netns string) []byte {
	t.Helper()
	list := `{"cniVersion":"1.0.0","cniVersions":["1.0.0","1.1.0"],"name":"enichain","plugins":[
		{"type":"eni-ipam"},{"type":"routed-veth"},{"type":"snat","exclude":["192.0.2.0/24"]},
		{"type":"portmap-compat","capabilities":{"portMappings":true}},{"type":"bandwidth","capabilities":{"bandwidth":true}}]}`
	if container == "new" {
		list = `{"cniVersion":"1.0.0","cniVersions":["1.0.0","1.1.0"],"name":"enichain","plugins":[
			{"type":"enichain","capabilities":{"portMappings":true},"stages":[{"type":"eni-ipam"},{"type":"routed-veth"},{"type":"snat","exclude":["192.0.2.0/24"]},
			{"type":"portmap-compat","capabilities":{"portMappings":true}}]},{"type":"bandwidth","capabilities":{"bandwidth":true}}]}`
	}
	text, err := json.Marshal(map[string]any{
		"kind": "cniCacheV1", "containerId": container, "config": []byte(list), "ifName": "eth0", "networkName": "enichain", "netns": netns,
		"cniArgs": [][2]string{{"K8S_POD_NAMESPACE", "default"}, {"K8S_POD_NAME", "web"}},
		"capabilityArgs": map[string]any{"portMappings": []any{map[string]any{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}},
			"bandwidth": map[string]any{"ingressRate": 1}},
		"result": map[string]any{"cniVersion": "1.1.0", "ips": []any{map[string]any{"address": "10.0.0.7/32"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestRecall: a cached result is the CHECK that a runtime would send each of our stages, for those whose pods live.
func TestRecall(t *testing.T) {
	need.NetAdmin(t)
	folder, netns := t.TempDir(), elsewhere(t)
	write := func(name string, text []byte, age time.Duration) {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		at := time.Now().Add(-age)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	write("enichain-old-eth0", cachedResult(t, "old", netns), time.Hour)
	write("enichain-new-eth0", cachedResult(t, "new", netns), time.Minute)
	write("enichain-severed-eth0", cachedResult(t, "severed", netns), time.Second)
	write("enichain-gone-eth0", cachedResult(t, "gone", filepath.Join(folder, "gone")), time.Second)
	write("enichain-file-eth0", cachedResult(t, "file", filepath.Join(folder, "other")), time.Second)
	write("other", []byte(`{"kind":"cniCacheV1","config":"e30=","result":{}}`), time.Second)
	write("torn", []byte(`{"kind":"cniCac`), time.Second)
	wires := map[string]bool{}
	for _, container := range []string{"old", "new", "gone", "file"} {
		wires[agent.OwnerMAC(ipam.Attachment{Network: "enichain", Container: container, IfName: "eth0"})] = true
	}
	x := newRestorer(generation.Store{Dir: t.TempDir(), Results: folder})
	for range 2 {
		if err := x.read(); err != nil {
			t.Fatal(err)
		}
		for _, stage := range []string{"snat", "portmap-compat"} {
			var got []string
			for _, r := range x.live(stage, wires) {
				got = append(got, r.Attachment.String()+" "+r.Pod.String())
			}
			want := []string{"enichain/new/eth0 default/web", "enichain/old/eth0 default/web"}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-want +got)\n%s", stage, diff)
			}
		}
	}
	if got := x.live("bandwidth", wires); len(got) != 0 {
		t.Errorf("a stage of others: %v", got)
	}
	r := x.live("portmap-compat", wires)[0]
	var ports []map[string]any
	if found, err := r.RuntimeConfig("portMappings", &ports); err != nil || !found || len(ports) != 1 || ports[0]["hostPort"] != 8080.0 {
		t.Errorf("portMappings %v, %t, %v", ports, found, err)
	}
	if found, _ := r.RuntimeConfig("bandwidth", &map[string]any{}); found {
		t.Error("a capability of another plugin came along")
	}
	if r.Command != "CHECK" || r.Version != "1.1.0" || r.Type != "portmap-compat" || r.Prev == nil || len(r.Prev.IPs) != 1 || r.Netns != netns {
		t.Errorf("request %+v", r)
	}
	var own struct {
		Exclude []string `json:"exclude"`
	}
	if err := x.live("snat", wires)[0].Decode(&own); err != nil || len(own.Exclude) != 1 {
		t.Errorf("snat's own keys: %+v, %v", own, err)
	}
	if err := os.Remove(filepath.Join(folder, "enichain-new-eth0")); err != nil {
		t.Fatal(err)
	}
	if err := x.read(); err != nil || len(x.live("snat", wires)) != 1 {
		t.Errorf("after the end of one: %d, %v", len(x.live("snat", wires)), err)
	}
}

package blackbox

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

var (
	stages   = []string{"eni-ipam", "routed-veth", "snat", "portmap-compat"}
	verbs    = []string{"ADD", "DEL", "CHECK", "GC", "STATUS"}
	versions = []string{"0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"}
)

// TestBadInput gives every stage and verb what it must refuse, and looks for any effect. A DEL is forgiven more.
func TestBadInput(t *testing.T) {
	begin(t)
	c := sandbox(t, "bad")
	all, perContainer, notDEL := verbs, []string{"ADD", "DEL", "CHECK"}, []string{"ADD", "CHECK"}
	for _, tt := range []struct {
		id, name string
		verbs    []string
		stdin    string
		conf     object
		env      map[string]string
		code     int
		words    []string
	}{
		{"C14", "no JSON", all, "{", nil, nil, 6, nil},
		{"C14", "cut short", all, `{"cniVersion":"1.0.0","name":"bb"`, nil, nil, 6, nil},
		{"C14", "two values", all, `{"cniVersion":"1.0.0","name":"bb"} {}`, nil, nil, 6, nil},
		{"C14", "a list", all, "[]", nil, nil, 6, []string{"object"}},
		{"C14", "null", all, "null", nil, nil, 6, nil},
		{"C14", "blank", all, "  \n", nil, nil, 6, []string{"empty"}},
		{"C14", "a binary", all, "\x7fELF\x00\xff\xfe", nil, nil, 6, nil},
		{"C14", "no name", all, "", object{"name": nil}, nil, 7, []string{"name"}},
		{"C14", "empty name", all, "", object{"name": ""}, nil, 7, []string{"name"}},
		{"C14", "name with a slash", all, "", object{"name": "a/b"}, nil, 7, []string{"name", "a/b"}},
		{"C14", "name is a number", all, "", object{"name": 7}, nil, 7, []string{"name", "string"}},
		{"C10", "a later version", all, "", object{"cniVersion": "1.2.0"}, nil, 1, []string{"1.2.0", "1.1.0"}},
		{"C10", "version without v", all, "", object{"cniVersion": "v1.0.0"}, nil, 1, []string{"v1.0.0"}},
		{"R12", "0.2.0", all, "", object{"cniVersion": "0.2.0"}, nil, 1, []string{"0.2.0", "0.3.0"}},
		{"R12", "no version", all, "", object{"cniVersion": nil}, nil, 1, nil},
		{"C11", "nothing said", notDEL, "", nil, map[string]string{"CNI_CONTAINERID": "-", "CNI_NETNS": "-", "CNI_IFNAME": "-"}, 4,
			[]string{"CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"}},
		{"C11", "DEL of nobody", []string{"DEL"}, "", nil, map[string]string{"CNI_CONTAINERID": "-", "CNI_IFNAME": ""}, 4,
			[]string{"CNI_CONTAINERID", "CNI_IFNAME"}},
		{"C13", "container id", perContainer, "", nil, map[string]string{"CNI_CONTAINERID": "../x"}, 4, []string{"CNI_CONTAINERID"}},
		{"C13", "container id with blank", perContainer, "", nil, map[string]string{"CNI_CONTAINERID": "a b"}, 4, []string{"CNI_CONTAINERID"}},
		{"C13 N2", "long ifname", perContainer, "", nil, map[string]string{"CNI_IFNAME": "abcdefghijklmnop"}, 4, []string{"CNI_IFNAME"}},
		{"C13", "ifname ..", perContainer, "", nil, map[string]string{"CNI_IFNAME": ".."}, 4, []string{"CNI_IFNAME"}},
		{"C13", "ifname with /", perContainer, "", nil, map[string]string{"CNI_IFNAME": "a/b"}, 4, []string{"CNI_IFNAME"}},
		{"C13", "ifname with :", perContainer, "", nil, map[string]string{"CNI_IFNAME": "a:b"}, 4, []string{"CNI_IFNAME"}},
		{"C13", "ifname with blank", perContainer, "", nil, map[string]string{"CNI_IFNAME": "a b"}, 4, []string{"CNI_IFNAME"}},
		{"C22", "CNI_ARGS without =", notDEL, "", nil, map[string]string{"CNI_ARGS": "IgnoreUnknown=1;oops"}, 4, []string{"oops"}},
		{"C15", "netns of nothing", notDEL, "", nil, map[string]string{"CNI_NETNS": "/run/netns/none"}, 4, []string{"/run/netns/none"}},
		{"C24", "our own netns", notDEL, "", nil, map[string]string{"CNI_NETNS": "/proc/self/ns/net"}, 4, []string{"CNI_NETNS_OVERRIDE"}},
		{"C12", "unknown command", []string{"add"}, "", nil, nil, 4, []string{"add", "ADD"}},
		{"M2", "prevResult of the other line", notDEL, "", object{"prevResult": object{"cniVersion": "0.4.0"}}, nil, 6, []string{"0.4.0", "1.0.0"}},
		{"M2", "prevResult is a string", notDEL, "", object{"prevResult": "x"}, nil, 6, nil},
		{"F4", "index out of range", notDEL, "", object{"prevResult": object{"ips": []object{{"address": "10.0.0.1/32", "interface": 1}},
			"interfaces": []object{{"name": "x"}}}}, nil, 6, []string{"ips[0].interface"}},
		{"F4", "index below", notDEL, "", object{"prevResult": object{"ips": []object{{"address": "10.0.0.1/32", "interface": -1}}}}, nil, 6, nil},
		{"M2", "null in a list", notDEL, "", object{"prevResult": object{"ips": []any{nil}}}, nil, 6, nil},
		{"M2", "no address", notDEL, "", object{"prevResult": object{"ips": []object{{"address": "300.0.0.1/32"}}}}, nil, 6, nil},
		{"C15", "unknown key", []string{"ADD", "CHECK", "STATUS"}, "", object{"excludeCIDR": 1, "prevResult": object{}}, nil, 7, []string{"excludeCIDR"}},
		{"C15", "long unknown key", []string{"ADD"}, "", object{strings.Repeat("k", 400): 1, "zzz": 2, "prevResult": object{}}, nil, 7, []string{"kkk…: unknown", "zzz"}},
		{"I9", "lists that differ", []string{"GC"}, "", object{"cni.dev/valid-attachments": []any{}, "cni.dev/attachments": []object{{"containerID": "a", "ifname": "eth0"}}}, nil, 7, nil},
		{"I8", "list of strings", []string{"GC"}, "", object{"cni.dev/valid-attachments": []string{"a"}}, nil, 7, nil},
		{"I8", "list with a hole", []string{"GC"}, "", object{"cni.dev/valid-attachments": []object{{"containerID": "a"}}}, nil, 7, []string{"ifname"}},
	} {
		t.Run(tt.id+"/"+tt.name, func(t *testing.T) {
			for _, stage := range stages {
				for _, verb := range tt.verbs {
					call{stage: stage, verb: verb, stdin: tt.stdin, conf: tt.conf, env: tt.env, ctr: c}.refused(t, tt.code, tt.words...)
				}
			}
		})
	}
}

// TestNoNetns: the stage that enters the container refuses what is no network namespace; eni-ipam is run by hand with
// /dev/null in every text about CNI.
func TestNoNetns(t *testing.T) {
	begin(t)
	for _, path := range []string{"/etc/passwd", "/run", "/proc/self/ns/mnt", "/dev/null"} {
		c := container{id: "none", ifname: "eth0", netns: path}
		for _, verb := range []string{"ADD", "CHECK"} {
			call{stage: "routed-veth", verb: verb, ctr: c}.refused(t, 4, path)
		}
		eniIPAM("ADD", c, nil).ok(t)
		for _, stage := range stages {
			call{stage: stage, verb: "DEL", ctr: c}.ok(t)
		}
	}
}

// TestLife runs the flagship through all verbs at every version (C1 C4 C16 C17 F2 F6 N3 M1 M5), with everything that a
// runtime may add (C20 C21 C22 C23 C25).
func TestLife(t *testing.T) {
	begin(t)
	for i, version := range versions {
		t.Run(version, func(t *testing.T) {
			c := sandbox(t, fmt.Sprintf("life%d", i))
			l := flagship()
			l.version = version
			l.runtime = object{"portMappings": []object{{"HostPort": 8080, "ContainerPort": 80, "Protocol": "TCP", "HostIP": ""}}, "dns": object{}, "cgroupPath": "/x",
				"bandwidth": object{"IngressRate": 1}, "io.kubernetes.cri.pod-annotations": object{"a": "b"}}
			l.env = map[string]string{"TRACEPARENT": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "TRACESTATE": "a=b", "BAGGAGE": "c=d",
				"CNI_ARGS": "K8S_POD_UID=d;IgnoreUnknown=True;K8S_POD_NAMESPACE=a;X=y=z;K8S_POD_INFRA_CONTAINER_ID=c;K8S_POD_NAME=b;"}
			for _, m := range l.members {
				m["capabilities"], m["args"], m["cniVersions"] = object{"portMappings": true}, object{"cni": object{"labels": []any{}}}, []string{"1.0.0"}
				m["cni.dev/x"], m["disableCheck"], m["loadOnlyInlinedPlugins"] = 1, "false", true
			}
			result := l.up(t, c)
			judge(t, result, version, c)
			if f := l.check(t, c, result); f.Msg != "" && !strings.HasPrefix(version, "0.3.") {
				t.Errorf("CHECK right after ADD: %s", f.Msg)
			}
			for i := range l.members {
				l.member(i, "STATUS", c, nil).ok(t)
			}
			l.del(t, c, result)
		})
	}
}

// judge holds the final result against F4, F5, F6, N3, C16 and C17.
func judge(t *testing.T, result object, version string, c container) {
	t.Helper()
	interfaces, ips := result["interfaces"].([]any), result["ips"].([]any)
	if result["cniVersion"] != version || len(interfaces) != 2 || len(ips) != 1 {
		t.Fatalf("result at %s: %v", version, result)
	}
	host, pod, ip := interfaces[0].(object), interfaces[1].(object), ips[0].(object)
	switch {
	case host["sandbox"] != nil || pod["name"] != c.ifname || pod["sandbox"] != c.netns:
		t.Errorf("interfaces: %v", interfaces)
	case ip["interface"] != 1.0 || ip["gateway"] != "169.254.1.1" || !strings.HasSuffix(ip["address"].(string), "/32"):
		t.Errorf("ips: %v", ips)
	case (ip["version"] == "4") != strings.HasPrefix(version, "0."):
		t.Errorf("ips[0].version at %s: %v", version, ip["version"])
	case host["mac"] == nil || pod["mac"] == nil:
		t.Errorf("no MAC: %v", interfaces)
	}
}

func TestFiftyAtOnce(t *testing.T) { // C19
	begin(t)
	var sandboxes []container
	for i := range 50 {
		sandboxes = append(sandboxes, sandbox(t, fmt.Sprintf("crowd%02d", i)))
	}
	l := flagship()
	each := func(f func(i int, c container)) {
		var wait sync.WaitGroup
		for i, c := range sandboxes {
			wait.Add(1)
			go func() { defer wait.Done(); f(i, c) }()
		}
		wait.Wait()
	}
	results := make([]object, len(sandboxes))
	var collecting sync.WaitGroup
	for i := range l.members { // while they come, a GC that knows them all
		collecting.Add(1)
		go func() { defer collecting.Done(); l.gc(t, i, sandboxes...) }()
	}
	each(func(i int, c container) {
		mine := l
		mine.runtime = object{"portMappings": []object{{"hostPort": 9000 + i, "containerPort": 80, "protocol": "tcp"}}}
		var failed answer
		if results[i], failed = mine.add(t, c); results[i] == nil {
			t.Errorf("%s: %s", c.id, failed.fault.Msg)
		}
	})
	collecting.Wait()
	seen := map[any]bool{}
	for _, r := range results {
		if r == nil {
			continue
		}
		a := r["ips"].([]any)[0].(object)["address"]
		if seen[a] {
			t.Errorf("%v was given twice", a)
		}
		seen[a] = true
	}
	each(func(i int, c container) { l.del(t, c, results[i]) })
}

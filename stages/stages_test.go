package stages_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	types100 "github.com/containernetworking/cni/pkg/types/100"

	"github.com/enichain/enichain/chain/contract"
	"github.com/enichain/enichain/stages"
)

// spy is a stage that does what a test tells it and notes what it was asked.
type spy struct {
	add    func(*stages.Request) (*stages.Result, error)
	verb   func(*stages.Request) error
	status func(context.Context) error
	adds   []contract.Fact // besides addresses
	asked  []stages.Request
}

var _ stages.Stage = (*spy)(nil)

func (s *spy) Contract() contract.Contract {
	return contract.Contract{V: contract.V, Adds: append([]contract.Fact{contract.IPs}, s.adds...), Delegates: contract.MayDelegate,
		Keys: map[string]string{"mtu": "integer 0..65535"}}
}

func (s *spy) Add(_ context.Context, r *stages.Request) (*stages.Result, error) {
	s.asked = append(s.asked, *r)
	if s.add == nil {
		return onePod(), nil
	}
	return s.add(r)
}

func (s *spy) other(r *stages.Request) error {
	s.asked = append(s.asked, *r)
	if s.verb == nil {
		return nil
	}
	return s.verb(r)
}

func (s *spy) Check(_ context.Context, r *stages.Request) error { return s.other(r) }
func (s *spy) Del(_ context.Context, r *stages.Request) error   { return s.other(r) }
func (s *spy) GC(_ context.Context, r *stages.Request) error    { return s.other(r) }
func (s *spy) Status(ctx context.Context, r *stages.Request) error {
	if s.status != nil {
		return s.status(ctx)
	}
	return s.other(r)
}

func onePod() *stages.Result {
	return &stages.Result{
		Interfaces: []*types100.Interface{{Name: "veth0", Mac: "02:00:00:00:00:01", Mtu: 9001},
			{Name: "eth0", Mac: "02:00:00:00:00:02", Mtu: 9001, Sandbox: "/proc/thread-self/ns/net"}},
		IPs: []*types100.IPConfig{{Interface: types100.Int(1),
			Address: net.IPNet{IP: net.IPv4(10, 0, 0, 7), Mask: net.CIDRMask(32, 32)}, Gateway: net.IPv4(169, 254, 1, 1)}},
	}
}

// environment is a runtime's, for our own namespace, which CNI_NETNS_OVERRIDE allows.
func environment(command string) map[string]string {
	return map[string]string{"CNI_COMMAND": command, "CNI_CONTAINERID": "c1", "CNI_IFNAME": "eth0",
		"CNI_NETNS": "/proc/thread-self/ns/net", "CNI_NETNS_OVERRIDE": "1", "CNI_PATH": "/opt/cni/bin"}
}

func with(m map[string]string, kv ...string) map[string]string {
	for i := 0; i < len(kv); i += 2 {
		m[kv[i]] = kv[i+1]
	}
	return m
}

const minimal = `{"cniVersion":"1.0.0","name":"net","type":"spy"}`

type outcome struct {
	exit           int
	stdout, stderr string
	flight         string
}

func run(t *testing.T, s stages.Stage, env map[string]string, stdin string) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	flight := filepath.Join(t.TempDir(), "flight.jsonl")
	exit := stages.Run(t.Context(), process(env, stdin, &stdout, &stderr, flight), "spy", s)
	record, err := os.ReadFile(flight)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return outcome{exit, stdout.String(), stderr.String(), string(record)}
}

func process(env map[string]string, stdin string, stdout, stderr io.Writer, flight string) stages.Process {
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	return stages.Process{
		Getenv: func(k string) string { return env[k] },
		Environ: func() (list []string) {
			for k, v := range env {
				list = append(list, k+"="+v)
			}
			return list
		},
		Stdin: strings.NewReader(stdin), Stdout: stdout, Stderr: stderr, FlightPath: flight,
		Now: func() time.Time { now = now.Add(time.Millisecond); return now },
	}
}

// refused is the error object of an outcome; it must be all of standard output.
func refused(t *testing.T, o outcome) (code uint, msg, version string) {
	t.Helper()
	var e struct {
		CNIVersion string
		Code       uint
		Msg        string
	}
	dec := json.NewDecoder(strings.NewReader(o.stdout))
	if err := dec.Decode(&e); err != nil || dec.More() {
		t.Fatalf("standard output is not one error object: %v: %q", err, o.stdout)
	}
	if o.exit != 1 {
		t.Errorf("exit %d, want 1", o.exit)
	}
	if strings.ContainsAny(e.Msg, "\n\r") || len(e.Msg) > 300 || strings.Contains(strings.ToLower(e.Msg), "not found") {
		t.Errorf("message breaks its form: %q", e.Msg)
	}
	return e.Code, e.Msg, e.CNIVersion
}

// TestRefusals: what cannot be is refused with the code of the specification, and the stage is never asked.
func TestRefusals(t *testing.T) {
	for _, tc := range []struct {
		name  string
		env   map[string]string
		stdin string
		code  uint
		want  []string // each in the message
	}{
		{"no JSON", environment("ADD"), `{"cniVersion`, 6, []string{"CONFIG"}},
		{"empty", environment("ADD"), ``, 6, []string{"it is empty"}},
		{"null", environment("DEL"), `null`, 6, []string{"want an object"}},
		{"two objects", environment("ADD"), minimal + minimal, 6, nil},
		{"list", environment("ADD"), `[1]`, 6, []string{"want an object, got [1]"}},
		{"unknown version", environment("ADD"), `{"cniVersion":"1.2.0","name":"net"}`, 1, []string{`"1.2.0"`, "1.1.0"}},
		{"no version", environment("ADD"), `{"name":"net"}`, 1, []string{`""`}},
		{"version of another type", environment("ADD"), `{"cniVersion":1,"name":7}`, 7, []string{"cniVersion: want a string, got 1", "name: want"}},
		{"no name", environment("ADD"), `{"cniVersion":"1.0.0"}`, 7, []string{"name"}},
		{"bad name", environment("GC"), `{"cniVersion":"1.0.0","name":"a/b"}`, 7, []string{`"a/b"`}},
		{"nothing in the environment", map[string]string{"CNI_COMMAND": "ADD"}, minimal, 4,
			[]string{"CNI_CONTAINERID, CNI_NETNS, CNI_IFNAME"}},
		{"DEL needs no netns", map[string]string{"CNI_COMMAND": "DEL"}, minimal, 4, []string{"CNI_CONTAINERID, CNI_IFNAME"}},
		{"all faults at once", with(environment("ADD"), "CNI_CONTAINERID", "-x", "CNI_IFNAME", "a b", "CNI_ARGS", "A=1;B"), minimal, 4,
			[]string{`"-x"`, `"a b"`, `"B" is not KEY=value`}},
		{"long interface", with(environment("ADD"), "CNI_IFNAME", "abcdefghijklmnop"), minimal, 4, []string{"15 bytes"}},
		{"dot dot", with(environment("ADD"), "CNI_IFNAME", ".."), minimal, 4, nil},
		{"unknown command", environment("ADDD"), minimal, 4, []string{`"ADDD"`}},
		{"our own namespace", with(environment("ADD"), "CNI_NETNS_OVERRIDE", ""), minimal, 4, []string{"CNI_NETNS_OVERRIDE"}},
		{"gone namespace", with(environment("CHECK"), "CNI_NETNS", "/nowhere"), minimal, 4, []string{"/nowhere"}},
		{"CHECK before its time", environment("CHECK"), `{"cniVersion":"0.3.1","name":"net"}`, 1, []string{"0.4.0"}},
		{"prevResult of the other line", environment("ADD"),
			`{"cniVersion":"1.0.0","name":"net","prevResult":{"cniVersion":"0.4.0"}}`, 6, []string{"0.4.0", "1.0.0"}},
		{"prevResult with a bad index", environment("ADD"),
			`{"cniVersion":"1.0.0","name":"net","prevResult":{"ips":[{"address":"10.0.0.1/32","interface":0}]}}`, 6, []string{"ips[0].interface"}},
		{"prevResult with null inside", environment("ADD"),
			`{"cniVersion":"0.4.0","name":"net","prevResult":{"interfaces":[null]}}`, 6, []string{"interfaces[0] is null"}},
		{"valid attachments of another shape", environment("GC"),
			`{"cniVersion":"1.1.0","name":"net","cni.dev/valid-attachments":{}}`, 7, []string{"nothing is collected"}},
		{"valid attachments without an id", environment("GC"),
			`{"cniVersion":"1.1.0","name":"net","cni.dev/valid-attachments":[{"ifname":"eth0"}]}`, 7, []string{"attachments[0]"}},
		{"two lists that differ", environment("GC"),
			`{"cniVersion":"1.1.0","name":"net","cni.dev/valid-attachments":[],"cni.dev/attachments":null}`, 7, []string{"differ"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := &spy{}
			code, msg, _ := refused(t, run(t, s, tc.env, tc.stdin))
			if code != tc.code {
				t.Errorf("code %d, want %d: %s", code, tc.code, msg)
			}
			for _, want := range tc.want {
				if !strings.Contains(msg, want) {
					t.Errorf("%q lacks %q", msg, want)
				}
			}
			if len(s.asked) != 0 {
				t.Errorf("the stage was asked: %v", s.asked[0].Command)
			}
		})
	}
}

// TestUnderstood: the request that a stage sees.
func TestUnderstood(t *testing.T) {
	type seen struct {
		Attachment stages.Attachment
		Netns, Pod string
		Args       map[string]string
		Path       []string
		Valid      []stages.Attachment
		Prev       bool
		Note       string
	}
	attachment := stages.Attachment{Network: "net", Container: "c1", IfName: "eth0"}
	network := stages.Attachment{Network: "net"}
	path := []string{"/opt/cni/bin"}
	for _, tc := range []struct {
		name  string
		env   map[string]string
		stdin string
		want  seen
	}{
		{"kubelet's arguments", with(environment("ADD"), "CNI_PATH", "/a::/b",
			"CNI_ARGS", "IgnoreUnknown=1;K8S_POD_NAMESPACE=a;K8S_POD_NAME=b;X=y=z;"), minimal,
			seen{attachment, "/proc/thread-self/ns/net", "a/b", map[string]string{"IgnoreUnknown": "1", "K8S_POD_NAMESPACE": "a",
				"K8S_POD_NAME": "b", "X": "y=z"}, []string{"/a", "/b"}, nil, false, ""}},
		{"DEL without netns", with(environment("DEL"), "CNI_NETNS", ""), minimal,
			seen{attachment, "", "", map[string]string{}, path, nil, false, ""}},
		{"DEL whose netns is gone", with(environment("DEL"), "CNI_NETNS", "/nowhere"), minimal,
			seen{attachment, "", "", map[string]string{}, path, nil, false, ""}},
		{"DEL whose netns is ours", with(environment("DEL"), "CNI_NETNS_OVERRIDE", ""), minimal,
			seen{attachment, "", "", map[string]string{}, path, nil, false, "left alone"}},
		{"DEL with a broken prevResult and arguments", with(environment("DEL"), "CNI_ARGS", "x"),
			`{"cniVersion":"1.0.0","name":"net","prevResult":7}`,
			seen{attachment, "/proc/thread-self/ns/net", "", map[string]string{}, path, nil, false, "prevResult is left aside"}},
		{"prevResult without a version", environment("ADD"),
			`{"cniVersion":"0.3.0","name":"net","prevResult":{"ips":[{"version":"4","address":"10.0.0.1/32"}]}}`,
			seen{attachment, "/proc/thread-self/ns/net", "", map[string]string{}, path, nil, true, ""}},
		{"prevResult null", environment("CHECK"), `{"cniVersion":"1.0.0","name":"net","prevResult":null}`,
			seen{attachment, "/proc/thread-self/ns/net", "", map[string]string{}, path, nil, false, ""}},
		{"GC without a list", environment("GC"), `{"cniVersion":"1.1.0","name":"net"}`,
			seen{network, "", "", nil, path, nil, false, "nothing is collected"}},
		{"GC with null", environment("GC"), `{"cniVersion":"1.1.0","name":"net","cni.dev/valid-attachments":null}`,
			seen{network, "", "", nil, path, []stages.Attachment{}, false, ""}},
		{"GC with the legacy key", environment("GC"),
			`{"cniVersion":"1.1.0","name":"net","cni.dev/attachments":[{"containerID":"c","ifname":"e"}]}`,
			seen{network, "", "", nil, path, []stages.Attachment{{Network: "net", Container: "c", IfName: "e"}}, false, ""}},
		{"STATUS without anything", map[string]string{"CNI_COMMAND": "STATUS"}, minimal,
			seen{network, "", "", nil, nil, nil, false, ""}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := &spy{}
			o := run(t, s, tc.env, tc.stdin)
			if o.exit != 0 || len(s.asked) != 1 {
				t.Fatalf("exit %d, asked %d times: %s%s", o.exit, len(s.asked), o.stdout, o.stderr)
			}
			r := s.asked[0]
			got := seen{r.Attachment, r.Netns, r.Pod.String(), r.Args, r.Path, r.Valid, r.Prev != nil, ""}
			if tc.want.Note != "" && strings.Contains(o.stderr, tc.want.Note) {
				got.Note = tc.want.Note
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s%s", diff, o.stderr)
			}
			if r.Command != "ADD" && o.stdout != "" {
				t.Errorf("%s printed %q", r.Command, o.stdout)
			}
		})
	}
}

// TestResultVersions: the result speaks the list's version, and prevResult passes through unchanged.
func TestResultVersions(t *testing.T) {
	for _, tc := range []struct{ version, prev string }{
		{"0.3.0", `{"cniVersion":"0.3.0","interfaces":[{"name":"eth0","sandbox":"/s"}],"ips":[{"version":"4","interface":0,` +
			`"address":"10.0.0.7/32","gateway":"169.254.1.1"},{"version":"6","address":"fd00::7/128"}],` +
			`"routes":[{"dst":"0.0.0.0/0"}],"dns":{}}`},
		{"0.4.0", `{"cniVersion":"0.4.0","routes":[{"dst":"10.0.0.0/16","gw":"10.0.0.1","mtu":1400,"advmss":1300,"priority":5,` +
			`"table":7,"scope":253}],"dns":{"nameservers":["10.0.0.2"],"domain":"d","search":["s"],"options":["o"]}}`},
		{"1.0.0", `{"cniVersion":"1.0.0","interfaces":[{"name":"eth0","mac":"02:00:00:00:00:01","mtu":9001,"sandbox":"/s",` +
			`"socketPath":"/x","pciID":"0000:00:1f.6"}],"ips":[{"interface":0,"address":"10.0.0.7/32"}],` +
			`"routes":[{"dst":"::/0","table":0}],"dns":{"search":["s"]}}`},
		{"1.1.0", `{"cniVersion":"1.1.0","ips":[{"address":"10.0.0.7/32"}]}`},
	} {
		t.Run(tc.version, func(t *testing.T) {
			s := &spy{add: func(r *stages.Request) (*stages.Result, error) { return r.Prev, nil }}
			o := run(t, s, environment("ADD"), `{"cniVersion":"`+tc.version+`","name":"net","type":"spy","prevResult":`+tc.prev+`}`)
			if o.exit != 0 {
				t.Fatal(o.stdout, o.stderr)
			}
			if diff := cmp.Diff(value(t, tc.prev), value(t, o.stdout)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func value(t *testing.T, text string) (v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return v
}

// TestVersion: VERSION needs nothing.
func TestVersion(t *testing.T) {
	o := run(t, &spy{}, map[string]string{"CNI_COMMAND": "VERSION", "CNI_NETNS": "dummy", "CNI_PATH": "dummy"}, "garbage")
	want := `{"cniVersion":"1.1.0","supportedVersions":["0.3.0","0.3.1","0.4.0","1.0.0","1.1.0"],` +
		`"io.enichain/contract":{"v":1,"requires":[],"adds":["ips"],"exclusive":[],"capabilities":[],"delegates":"ipam?",` +
		`"keys":{"mtu":"integer 0..65535"}},"io.enichain/release":"development"}`
	if diff := cmp.Diff(value(t, want), value(t, o.stdout)); diff != "" || o.exit != 0 {
		t.Errorf("exit %d (-want +got)\n%s", o.exit, diff)
	}
	if o.flight != "" {
		t.Errorf("VERSION left a record: %s", o.flight)
	}
	if o := run(t, &spy{}, nil, ""); o.exit != 0 || o.stdout != "" || !strings.Contains(o.stderr, "CNI plugin") {
		t.Errorf("without a command: %+v", o)
	}
}

// TestVersionEchoes wants the cniVersion of the input back, and an answer also where nobody says anything.
func TestVersionEchoes(t *testing.T) {
	silent, end, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	defer end.Close()
	for _, tc := range []struct {
		name  string
		stdin io.Reader
		want  string
	}{
		{"ours", strings.NewReader(`{"cniVersion":"0.4.0"}`), "0.4.0"},
		{"nobody's", strings.NewReader(`{"cniVersion":"9.9.9"}`), "9.9.9"},
		{"a whole configuration", strings.NewReader(minimal), "1.0.0"},
		{"a number", strings.NewReader(`{"cniVersion":1}`), "1.1.0"},
		{"endless", strings.NewReader(`{"cniVersion":"` + strings.Repeat("1", 1000) + `"}`), "1.1.0"},
		{"nothing", strings.NewReader(""), "1.1.0"},
		{"a terminal where nobody types", silent, "1.1.0"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var stdout bytes.Buffer
			p := process(map[string]string{"CNI_COMMAND": "VERSION"}, "", &stdout, io.Discard, "")
			p.Stdin = tc.stdin
			exit := stages.Run(t.Context(), p, "spy", &spy{})
			got, _ := value(t, stdout.String()).(map[string]any)
			if exit != 0 || got["cniVersion"] != tc.want {
				t.Errorf("exit %d, cniVersion %v, want %s", exit, got["cniVersion"], tc.want)
			}
		})
	}
}

package stages_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/enichain/enichain/stages"
)

type inner struct {
	Name  string         `json:"name"`
	Ports []uint8        `json:"-"`
	Limit map[string]int `json:"limit"`
}

type sample struct {
	MTU      int            `json:"mtu"`
	Bit      uint8          `json:"bit"`
	Mode     string         `json:"mode"`
	Masq     *bool          `json:"masq"`
	Wait     time.Duration  `json:"wait"`
	Exclude  []netip.Prefix `json:"exclude"`
	Inner    inner          `json:"inner"`
	Families []string       `json:"families"`
}

func (s *sample) Validate(report func(path, fault string)) {
	if s.MTU < 0 || s.MTU > 65535 {
		report("mtu", "want 0 to 65535")
	}
}

var prefixes = cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })

func TestDecode(t *testing.T) {
	yes := true
	defaults := sample{MTU: 1, Mode: "auto", Wait: time.Second, Families: []string{"ipv4"}}
	for _, tc := range []struct {
		name, config string
		want         sample
		faults       string // "" for none
	}{
		{"defaults stay", `{"cniVersion":"1.0.0","name":"n","type":"t","capabilities":{},"runtimeConfig":{},"cniVersions":[],"args":{},` +
			`"cni.dev/valid-attachments":[],"io.kubernetes.cri.pod-annotations":{},"prevResult":{},"mode":null}`, defaults, ""},
		{"everything", `{"mtu":9001,"bit":7,"mode":"x","masq":true,"wait":"20s","exclude":["10.0.0.0/8"],` +
			`"inner":{"name":"n","limit":{"a":1}},"families":[]}`,
			sample{MTU: 9001, Bit: 7, Mode: "x", Masq: &yes, Wait: 20 * time.Second,
				Exclude: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
				Inner:   inner{Name: "n", Limit: map[string]int{"a": 1}}, Families: []string{}}, ""},
		{"all faults at once", `{"mut":1,"mtu":"9001","bit":300,"wait":5,"exclude":["10.0.0.0/8","x"],"masq":"yes",` +
			`"inner":{"nmae":1,"limit":{"a":"b"}}}`,
			defaults, `bit: want an integer from 0 to 255, got 300; ` +
				`exclude[1]: want a network such as 10.0.0.0/16, got "x"; ` +
				`inner.limit.a: want an integer, got "b"; ` +
				`inner.nmae: unknown key, did you mean "name"?; ` +
				`masq: want true or false, got "yes"; ` +
				`mtu: want an integer, got "9001"; ` +
				`mut: unknown key, did you mean "mtu"?; ` +
				`wait: want a duration such as "30s", got 5`},
		{"fault and judgement", `{"mtu":70000,"wait":"soon"}`, sample{MTU: 70000, Mode: "auto", Wait: time.Second, Families: []string{"ipv4"}},
			`wait: want a duration such as "30s", got "soon"; mtu: want 0 to 65535`},
		{"letter case is not forgiven", `{"MTU":1}`, defaults, `MTU: unknown key, did you mean "mtu"?`},
		{"nothing near", `{"zzzzzzzzz":1}`, defaults,
			`zzzzzzzzz: unknown key, known are bit, exclude, families, inner, masq, mode, mtu, wait`},
		{"ipam without a delegate", `{"ipam":{}}`, defaults,
			`ipam: unknown key, known are bit, exclude, families, inner, masq, mode, mtu, wait`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := defaults
			err := (&stages.Request{Config: []byte(tc.config)}).Decode(&got)
			if diff := cmp.Diff(tc.want, got, prefixes, cmpopts.IgnoreFields(inner{}, "Ports")); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if tc.faults == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			fault, ok := err.(*stages.Error)
			if !ok || fault.Code != 7 {
				t.Fatalf("%T %v, want CONFIG 7", err, err)
			}
			if diff := cmp.Diff(strings.Split(tc.faults, "; "), strings.Split(fault.Text, "; ")); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestDecodeMember(t *testing.T) {
	r := &stages.Request{Config: []byte(`{"ipam":{"type":"x","mode":"a"},"bad":7}`)}
	var got sample
	if found, err := r.DecodeMember("ipam", &got); !found || err != nil || got.Mode != "a" {
		t.Errorf("found %v, %v, mode %q", found, err, got.Mode)
	}
	if found, err := r.DecodeMember("bad", &got); !found || err == nil || err.Error() != "CONFIG bad: want an object, got 7" {
		t.Errorf("found %v, %v", found, err)
	}
	if found, err := r.DecodeMember("none", &got); found || err != nil {
		t.Errorf("found %v, %v", found, err)
	}
}

func TestRuntimeConfig(t *testing.T) {
	r := &stages.Request{Config: []byte(`{"runtimeConfig":{"portMappings":[{"HostPort":80,"ContainerPort":8080,"Extra":1}],"ips":"x"}}`)}
	var ports []struct {
		HostPort      int `json:"hostPort"`
		ContainerPort int `json:"containerPort"`
	}
	if found, err := r.RuntimeConfig("portMappings", &ports); !found || err != nil || len(ports) != 1 || ports[0].HostPort != 80 {
		t.Errorf("found %v, %v: %+v", found, err, ports)
	}
	var ips []string
	if _, err := r.RuntimeConfig("ips", &ips); err == nil || err.Error() != `CONFIG runtimeConfig.ips: want a list, got "x"` {
		t.Error(err)
	}
	if found, err := r.RuntimeConfig("mac", &ips); found || err != nil {
		t.Errorf("found %v, %v", found, err)
	}
}

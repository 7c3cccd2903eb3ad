package stages

import (
	"encoding/json"
	"net"
	"reflect"
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"

	"github.com/enichain/enichain/chain/contract"
	"github.com/enichain/enichain/chain/plain"
)

// same compares what was written with what encoding/json makes of the same value.
func same(t *testing.T, text []byte, value any) {
	t.Helper()
	want, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	if string(text) != string(want) {
		t.Errorf("wrote\n%s, encoding/json\n%s", text, want)
	}
}

// sameBack compares both directions with encoding/json's.
func sameBack[T any](t *testing.T, table func(*T) plain.Table, value T) {
	t.Helper()
	text, ok := table(&value).Write()
	if !ok {
		t.Error("it has no JSON")
	}
	same(t, text, value)
	var got, want T
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	if !table(&got).Read(text) {
		t.Error("it is not read")
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("read %+v, encoding/json %+v", got, want)
	}
}

func TestWrittenFlight(t *testing.T) {
	for _, tt := range []struct {
		name string
		Flight
	}{
		{"empty", Flight{}},
		{"usual", Flight{T: "2026-12-01T00:00:00.000001Z", Stage: "snat", Command: "ADD", Network: "pods", Container: "c1",
			IfName: "eth0", Pod: "default/web-0", Took: 2100, Lock: 3}},
		{"all", Flight{T: "t", Stage: "s", Command: "DEL", Network: "n<", Container: "c", IfName: "ü", Pod: "p", Took: -1, Lock: 1 << 40,
			Wait: 7, Token: Kernel, Trace: "0af7651916cd43dd8448eb211c80319c"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sameBack(t, flightTable, tt.Flight)
		})
	}
}

func TestWrittenResult(t *testing.T) {
	zero, one := 0, 1
	_, four, _ := net.ParseCIDR("10.0.0.0/8")
	_, six, _ := net.ParseCIDR("2001:db8::/64")
	for _, tt := range []struct {
		name string
		Result
	}{
		{"empty", Result{}},
		{"interfaces", Result{Interfaces: []*types100.Interface{{}, {Name: "eth0", Mac: "02:00:00:00:00:01", Mtu: 9001,
			Sandbox: "/run/netns/a", SocketPath: "/s", PciID: "0000:00:1f.2"}}}},
		{"addresses", Result{IPs: []*types100.IPConfig{{Address: *four}, {Interface: &zero, Address: *six, Gateway: net.ParseIP("fe80::1")},
			{Interface: &one, Address: net.IPNet{IP: net.ParseIP("10.1.2.3"), Mask: net.CIDRMask(32, 32)}, Gateway: net.IPv4(169, 254, 1, 1)}}}},
		{"an odd mask", Result{IPs: []*types100.IPConfig{{Address: net.IPNet{IP: net.IPv4(10, 0, 0, 1), Mask: net.IPv4Mask(255, 0, 255, 0)}}}}},
		{"routes", Result{Routes: []*types.Route{{Dst: *four}, {Dst: *six, GW: net.ParseIP("2001:db8::1"), MTU: 1500, AdvMSS: 1400,
			Priority: 10, Table: &one, Scope: &zero}}}},
		{"names", Result{DNS: types.DNS{Nameservers: []string{"10.0.0.2", "::1"}, Domain: "a.b", Search: []string{"<x>"}, Options: []string{"ndots:5"}}}},
		{"some names", Result{DNS: types.DNS{Search: []string{"x"}}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.CNIVersion = "1.0.0"
			text, ok := resultTable(&tt.Result).Write()
			if !ok {
				t.Fatal("it has no JSON")
			}
			var dns *types.DNS
			if !tt.DNS.IsEmpty() {
				dns = &tt.DNS
			}
			same(t, text, struct {
				CNIVersion string                `json:"cniVersion"`
				Interfaces []*types100.Interface `json:"interfaces,omitempty"`
				IPs        []*types100.IPConfig  `json:"ips,omitempty"`
				Routes     []*types.Route        `json:"routes,omitempty"`
				DNS        *types.DNS            `json:"dns,omitempty"`
			}{"1.0.0", tt.Interfaces, tt.IPs, tt.Routes, dns})
		})
	}
}

// What encoding/json refuses to write has no JSON here either.
func TestUnwritableResult(t *testing.T) {
	_, four, _ := net.ParseCIDR("10.0.0.0/8")
	result := &Result{IPs: []*types100.IPConfig{{Address: *four, Gateway: net.IP{1, 2, 3}}}}
	if text, err := writeResult(result, "1.0.0"); err == nil {
		t.Errorf("wrote %s", text)
	}
}

// A result that is read by its table is what encoding/json reads; the others are read by encoding/json.
func FuzzResultTable(f *testing.F) {
	for _, text := range []string{
		`{"cniVersion":"1.0.0","interfaces":[{"name":"eth0","mac":"02:00:00:00:00:01"},{"name":"eth0","sandbox":"/run/netns/a","mtu":9001}],` +
			`"ips":[{"interface":1,"address":"10.0.1.7/32","gateway":"169.254.1.1"}],"routes":[{"dst":"10.0.0.0/16"},{"dst":"0.0.0.0/0","gw":"10.0.0.1","table":3}],"dns":{}}`,
		// As libcni sends it, in alphabetical order.
		`{"cniVersion":"1.1.0","dns":{"nameservers":["10.0.0.2"],"search":["<a>"]},"interfaces":[{"mac":"m","mtu":1,"name":"a","sandbox":"s"}],` +
			`"ips":[{"address":"2001:db8::1/128","gateway":"fe80::1","interface":0}],"routes":[{"advmss":1,"dst":"::/0","mtu":2,"priority":3,"scope":0}]}`,
		`{}`, ` {}`, `{"ips":null}`, `{"ips":[]}`, `{"ips":[null]}`, `{"ips":[{"address":"10.0.0.1"}]}`, `{"ips":[{"address":""}]}`, `{"ips":[{"gateway":""}]}`,
		`{"ips":[{"interface":0,"interface":1}]}`, `{"dns":{},"cniVersion":"a","cniVersion":"b"}`, `{"CNIVersion":"1.0.0"}`, `{"routes":[{"dst":"10.0.0.7/8"}]}`,
		`{"interfaces":[{"name":"a","extra":1}]}`, `{"interfaces":[{"mtu":-0}]}`, `{"ips":[{},]}`, `{"dns":{"search":["\u00e4"]}}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var got, want Result
		if !resultTable(&got).Read(text) {
			return
		}
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatalf("%s was read; encoding/json: %v", text, err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%s: read %+v, encoding/json %+v", text, got, want)
		}
	})
}

func TestWrittenContract(t *testing.T) {
	least := contract.Contract{V: 1, Requires: []contract.Fact{}, Adds: []contract.Fact{}, Exclusive: []contract.Fact{}, Capabilities: []string{}}
	full := contract.Contract{V: 1, Previous: contract.Uses, Requires: []contract.Fact{contract.IPs}, Adds: []contract.Fact{contract.Routed, contract.ENI},
		Exclusive: []contract.Fact{contract.Masquerade}, Capabilities: []string{"ips"}, Delegates: contract.MayDelegate,
		Changes: []contract.Aspect{contract.MAC}, Checks: []contract.Aspect{contract.MTU}, DelFails: []contract.Input{contract.Netns},
		DelForgets: []contract.Input{contract.PrevResult, contract.RuntimeConfig}, Verbs: []string{"CHECK"}, Kernel: []string{"table <a>"},
		NotUnder: map[string]string{"macvlan": "b", "bridge": "a"}, Keys: map[string]string{"z": `"pod" or 0`, "a": "string"},
		Stages: map[string]contract.Contract{"snat": least, "eni-ipam": least}}
	for _, tt := range []struct {
		name string
		contract.Contract
	}{{"least", least}, {"full", full}} {
		t.Run(tt.name, func(t *testing.T) {
			sameBack(t, contractTable, tt.Contract)
		})
	}
	t.Run("absent lists", func(t *testing.T) {
		text, _ := contractTable(&contract.Contract{V: 1}).Write()
		same(t, text, least)
	})
}

func TestBare(t *testing.T) {
	for _, tt := range []struct {
		in, version string
		ok          bool
	}{
		{`{"cniVersion":"1.1.0"}`, "1.1.0", true},
		{" {\n\t\"cniVersion\" : \"0.4.0\" }\nrest", "0.4.0", true},
		{`{"cniVersion":"1.0.0","name":"a"}`, "", false},
		{`{"cniVersion":"1.0`, "", false},
		{`{"cniVersion":""}`, "", false},
		{`{"cniVersion":"\u0031"}`, "", false},
		{`{"CNIVersion":"1.0.0"}`, "", false},
		{`{"cniVersion":"` + strings.Repeat("1", briefest+1) + `"}`, "", false},
		{"", "", false},
	} {
		if got, ok := bare([]byte(tt.in)); ok != tt.ok || ok && got != tt.version {
			t.Errorf("bare(%q) = %q, %t, want %q, %t", tt.in, got, ok, tt.version, tt.ok)
		}
	}
}

package try

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/enichain/enichain/chain"
)

// liarName is the plugin that this test's binary is when it is called by that name: it hands prevResult on, but for
// the one fault that its configuration names.
const liarName = "liar"

// liar is the plugin's main.
func liar() int {
	stdin, err := io.ReadAll(os.Stdin)
	var c struct {
		CNIVersion string         `json:"cniVersion"`
		Fault      string         `json:"fault"`
		Prev       map[string]any `json:"prevResult"`
	}
	if err == nil {
		err = json.Unmarshal(stdin, &c)
	}
	verb := os.Getenv("CNI_COMMAND")
	if verb == "VERSION" {
		fmt.Println(`{"cniVersion": "1.1.0", "supportedVersions": ["0.4.0", "1.0.0", "1.1.0"]}`)
		return 0
	}
	if err == nil {
		err = lie(c.Fault, verb, c.Prev)
	}
	if err != nil {
		fmt.Printf(`{"cniVersion": "1.1.0", "code": 107, "msg": %q}`, err.Error())
		return 1
	}
	if verb == "ADD" {
		_ = json.NewEncoder(os.Stdout).Encode(c.Prev)
	}
	return 0
}

// lie does what is wrong; r is the result that ADD will print.
func lie(fault, verb string, r map[string]any) error {
	netns, container := os.Getenv("CNI_NETNS"), os.Getenv("CNI_CONTAINERID")
	first := func(key string) map[string]any { return r[key].([]any)[0].(map[string]any) }
	last := func(key string) map[string]any { all := r[key].([]any); return all[len(all)-1].(map[string]any) }
	sh := func(format string, args ...any) error {
		out, err := exec.Command("sh", "-ec", fmt.Sprintf(format, args...)).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	}
	switch verb + " " + fault {
	case "ADD index":
		first("ips")["interface"] = 0
	case "ADD index out of range":
		first("ips")["interface"] = 2
	case "ADD version":
		r["cniVersion"] = "0.4.0"
	case "ADD says dns", "ADD drops dns":
		delete(r, "dns")
		if fault == "says dns" {
			r["dns"] = map[string]any{"nameservers": []string{"10.110.0.2"}}
		}
	case "ADD sandbox":
		last("interfaces")["sandbox"] = strings.Replace(netns, "/run/", "/var/run/", 1)
	case "ADD mac":
		last("interfaces")["mac"] = "02:00:00:00:00:99"
	case "ADD mtu":
		last("interfaces")["mtu"] = 1234
	case "ADD drops the address":
		first("ips")["address"] = "10.110.10.200/32"
	case "ADD twice":
		r["ips"] = append(r["ips"].([]any), r["ips"].([]any)[0])
	case "ADD host-side address":
		r["ips"] = append(r["ips"].([]any), map[string]any{"address": "10.110.10.5/24", "interface": 0})
	case "ADD rule":
		return sh("ip rule add from 1.2.3.4 to %d.0.0.0/8 lookup main", len(container))
	case "ADD no way in":
		return sh("nsenter --net=%s ip route delete default", netns)
	case "CHECK check":
		return fmt.Errorf("it is not as it should be")
	case "DEL needs netns":
		if netns == "" {
			return fmt.Errorf("no namespace")
		}
	case "DEL takes all":
		return sh("ip route flush table 1000")
	case "GC takes all":
		return sh("ip route flush table 1000")
	}
	return nil
}

// TestLiesAreCaught wants each fault found, and said plainly; and nothing else said.
func TestLiesAreCaught(t *testing.T) {
	tests := []struct {
		fault string
		want  []string // each is the beginning of one reason, in order
	}{
		{"none", nil},
		{"index", []string{`ips[0] (ADDRESS) is an address of interface "`, "CHECK right after ADD fails: stage 2 routed-veth: PREVRESULT"}},
		{"index out of range", []string{"ips[0].interface is 2, and there are 2 interfaces: containerd panics", "CHECK right after ADD fails: stage 1 eni-ipam: PREVRESULT"}},
		{"version", []string{`stage 3 liar: its result says cniVersion "0.4.0", and was asked for "1.1.0"`}},
		{"drops dns", []string{`stage 4 liar: it drops or changes dns of the stages before it: {"nameservers":["10.110.0.2"]}`}},
		{"sandbox", []string{`interfaces[1].sandbox is "/var/run/netns/first", and CNI_NETNS was "/run/netns/first"`}},
		{"mac", []string{"interfaces[1]: eth0 in the pod has MAC "}},
		{"mtu", []string{"interfaces[1]: eth0 in the pod has mtu "}},
		{"drops the address", []string{"stage 3 liar: it drops the address 10.110.", "interfaces[1]: eth0 has not the address ADDRESS", "CHECK right after ADD fails: stage 1 eni-ipam: DRIFT"}},
		{"twice", []string{"the result has the address ADDRESS twice"}},
		{"host-side address", []string{`ips[1] (ADDRESS) is an address of interface "eni`, "interfaces[1]: eth0 has not the address ADDRESS"}},
		{"rule", []string{"left behind after DEL of the last pod: + rule"}},
		{"no way in", []string{"CHECK right after ADD fails: stage 2 routed-veth: DRIFT", "no answer: node → first (tcp ADDRESS:7777), "}},
		{"check", []string{"CHECK right after ADD fails: stage 3 liar: it is not as it should be (code 107)"}},
		{"needs netns", []string{"DEL again of pod warm-up, without its namespace, fails: stage 3 liar: no namespace (code 107)"}},
		{"takes all", []string{"GC with both pods in the valid list changes what pods have: - route ADDRESS",
			"after DEL of the second pod the node is not as it was with the first one: - route ADDRESS",
			"CHECK of the first pod after DEL of the second fails: stage 2 routed-veth: DRIFT", "no answer: node → first after DEL of the second"}},
	}
	n, bin := begin(t)
	t.Setenv("GORACE", "atexit_sleep_ms=0") // with the race detector the liar would end a second late, each time
	own := t.TempDir()
	self, err := os.Executable()
	if err == nil {
		err = os.Symlink(self, filepath.Join(own, liarName))
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range tests {
		t.Run(tt.fault, func(t *testing.T) {
			if err := n.Reset(t.Context()); err != nil {
				t.Fatal(err)
			}
			stages := fmt.Sprintf(`{"type": "eni-ipam"}, {"type": "routed-veth"}, {"type": "liar", "fault": %q}`, tt.fault)
			if tt.fault == "drops dns" {
				stages = strings.Replace(stages, `{"type": "liar"`, `{"type": "liar", "fault": "says dns"}, {"type": "liar"`, 1)
			}
			l, problems := chain.Parse("liar.conflist", []byte(`{"cniVersion": "1.1.0", "name": "lies", "plugins": [`+stages+`]}`))
			if l == nil {
				t.Fatal(problems)
			}
			r, err := Run(t.Context(), n, l, Options{Path: []string{own, bin}})
			if err != nil {
				t.Fatal(err)
			}

			got := slices.Clone(r.Broken)
			for i := range got {
				for _, a := range r.Addresses {
					got[i] = strings.ReplaceAll(got[i], a.Addr().String(), "ADDRESS")
				}
				if i < len(tt.want) && strings.HasPrefix(got[i], tt.want[i]) {
					got[i] = tt.want[i]
				}
			}
			if diff := cmp.Diff(tt.want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("reasons (-want +got):\n%s", diff)
			}
		})
	}
}

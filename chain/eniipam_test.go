package chain

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/enichain/enichain/stages"
	"github.com/enichain/enichain/stages/eniipam"
)

// TestGatewayAndScope: of every gateway and scope under every caller, lint refuses exactly what eni-ipam refuses at ADD.
func TestGatewayAndScope(t *testing.T) {
	for _, caller := range []string{"eni-ipam", "routed-veth", "ptp", "bridge", "macvlan", "vlan", "host-device"} {
		for _, gateway := range []string{"", "none", "reserve"} {
			for _, scope := range []string{"", "any", "primary", "prefix"} {
				keys := map[string]any{"type": "eni-ipam"}
				if gateway != "" {
					keys["gateway"] = gateway
				}
				if scope != "" {
					keys["scope"] = scope
				}
				stage := keys
				if caller != "eni-ipam" {
					stage = map[string]any{"type": caller, "ipam": keys, "isDefaultGateway": true, "device": "eth1", "vlanId": 5, "master": "eth0"}
				}
				text, err := json.Marshal(stage)
				if err != nil {
					t.Fatal(err)
				}
				l, problems := Parse("list.conflist", []byte(of(string(text))))
				problems = append(problems, Lint(t.Context(), l, declared{}, Options{})...)
				refused := slices.ContainsFunc(problems, func(p Problem) bool { return p.Code == "C109" })
				if answer := refusal(t, stage); refused != strings.Contains(answer, "CONFIG") {
					t.Errorf("under %s, gateway %q, scope %q: lint refuses: %t; eni-ipam: %s", caller, gateway, scope, refused, answer)
				}
			}
		}
	}
}

// refusal is eni-ipam's answer to ADD, by its stage or as its delegate; its pool file does not exist.
func refusal(t *testing.T, stage map[string]any) string {
	t.Helper()
	config := maps.Clone(stage)
	config["cniVersion"], config["name"] = "1.0.0", "net"
	ipam := config
	if inner, ok := stage["ipam"].(map[string]any); ok {
		ipam = maps.Clone(inner)
		config["ipam"] = ipam
	}
	ipam["poolFile"], ipam["wait"] = filepath.Join(t.TempDir(), "pool.db"), "0s"
	text, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"CNI_COMMAND": "ADD", "CNI_CONTAINERID": "c", "CNI_NETNS": "/proc/self/ns/net", "CNI_NETNS_OVERRIDE": "1",
		"CNI_IFNAME": "eth0", "CNI_PATH": "/none"}
	var out bytes.Buffer
	code := stages.Run(t.Context(), stages.Process{
		Getenv: func(key string) string { return env[key] }, Environ: func() []string { return nil },
		Stdin: bytes.NewReader(text), Stdout: &out, Stderr: io.Discard, Now: time.Now,
	}, "eni-ipam", eniipam.Stage{})
	return fmt.Sprint(code, " ", strings.TrimSpace(out.String()))
}

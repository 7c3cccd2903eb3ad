package known_test

import (
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// shell runs a line, and the test fails with it.
func shell(t *testing.T, line string) string {
	t.Helper()
	out, err := exec.Command("sh", "-c", line).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", line, err, out)
	}
	return string(out)
}

func join(parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(p string) bool { return p == "" }), ",")
}

// without is a configuration's members but one.
func without(t *testing.T, config, key string) string {
	t.Helper()
	var members map[string]json.RawMessage
	if err := json.Unmarshal([]byte("{"+config+"}"), &members); err != nil {
		t.Fatal(err)
	}
	delete(members, key)
	out, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Trim(string(out), "{}") + closing(string(out))
}

// closing gives back the braces of a last member that was an object.
func closing(object string) string {
	inner := object[1 : len(object)-1]
	return inner[len(strings.TrimRight(inner, "}")):]
}

// state is what stands on the node, line by line.
func state(t *testing.T) []string {
	t.Helper()
	return strings.Split(shell(t, "ip -o link; ip -o addr; ip route; iptables-save; nft list ruleset;"+
		"find /var/lib/cni /run/cni -type f 2>/dev/null; true"), "\n")
}

// remains are the lines that are new and speak of the container or its address.
func remains(before, after []string, id, result string) []string {
	var r struct{ IPs []struct{ Address string } }
	words := []string{id}
	if json.Unmarshal([]byte(result), &r) == nil {
		for _, ip := range r.IPs {
			address, _, _ := strings.Cut(ip.Address, "/")
			words = append(words, address)
		}
	}
	var left []string
	for _, line := range after {
		for _, word := range words {
			if strings.Contains(line, word) && !slices.Contains(before, line) && !strings.Contains(line, "last_reserved_ip") {
				left = append(left, line)
				break
			}
		}
	}
	return left
}

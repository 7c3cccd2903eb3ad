package imds

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// service answers like the metadata service: a token first, then items by path; an item that is not there is a 404.
func service(t *testing.T, items map[string]string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut && r.URL.Path == "/latest/api/token" {
			w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", r.Header.Get("X-Aws-Ec2-Metadata-Token-Ttl-Seconds"))
			_, _ = w.Write([]byte("token-1"))
			return
		}
		if r.Header.Get("X-Aws-Ec2-Metadata-Token") != "token-1" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		item, found := items[r.URL.Path]
		if !found {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_, _ = w.Write([]byte(item))
	}))
	t.Cleanup(server.Close)
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", server.URL)
}

func whole() map[string]string {
	return map[string]string{
		"/latest/meta-data/instance-id":                 "i-0a1b2c3d4e5f60718",
		"/latest/meta-data/instance-type":               "m5.large",
		"/latest/meta-data/placement/availability-zone": "eu-central-1a",
		"/latest/meta-data/mac":                         "0A:1b:00:00:00:01",
		"/latest/meta-data/local-ipv4":                  "10.0.1.10",
		"/latest/dynamic/instance-identity/document":    `{"instanceId":"i-0a1b2c3d4e5f60718","region":"eu-central-1"}`,
		// The real service lists folders with and without a slash.
		"/latest/meta-data/network/interfaces/macs/":                               "0a:1b:00:00:00:01/\n0a:1b:00:00:00:02",
		"/latest/meta-data/network/interfaces/macs/0a:1b:00:00:00:01/interface-id": "eni-01",
		"/latest/meta-data/network/interfaces/macs/0a:1b:00:00:00:02/interface-id": "eni-02",
		"/latest/meta-data/network/interfaces/macs/0a:1b:00:00:00:01/local-ipv4s":  "10.0.1.10\n10.0.1.11",
		"/latest/meta-data/network/interfaces/macs/0a:1b:00:00:00:01/ipv6s":        "2600:1f13::5",
		"/latest/meta-data/network/interfaces/macs/0a:1b:00:00:00:02/local-ipv4s":  "10.0.1.20",
		"/latest/meta-data/network/interfaces/macs/0a:1b:00:00:00:02/ipv4-prefix":  "10.0.1.32/28",
		"/latest/meta-data/network/interfaces/macs/0a:1b:00:00:00:02/ipv6-prefix":  "2600:1f13:0:1::/80",
	}
}

func TestIdentity(t *testing.T) {
	service(t, whole())
	got, err := New().Identity(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := Identity{Instance: "i-0a1b2c3d4e5f60718", Type: "m5.large", Region: "eu-central-1", Zone: "eu-central-1a",
		MAC: "0a:1b:00:00:00:01", Primary: netip.MustParseAddr("10.0.1.10")}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestIdentityRefuses(t *testing.T) {
	for _, tc := range []struct {
		name, path, says string
		gone             bool
		want             string
	}{
		{"no instance id", "/latest/meta-data/instance-id", "", true, "/latest/meta-data/instance-id"},
		{"an error page", "/latest/meta-data/instance-id", "<html>proxy</html>", false, `/latest/meta-data/instance-id: it says "<html>`},
		{"a type without a size", "/latest/meta-data/instance-type", "m5", false, "/latest/meta-data/instance-type"},
		{"a MAC cut short", "/latest/meta-data/mac", "0a:1b:00", false, "/latest/meta-data/mac"},
		{"an address out of range", "/latest/meta-data/local-ipv4", "10.0.1.256", false, "/latest/meta-data/local-ipv4"},
		{"a document of a cloned disk", "/latest/dynamic/instance-identity/document", `{"instanceId":"i-other","region":"x"}`, false, "i-other"},
		{"a document without region", "/latest/dynamic/instance-identity/document", `{"instanceId":"i-0a1b2c3d4e5f60718"}`, false, "no region"},
		{"no zone", "/latest/meta-data/placement/availability-zone", "", true, "/latest/meta-data/placement/availability-zone (no such item)"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			items := whole()
			items[tc.path] = tc.says
			if tc.gone {
				delete(items, tc.path)
			}
			service(t, items)
			got, err := New().Identity(t.Context())
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %+v, error %v; want an error with %q", got, err, tc.want)
			}
		})
	}
}

func TestInterfaces(t *testing.T) {
	service(t, whole())
	got, err := New().Interfaces(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	addr, prefix := netip.MustParseAddr, netip.MustParsePrefix
	want := []Interface{
		{MAC: "0a:1b:00:00:00:01", ENI: "eni-01", Addresses: []netip.Addr{addr("10.0.1.10"), addr("10.0.1.11"), addr("2600:1f13::5")}},
		{MAC: "0a:1b:00:00:00:02", ENI: "eni-02", Addresses: []netip.Addr{addr("10.0.1.20")},
			Prefixes: []netip.Prefix{prefix("10.0.1.32/28"), prefix("2600:1f13:0:1::/80")}},
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestInterfacesRefuses(t *testing.T) {
	items := whole()
	items["/latest/meta-data/network/interfaces/macs/"] = "nonsense/"
	service(t, items)
	if _, err := New().Interfaces(t.Context()); err == nil || !strings.Contains(err.Error(), `macs/: "nonsense" is not a MAC`) {
		t.Errorf("error %v", err)
	}
	items = whole()
	items["/latest/meta-data/network/interfaces/macs/0a:1b:00:00:00:02/ipv4-prefix"] = "10.0.1.32"
	service(t, items)
	if _, err := New().Interfaces(t.Context()); err == nil || !strings.Contains(err.Error(), "0a:1b:00:00:00:02/ipv4-prefix") {
		t.Errorf("error %v", err)
	}
}

// TestNobodyThere keeps the error for a machine without a metadata service readable, and quick.
func TestNobodyThere(t *testing.T) {
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1")
	_, err := New().Identity(t.Context())
	if err == nil || !strings.Contains(err.Error(), "/latest/meta-data/instance-id") {
		t.Errorf("error %v", err)
	}
}

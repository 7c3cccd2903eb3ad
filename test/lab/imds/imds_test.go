package imds_test

import (
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/google/go-cmp/cmp"

	"github.com/enichain/enichain/test/lab/imds"
	"github.com/enichain/enichain/test/lab/vpc"
)

// clock stands still until it is moved.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

type lab struct {
	*vpc.World
	*clock
	t    testing.TB
	url  string
	node vpc.Instance
	eth0 vpc.NetworkInterface
}

func newLab(t testing.TB) *lab {
	t.Helper()
	l := &lab{World: vpc.New(vpc.Config{}, rand.New(rand.NewPCG(5, 6))), t: t,
		clock: &clock{now: time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)}}
	v, err := l.AddVPC(vpc.VPC{ID: "vpc-1", CIDRs: []netip.Prefix{netip.MustParsePrefix("10.110.0.0/16"), netip.MustParsePrefix("10.111.0.0/16")}})
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.AddSubnet(vpc.Subnet{ID: "subnet-1", VPC: v.ID, Zone: "lab-1a", CIDR: netip.MustParsePrefix("10.110.10.0/24")})
	if err != nil {
		t.Fatal(err)
	}
	l.node, l.eth0, err = l.AddInstance(l.Now(), vpc.Launch{ID: "i-1", Type: "m5.large", Subnet: s.ID, Secondary: 2,
		Primary: netip.MustParseAddr("10.110.10.171"), Tags: map[string]string{"Name": "node-1"}})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(imds.Handler(l.World, l.node.ID, l.clock))
	t.Cleanup(server.Close)
	l.url = server.URL
	return l
}

// ask makes a request by hand.
func (l *lab) ask(method, path string, header map[string]string) (int, string, http.Header) {
	l.t.Helper()
	request, err := http.NewRequest(method, l.url+path, nil)
	if err != nil {
		l.t.Fatal(err)
	}
	for name, value := range header {
		request.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		l.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		l.t.Fatal(err)
	}
	return response.StatusCode, string(body), response.Header
}

func (l *lab) token(ttl string) string {
	l.t.Helper()
	status, token, header := l.ask("PUT", "/latest/api/token", map[string]string{"X-aws-ec2-metadata-token-ttl-seconds": ttl})
	if status != 200 || header.Get("X-Aws-Ec2-Metadata-Token-Ttl-Seconds") != ttl {
		l.t.Fatalf("no token: %d, TTL %q", status, header.Get("X-Aws-Ec2-Metadata-Token-Ttl-Seconds"))
	}
	return token
}

// get reads one path with a fresh token.
func (l *lab) get(path string) (int, string) {
	l.t.Helper()
	status, body, _ := l.ask("GET", path, map[string]string{"X-aws-ec2-metadata-token": l.token("60")})
	return status, body
}

func TestToken(t *testing.T) {
	l := newLab(t)
	token := l.token("60")
	other := httptest.NewServer(imds.Handler(l.World, l.node.ID, l.clock))
	defer other.Close()
	for _, test := range []struct {
		name, method, path string
		header             map[string]string
		after              time.Duration
		want               int
	}{
		{"with token", "GET", "/latest/meta-data/mac", map[string]string{"X-aws-ec2-metadata-token": token}, 0, 200},
		{"version 1", "GET", "/latest/meta-data/mac", nil, 0, 401},
		{"made up", "GET", "/latest/meta-data/mac", map[string]string{"X-aws-ec2-metadata-token": "AQAEA"}, 0, 401},
		{"forged", "GET", "/latest/meta-data/mac", map[string]string{"X-aws-ec2-metadata-token": "B" + token[1:]}, 0, 401},
		{"no TTL", "PUT", "/latest/api/token", nil, 0, 400},
		{"TTL 0", "PUT", "/latest/api/token", map[string]string{"X-aws-ec2-metadata-token-ttl-seconds": "0"}, 0, 400},
		{"TTL too long", "PUT", "/latest/api/token", map[string]string{"X-aws-ec2-metadata-token-ttl-seconds": "21601"}, 0, 400},
		{"through a proxy", "PUT", "/latest/api/token", map[string]string{"X-aws-ec2-metadata-token-ttl-seconds": "60", "X-Forwarded-For": "10.0.0.1"}, 0, 403},
		{"other method", "POST", "/latest/meta-data/mac", map[string]string{"X-aws-ec2-metadata-token": token}, 0, 405},
		{"no such path", "GET", "/latest/meta-data/colour", map[string]string{"X-aws-ec2-metadata-token": token}, 0, 404},
		{"file as a folder", "GET", "/latest/meta-data/mac/", map[string]string{"X-aws-ec2-metadata-token": token}, 0, 404},
		{"expired", "GET", "/latest/meta-data/mac", map[string]string{"X-aws-ec2-metadata-token": token}, time.Minute, 401},
	} {
		t.Run(test.name, func(t *testing.T) {
			l.move(test.after)
			if status, body, _ := l.ask(test.method, test.path, test.header); status != test.want {
				t.Errorf("%d %s, want %d", status, body, test.want)
			}
		})
	}
	mine := l.url
	l.url = other.URL
	fresh := l.token("60")
	l.url = mine
	if status, _, _ := l.ask("GET", "/latest/meta-data/mac", map[string]string{"X-aws-ec2-metadata-token": fresh}); status != 401 {
		t.Errorf("another instance's token is answered %d", status)
	}
}

// Everything that the service shows, by walking it from the top.
func TestWalk(t *testing.T) {
	l := newLab(t)
	n := l.call(vpc.CreateNetworkInterface{SubnetID: "subnet-1", Primary: netip.MustParseAddr("10.110.10.20"),
		Prefixes: []vpc.Prefix4{{Prefix: netip.MustParsePrefix("10.110.10.64/28")}}}).(vpc.CreateNetworkInterfaceOutput).NetworkInterface
	l.call(vpc.AttachNetworkInterface{ID: n.ID, InstanceID: l.node.ID, Device: 1})
	var lines []string
	var walk func(path string)
	walk = func(path string) {
		status, body := l.get(path)
		if status != 200 {
			t.Fatalf("%s: %d", path, status)
		}
		for _, name := range strings.Split(body, "\n") {
			if strings.HasSuffix(name, "/") {
				walk(path + name)
				continue
			}
			_, text := l.get(path + name)
			text = strings.NewReplacer("\n", " ", l.eth0.MAC, "MAC0", n.MAC, "MAC1", l.eth0.ID, "ENI0", n.ID, "ENI1",
				l.eth0.Groups[0], "SG").Replace(text)
			lines = append(lines, strings.NewReplacer(l.eth0.MAC, "MAC0", n.MAC, "MAC1").Replace(strings.TrimPrefix(path, "/latest/meta-data/")+name)+" = "+text)
		}
	}
	walk("/latest/meta-data/")
	want := []string{
		"ami-id = ami-00000000000000000", "hostname = ip-10-110-10-171.lab-1.compute.internal", "instance-id = i-1",
		"instance-life-cycle = on-demand", "instance-type = m5.large", "local-hostname = ip-10-110-10-171.lab-1.compute.internal",
		"local-ipv4 = 10.110.10.171", "mac = MAC0",
	}
	for _, i := range []string{"0", "1"} {
		at := "network/interfaces/macs/MAC" + i + "/"
		address, local := "10.110.10.171", "10.110.10.171 "+strings.ReplaceAll(texts(l.eth0.Secondary), "\n", " ")
		if i == "1" {
			address, local = "10.110.10.20", "10.110.10.20"
		}
		part := []string{at + "device-number = " + i, at + "interface-id = ENI" + i}
		if i == "1" {
			part = append(part, at+"ipv4-prefix = 10.110.10.64/28")
		}
		part = append(part, at+"local-hostname = ip-"+strings.ReplaceAll(address, ".", "-")+".lab-1.compute.internal",
			at+"local-ipv4s = "+local, at+"mac = MAC"+i, at+"network-card = 0", at+"network-card-index = 0", at+"owner-id = 000000000000",
			at+"security-group-ids = SG", at+"security-groups = default", at+"subnet-id = subnet-1",
			at+"subnet-ipv4-cidr-block = 10.110.10.0/24", at+"vpc-id = vpc-1", at+"vpc-ipv4-cidr-block = 10.110.0.0/16",
			at+"vpc-ipv4-cidr-blocks = 10.110.0.0/16 10.111.0.0/16")
		if (i == "1") == (n.MAC > l.eth0.MAC) {
			want = append(want, part...)
		} else {
			want = append(want[:8], append(part, want[8:]...)...)
		}
	}
	want = append(want, "placement/availability-zone = lab-1a", "placement/availability-zone-id = lab1-az1", "placement/region = lab-1",
		"reservation-id = r-1", "security-groups = default", "services/domain = amazonaws.com", "services/partition = aws")
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("metadata (-want +got):\n%s", diff)
	}
	if status, body := l.get("/latest/meta-data/network/interfaces/macs"); status != 200 || strings.Count(body, "/") != 2 {
		t.Errorf("macs without a slash: %d %q", status, body)
	}
}

func texts(addrs []netip.Addr) string {
	var all []string
	for _, a := range addrs {
		all = append(all, a.String())
	}
	return strings.Join(all, "\n")
}

func (l *lab) call(r vpc.Request) vpc.Output {
	l.t.Helper()
	response, err := l.Call(l.Now(), "tester", r)
	if err != nil {
		l.t.Fatal(err)
	}
	return response.Output
}

func (l *lab) fault(kind, argument string) {
	l.t.Helper()
	f, err := vpc.ParseFault(kind, argument)
	if err == nil {
		err = l.SetFault(l.Now(), f)
	}
	if err != nil {
		l.t.Fatal(err)
	}
}

// A service that lags shows the past; one that is stuck shows it for ever; both come back.
func TestLagAndStale(t *testing.T) {
	l := newLab(t)
	count := func() int {
		_, body := l.get("/latest/meta-data/network/interfaces/macs/" + l.eth0.MAC + "/local-ipv4s")
		return len(strings.Fields(body))
	}
	l.move(time.Hour)
	l.fault("imds-lag", "node-1=60s")
	l.call(vpc.AssignPrivateIpAddresses{ID: l.eth0.ID, Count: 1})
	if got := count(); got != 3 {
		t.Errorf("at once: %d addresses, want the old 3", got)
	}
	l.move(time.Minute)
	if got := count(); got != 4 {
		t.Errorf("after the lag: %d addresses, want 4", got)
	}
	l.fault("imds-stale", "node-1")
	l.call(vpc.AssignPrivateIpAddresses{ID: l.eth0.ID, Count: 1})
	l.move(time.Hour)
	if got := count(); got != 4 {
		t.Errorf("stuck: %d addresses, want 4", got)
	}
	l.ClearFault(l.Now(), "", "")
	if got := count(); got != 5 {
		t.Errorf("mended: %d addresses, want 5", got)
	}
}

// The SDK for Go reads region, identity and paths.
// attribute sets a fault for local-ipv4s, changes addresses and description, and wants only the former to be old.
func attribute(t *testing.T, kind, argument string) {
	l := newLab(t)
	l.clock.move(5 * time.Minute)
	fault, err := vpc.ParseFault(kind, argument)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.SetFault(l.Now(), fault); err != nil {
		t.Fatal(err)
	}
	if _, refusal := l.Call(l.Now(), "c", vpc.UnassignPrivateIpAddresses{ID: l.eth0.ID, Addresses: l.eth0.Secondary}); refusal != nil {
		t.Fatal(refusal)
	}
	if _, refusal := l.Call(l.Now(), "c", vpc.AssignPrivateIpAddresses{ID: l.eth0.ID, PrefixCount: 1}); refusal != nil {
		t.Fatal(refusal)
	}
	l.clock.move(30 * time.Second)
	folder := "/latest/meta-data/network/interfaces/macs/" + l.eth0.MAC + "/"
	if _, text := l.get(folder + "local-ipv4s"); strings.Count(text, "\n") != 2 {
		t.Errorf("addresses are not the old ones: %q", text)
	}
	if status, text := l.get(folder + "ipv4-prefix"); status != 200 || !strings.HasSuffix(text, "/28") {
		t.Errorf("the prefix is %d %q", status, text)
	}
	l.clock.move(time.Minute)
	_, text := l.get(folder + "local-ipv4s")
	if old := strings.Count(text, "\n") == 2; old != (kind == "imds-stale") {
		t.Errorf("after a minute the addresses are %q", text)
	}
	if l.ClearFault(l.Now(), vpc.FaultKind(kind), ""); kind == "imds-stale" {
		if _, text := l.get(folder + "local-ipv4s"); text != l.eth0.Primary.String() {
			t.Errorf("mended, the addresses are %q", text)
		}
	}
}

func TestSDK(t *testing.T) {
	l := newLab(t)
	c := sdk.New(sdk.Options{Endpoint: l.url})
	region, err := c.GetRegion(t.Context(), nil)
	if err != nil || region.Region != "lab-1" {
		t.Errorf("region %+v, %v", region, err)
	}
	document, err := c.GetInstanceIdentityDocument(t.Context(), nil)
	if err != nil || document.InstanceID != "i-1" || document.PrivateIP != "10.110.10.171" || document.InstanceType != "m5.large" {
		t.Errorf("identity %+v, %v", document, err)
	}
	mac, err := c.GetMetadata(t.Context(), &sdk.GetMetadataInput{Path: "mac"})
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(mac.Content); err != nil || string(text) != l.eth0.MAC {
		t.Errorf("mac %q, %v", text, err)
	}
	if _, err := c.GetMetadata(t.Context(), &sdk.GetMetadataInput{Path: "no/such"}); err == nil {
		t.Error("a missing category is no error")
	}
}

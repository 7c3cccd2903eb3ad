package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/enichain/enichain/test/need"
)

// program is vpclab, built for this test, with labs of its own.
type program struct {
	t    *testing.T
	path string
	env  []string
}

func build(t *testing.T) program {
	t.Helper()
	need.NetAdmin(t)
	need.Tool(t, "nft", "nftables")
	dir := t.TempDir()
	p := program{t, filepath.Join(dir, "vpclab"), append(os.Environ(), "TMPDIR="+dir, "VPCLAB=")}
	cmd := exec.Command(need.Tool(t, "go", "golang"), "build", "-o", p.path, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return p
}

// run is the output of a command and its exit code.
func (p program) run(args ...string) (string, int) {
	p.t.Helper()
	var out bytes.Buffer
	cmd := exec.Command(p.path, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = p.env, &out, &out
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		p.t.Fatal(err)
	}
	return out.String(), cmd.ProcessState.ExitCode()
}

func (p program) must(args ...string) string {
	p.t.Helper()
	out, code := p.run(args...)
	if code != 0 {
		p.t.Fatalf("vpclab %s: exit %d: %s", strings.Join(args, " "), code, out)
	}
	return out
}

const machineLab = `
vpc: 10.130.0.0/16
ipv6: 2001:db8:130::/56
groups: [{ name: pods, tags: { team: a } }]
subnets: [{ name: subnet-a, cidr: 10.130.1.0/24, ipv6: "2001:db8:130:1::/64", zone: lab-1a, tags: { pool: gold } }]
nodes: [{ name: node-1, type: m5.large, subnet: subnet-a, groups: [pods], tags: { kind: batch } }]
hosts: [{ name: vpc-host, type: t3.small, subnet: subnet-a }]
ec2: { overLimitStarts: true }
`

// A node stops, changes its type, starts, reboots and ends, as EC2 says and as one sees inside; calls are counted.
func TestMachines(t *testing.T) {
	p := build(t)
	file := filepath.Join(t.TempDir(), "machines.yaml")
	if err := os.WriteFile(file, []byte(machineLab), 0o600); err != nil {
		t.Fatal(err)
	}
	p.must("up", file, "--no-daemons", "--speed", "20x")
	t.Cleanup(func() { p.must("down") })
	inside := func(script string) string {
		return strings.TrimSpace(p.must("exec", "node-1", "--", "sh", "-c", script))
	}
	const boot = "cat /proc/sys/kernel/random/boot_id"
	first := inside("echo x > /var/lib/enichain/file; " + boot)
	host := strings.Fields(p.must("exec", "vpc-host", "--", "sh", "-c", "ip -4 -o addr show eth0 | awk '{print $4}' | cut -d/ -f1"))[0]

	if out, code := p.run("instance", "type", "node-1", "m5.xlarge"); code != exitWrong || !strings.Contains(out, "IncorrectInstanceState") {
		t.Errorf("another type while it runs: exit %d: %s", code, out)
	}
	p.must("instance", "stop", "node-1")
	if out, code := p.run("exec", "node-1", "--", "true"); code != exitBlind || !strings.Contains(out, "node-1 is stopped") {
		t.Errorf("into a stopped node: exit %d: %s", code, out)
	}
	p.must("instance", "type", "node-1", "m5.xlarge")
	p.must("instance", "start", "node-1")
	second := inside(boot)
	if got := inside("cat /var/lib/enichain/file; ip -o link show up | grep -c eth0"); got != "x\n1" || first == second {
		t.Errorf("after the start: %q; boot %s, before %s", got, second, first)
	}
	p.must("instance", "reboot", "node-1")
	for end := time.Now().Add(20 * time.Second); ; { // EC2 does not say when a reboot is over
		if third, code := p.run("exec", "node-1", "--", "sh", "-c", boot); code == 0 && strings.TrimSpace(third) != second {
			break
		}
		if time.Now().After(end) {
			t.Fatal("no reboot")
		}
	}
	p.must("instance", "stop", "vpc-host")
	p.must("instance", "start", "vpc-host")
	p.must("reach", "node-1", "http://"+host)
	p.must("fault", "set", "loss", "node-1=100%")
	if out, code := p.run("reach", "node-1", "http://"+host); code == 0 {
		t.Errorf("with all packets lost: %s", out)
	}
	p.must("fault", "clear", "loss")
	p.must("reach", "node-1", "http://"+host)
	p.must("reach", "node-1", "http://["+internetAddress6+"]")
	p.must("reach", "node-1", "http://["+clientAddress6+"]")
	p.must("instance", "terminate", "node-1")
	if out := p.must("dump"); !strings.Contains(out, "terminated") || strings.Contains(out, "node-1 #0") {
		t.Errorf("terminated:\n%s", out)
	}
	counted(t, p)
}

// counted looks at the books of calls.
func counted(t *testing.T, p program) {
	var all []struct {
		Action, Caller               string
		Accepted, Throttled, Refused int
		Last                         time.Time
	}
	if err := json.Unmarshal([]byte(p.must("ec2", "counts", "--format", "json", "--action", "*Instance*")), &all); err != nil {
		t.Fatal(err)
	}
	got := map[string][2]int{}
	for _, c := range all {
		if c.Caller != personKey || c.Last.IsZero() {
			t.Errorf("%+v", c)
		}
		got[c.Action] = [2]int{c.Accepted, c.Refused}
	}
	delete(got, "DescribeInstances")
	want := map[string][2]int{"StopInstances": {2, 0}, "StartInstances": {2, 0}, "RebootInstances": {1, 0}, "TerminateInstances": {1, 0},
		"ModifyInstanceAttribute": {1, 1}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("accepted and refused (-want +got):\n%s", diff)
	}
	if out, code := p.run("ec2", "counts", "--since", "1h", "--none"); code != exitWrong {
		t.Errorf("--none with calls in the last hour: exit %d: %s", code, out)
	}
	p.must("ec2", "counts", "--since", "1h", "--none", "--caller", reconcilerKey)
}

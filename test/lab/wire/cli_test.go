package wire_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/enichain/enichain/test/lab/vpc"
	"github.com/enichain/enichain/test/need"
)

// aws runs the AWS CLI against the lab and returns what it printed and its exit code.
func (l *lab) aws(t *testing.T, args ...string) (string, int) {
	t.Helper()
	home := t.TempDir() // no configuration or cache of whoever runs the test
	command := exec.Command(workingCLI(t), append([]string{"--endpoint-url", l.url, "--output", "text", "ec2"}, args...)...)
	command.Env = []string{"HOME=" + home, "PATH=/usr/bin:/bin", "AWS_ACCESS_KEY_ID=AKIACLI", "AWS_SECRET_ACCESS_KEY=secret",
		"AWS_REGION=lab-1", "AWS_DEFAULT_REGION=lab-1", "AWS_PAGER=", "AWS_MAX_ATTEMPTS=1", "AWS_EC2_METADATA_DISABLED=true"}
	var out, complaint bytes.Buffer
	command.Stdout, command.Stderr = &out, &complaint
	err := command.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return strings.TrimSpace(out.String() + complaint.String()), command.ProcessState.ExitCode()
}

// workingCLI is the first aws in PATH that runs: a version manager's shim may stand before it and not work.
func workingCLI(t *testing.T) string {
	t.Helper()
	for _, folder := range filepath.SplitList(os.Getenv("PATH")) {
		path := filepath.Join(folder, "aws")
		if exec.Command(path, "--version").Run() == nil {
			return path
		}
	}
	return need.Tool(t, "aws", "awscli")
}

// The unmodified AWS CLI lists, creates, attaches, assigns and deletes.
func TestCLI(t *testing.T) {
	l := newLab(t, vpc.Config{})
	run := func(args ...string) string {
		t.Helper()
		out, exit := l.aws(t, args...)
		if exit != 0 {
			t.Fatalf("aws ec2 %s: exit %d: %s", strings.Join(args, " "), exit, out)
		}
		return out
	}
	if got := run("describe-instances", "--query", "Reservations[].Instances[].InstanceId"); got != l.node.ID {
		t.Errorf("instances are %q", got)
	}
	eni := run("create-network-interface", "--subnet-id", l.subnet.ID, "--secondary-private-ip-address-count", "3",
		"--description", "by hand", "--tag-specifications", "ResourceType=network-interface,Tags=[{Key=who,Value=me}]",
		"--query", "NetworkInterface.NetworkInterfaceId")
	attachment := run("attach-network-interface", "--network-interface-id", eni, "--instance-id", l.node.ID, "--device-index", "1", "--query", "AttachmentId")
	run("assign-private-ip-addresses", "--network-interface-id", eni, "--ipv4-prefix-count", "1")
	got := run("describe-network-interfaces", "--filters", "Name=tag:who,Values=me", "--query",
		"NetworkInterfaces[].[Attachment.DeviceIndex,Attachment.Status,length(PrivateIpAddresses),length(Ipv4Prefixes),Description]")
	if want := "1\tattached\t4\t1\tby hand"; got != want {
		t.Errorf("interface is %q, want %q", got, want)
	}
	if got, exit := l.aws(t, "delete-network-interface", "--network-interface-id", eni); exit < 254 /* 255 of version 1 */ || !strings.Contains(got, "(InvalidNetworkInterface.InUse)") {
		t.Errorf("deleting it while attached: exit %d: %s", exit, got)
	}
	run("detach-network-interface", "--attachment-id", attachment)
	run("delete-network-interface", "--network-interface-id", eni)
	if got := run("describe-network-interfaces", "--query", "length(NetworkInterfaces)"); got != "1" {
		t.Errorf("%s interfaces are left, want the primary", got)
	}
	if got := run("describe-network-interfaces", "--page-size", "5", "--query", "NetworkInterfaces[0].NetworkInterfaceId"); got != l.eth0.ID {
		t.Errorf("first page has %q", got)
	}
}

package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// needed maps a program to the Debian package that has it; the demo does without those for tests only.
var needed = []struct {
	program, debian string
	testsOnly       bool
}{
	{"ip", "iproute2", false},
	{"nft", "nftables", false},
	{"iptables", "iptables", false},
	{"nsenter", "util-linux", false},
	{"conntrack", "conntrack", true},
	{"gcc", "gcc", true},
	{"aws", "awscli", true},
	{"containerd", "containerd", true},
	{"runc", "runc", true},
	{"busybox", "busybox-static", true},
}

// packages installs what the purpose (demo or test) lacks when this is root on a Debian, and otherwise names it in one line. Only missing
// rights leave it undone: the tests that need the package then say so themselves.
func packages(purpose string) error {
	missing := missingPackages(purpose)
	if len(missing) == 0 {
		return nil
	}
	line := "apt-get install -y --no-install-recommends " + strings.Join(missing, " ")
	if _, err := exec.LookPath("apt-get"); err != nil {
		fmt.Printf("missing here: %s (no apt-get on this machine; install them your way)\n", strings.Join(missing, " "))
		return nil
	}
	if os.Geteuid() != 0 {
		fmt.Printf("missing here; without them some of this cannot run:\n\n    sudo %s\n\n", line)
		return nil
	}
	fmt.Println("installing", strings.Join(missing, " "))
	log, err := os.CreateTemp("", "enichain-apt-")
	if err != nil {
		return fmt.Errorf("cannot make a log for apt-get: %w", err)
	}
	for _, command := range []string{"apt-get update", line} {
		fields := strings.Fields(command)
		cmd := exec.Command(fields[0], fields[1:]...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		cmd.Stdout, cmd.Stderr = log, log
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("cannot run %q: %w; its words are in %s", command, err, log.Name())
		}
	}
	os.Remove(log.Name())
	return nil
}

func missingPackages(purpose string) []string {
	var missing []string
	for _, n := range needed {
		if (purpose == "test" || !n.testsOnly) && !works(n.program) {
			missing = append(missing, n.debian)
		}
	}
	return missing
}

// works looks where Debian puts programs before PATH: an ordinary user's PATH may lack sbin, and a shim of a
// language's version manager may stand in front of the real aws.
func works(program string) bool {
	for _, dir := range []string{"/usr/bin", "/usr/sbin", "/bin", "/sbin"} {
		if _, err := os.Stat(dir + "/" + program); err == nil {
			return true
		}
	}
	if program == "aws" {
		return false
	}
	_, err := exec.LookPath(program)
	return err == nil
}

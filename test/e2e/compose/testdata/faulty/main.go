// Command faulty is somebody else's stage that passes on what it gets, and does one thing wrong if its configuration
// says which: {"type": "faulty", "defect": "leftover rule"}. Without one it is as good as a stage can be that does
// nothing. It tells a contract, so that package chain knows it.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// request is a call as this stage reads it.
type request struct {
	Version string         `json:"cniVersion"`
	Name    string         `json:"name"`
	Defect  string         `json:"defect"`
	Prev    map[string]any `json:"prevResult"`

	command string
}

func main() {
	r := request{command: os.Getenv("CNI_COMMAND")}
	if err := json.NewDecoder(os.Stdin).Decode(&r); err != nil && r.command != "VERSION" {
		fail(r.Version, 6, err)
	}
	if err := r.run(); err != nil {
		fail(r.Version, 999, err)
	}
}

func fail(version string, code int, err error) {
	print(map[string]any{"cniVersion": version, "code": code, "msg": err.Error()})
	os.Exit(1)
}

func print(v any) {
	if err := json.NewEncoder(os.Stdout).Encode(v); err != nil {
		os.Exit(2)
	}
}

func (r request) run() error {
	switch r.command {
	case "VERSION":
		print(map[string]any{"cniVersion": "1.1.0", "supportedVersions": []string{"0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"},
			"io.enichain/contract": map[string]any{"v": 1, "previous": "needs", "requires": []string{"ips", "sandbox-interface"},
				"keys": map[string]string{"defect": "string"}}})
		return nil
	case "ADD":
		if r.Prev == nil {
			return errors.New("there is no prevResult")
		}
		return r.add()
	case "CHECK":
		if r.Defect == "check fails" {
			return errors.New("something is not as it should be")
		}
	case "DEL":
		return r.del()
	case "GC":
		if r.Defect == "greedy gc" {
			return sh("ip route flush table 1000; ip route flush scope link proto 233; ip route flush proto kernel scope host 2>/dev/null; true")
		}
	case "STATUS":
		if r.Defect == "status fails" {
			return errors.New("not ready")
		}
	}
	return nil
}

// add does what is wrong, and prints the result.
func (r request) add() error {
	var err error
	switch r.Defect {
	case "interface index":
		for _, ip := range r.ips() {
			ip["interface"] = 0
		}
	case "interface index out of range":
		for _, ip := range r.ips() {
			ip["interface"] = 9
		}
	case "adds dns": // which is none
		r.Prev["dns"] = map[string]any{"nameservers": []string{"10.110.0.2"}}
	case "dropped dns":
		delete(r.Prev, "dns")
	case "dropped routes":
		delete(r.Prev, "routes")
	case "dropped result":
		r.Prev = map[string]any{"cniVersion": r.Version}
	case "another version":
		r.Prev["cniVersion"] = "0.3.1"
	case "chatter":
		fmt.Println("adding", os.Getenv("CNI_CONTAINERID"))
	case "leftover rule":
		err = sh("ip rule add priority 777 from " + r.address() + " lookup main")
	case "leftover table":
		err = sh("nft add table inet faulty; nft add chain inet faulty c; nft add rule inet faulty c counter comment \\\"" + os.Getenv("CNI_CONTAINERID") + "\\\"")
	case "leftover link":
		err = sh("ip link add f$(echo $CNI_CONTAINERID | md5sum | cut -c1-8) type veth")
	case "lost route":
		err = inside(func() error { return sh("ip route del default; ip -6 route del default 2>/dev/null; true") })
	case "lost link":
		err = inside(func() error { return sh("ip link set $CNI_IFNAME down") })
	case "leaked lease":
		err = r.lease("ADD")
	case "leftover file":
		err = sh("mkdir -p /var/lib/cni/networks && touch /var/lib/cni/networks/faulty-$CNI_CONTAINERID")
	}
	if err != nil {
		return err
	}
	print(r.Prev)
	return nil
}

func (r request) del() error {
	file := filepath.Join("/run", "faulty-"+os.Getenv("CNI_CONTAINERID"))
	switch r.Defect {
	case "del needs prevResult":
		if r.Prev == nil {
			return errors.New("there is no prevResult")
		}
	case "del needs netns":
		if _, err := os.Stat(os.Getenv("CNI_NETNS")); err != nil {
			return err
		}
	case "del only once":
		if err := os.Mkdir(file, 0o755); err != nil {
			return err
		}
	}
	return nil
}

func (r request) ips() []map[string]any {
	var out []map[string]any
	list, _ := r.Prev["ips"].([]any)
	for _, ip := range list {
		if m, ok := ip.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}

// address is the first of the result.
func (r request) address() string {
	for _, ip := range r.ips() {
		address, _ := ip["address"].(string)
		address, _, _ = strings.Cut(address, "/")
		return address
	}
	return ""
}

// lease asks eni-ipam for an address of an interface that nobody has.
func (r request) lease(command string) error {
	cmd := exec.Command(filepath.Join(filepath.SplitList(os.Getenv("CNI_PATH"))[0], "eni-ipam"))
	cmd.Env = append(os.Environ(), "CNI_COMMAND="+command, "CNI_IFNAME=lost0")
	cmd.Stdin = strings.NewReader(fmt.Sprintf(`{"cniVersion":%q,"name":%q,"type":"eni-ipam"}`, r.Version, r.Name))
	return cmd.Run()
}

func sh(line string) error {
	if out, err := exec.Command("sh", "-c", line).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", line, err, out)
	}
	return nil
}

// inside runs f in the container's network namespace; the process ends soon after.
func inside(f func() error) error {
	runtime.LockOSThread()
	ns, err := os.Open(os.Getenv("CNI_NETNS"))
	if err != nil {
		return err
	}
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
		return err
	}
	return f()
}

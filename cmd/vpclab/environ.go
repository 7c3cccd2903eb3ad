package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// region of every lab.
const region = "lab-1"

// Credentials that the lab takes: the key id is the caller's name in its books, the secret is not looked at.
const (
	personKey     = "LABPERSON"
	reconcilerKey = "LABRECONCILER"
	anySecret     = "not-a-secret"
)

// daemonEnv is all that tells enichaind where EC2 is: the SDK's own variables. Only who carries the reconciler has
// credentials: nodes hold no EC2 permission.
func (h *holder) daemonEnv(n *labNode) []string {
	env := []string{
		"PATH=" + binDir() + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=/root", "LANG=C",
		"AWS_REGION=" + region,
		"AWS_EC2_METADATA_SERVICE_ENDPOINT=http://" + imdsAddress,
	}
	if n.role == roleControl || h.hub() == nil {
		env = append(env, "AWS_ENDPOINT_URL_EC2=http://"+ec2Address,
			"AWS_ACCESS_KEY_ID="+reconcilerKey, "AWS_SECRET_ACCESS_KEY="+anySecret)
	}
	return env
}

// person is the environment of a person at a lab: for the aws CLI, SDKs and cnitool.
func person(endpoint string) map[string]string {
	return map[string]string{
		"AWS_REGION": region, "AWS_DEFAULT_REGION": region,
		"AWS_ACCESS_KEY_ID": personKey, "AWS_SECRET_ACCESS_KEY": anySecret,
		"AWS_ENDPOINT_URL_EC2":      endpoint,
		"AWS_EC2_METADATA_DISABLED": "true", // the CLI has credentials; it need not ask
		"AWS_PAGER":                 "",
	}
}

// inNode adds what a person in a node's shell needs.
func inNode() map[string]string {
	env := person("http://" + ec2Address)
	env["CNI_PATH"], env["NETCONFPATH"] = binDir(), confDir
	env["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = "http://" + imdsAddress
	delete(env, "AWS_EC2_METADATA_DISABLED")
	env["PATH"] = binDir() + ":" + os.Getenv("PATH") + ":/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin"
	return env
}

// awsFunction makes 'aws' ask the lab: a CLI older than 2.13 knows no AWS_ENDPOINT_URL.
func awsFunction(endpoint string) string {
	return fmt.Sprintf("aws() { %s --endpoint-url %s \"$@\"; }", awsProgram(), endpoint)
}

// awsProgram is Debian's aws, since a version manager's shim may stand before it in PATH, or whichever there is.
func awsProgram() string {
	if _, err := os.Stat("/usr/bin/aws"); err == nil {
		return "/usr/bin/aws"
	}
	if path, err := exec.LookPath("aws"); err == nil {
		return path
	}
	return "command aws"
}

// writeExports prints an environment as a shell takes it.
func writeExports(w io.Writer, env map[string]string) {
	for _, line := range assignments(env) {
		name, value, _ := strings.Cut(line, "=")
		fmt.Fprintf(w, "export %s='%s'\n", name, strings.ReplaceAll(value, "'", `'\''`))
	}
}

// assignments are NAME=VALUE by name.
func assignments(env map[string]string) []string {
	var all []string
	for name, value := range env {
		all = append(all, name+"="+value)
	}
	slices.Sort(all)
	return all
}

package main

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
)

// lint runs each linter to its end and joins what they found.
func lint() error {
	return errors.Join(
		silent("gofmt", "gofmt", "-l", "bus", "chain", "cmd", "ipam", "stages", "test"),
		silent("go vet", "go", "vet", "./..."),
		silent("staticcheck", "go", "tool", "staticcheck", "./..."),
		tidy(),
	)
}

// silent runs a linter that finds nothing if it prints nothing and ends well. What go says on standard error of modules
// that it has to download first is no finding.
func silent(name, program string, args ...string) error {
	fmt.Println(name)
	var found, said strings.Builder
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = &found, &said
	if err := cmd.Run(); err != nil || found.Len() > 0 {
		return fmt.Errorf("%s:\n%s%s", name, &found, &said)
	}
	return nil
}

// tidy says what 'go mod tidy' would change. It must not change anything: go.mod is read by builds beside this one.
func tidy() error {
	fmt.Println("go mod tidy")
	out, err := exec.Command("go", "mod", "tidy", "-diff").CombinedOutput()
	if err != nil {
		return fmt.Errorf("go mod tidy would change:\n%s", out)
	}
	return nil
}

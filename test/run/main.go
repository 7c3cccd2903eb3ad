// Run does what the Makefile's targets need beyond a line of shell: it installs or names missing packages, runs the
// tests with as many rights as this user can get, and runs the linters.
package main

import (
	"fmt"
	"os"
	"strings"
)

func main() {
	if len(os.Args) < 2 {
		fail("usage: go run ./test/run packages demo|test | test PACKAGE… | lint")
	}
	var err error
	switch os.Args[1] {
	case "packages":
		err = packages(strings.Join(os.Args[2:], " "))
	case "test":
		err = test(os.Args[2:])
	case "lint":
		err = lint()
	default:
		err = fmt.Errorf("no such task %q: packages, test or lint", os.Args[1])
	}
	if err != nil {
		fail(err.Error())
	}
}

func fail(message string) {
	fmt.Fprintln(os.Stderr, message)
	os.Exit(1)
}

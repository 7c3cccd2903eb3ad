// Package peers builds what our chain is measured against: amazon-vpc-cni-k8s's plugin out of its Go module, a stand-in
// for its daemon, and the floor programs.
package peers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// AWSVersion is that of amazon-vpc-cni-k8s; test/bench/testdata/awscni/go.mod has it, and what it pins.
const AWSVersion = "v1.23.1"

// Floor builds the floor programs and returns their folder. Nothing is fetched for it.
func Floor(ctx context.Context, cache string) (string, error) {
	root, err := Root()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "floor")
	return dir, build(ctx, root, dir, "./test/bench/floor/...")
}

// Symbols builds our plugins and the floor with their symbols, for a profiler, and returns their folder.
func Symbols(ctx context.Context, cache string) (string, error) {
	root, err := Root()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "symbols")
	return dir, compile(ctx, root, dir, "", "./cmd/eni-ipam", "./cmd/routed-veth", "./cmd/snat", "./cmd/portmap-compat", "./cmd/enichain",
		"./test/bench/floor/floor-fused")
}

// AWS builds the plugin aws-cni and the daemon's stand-in, and returns their folder; if they were built before, by this
// Go, nothing is done. The first time needs the Go module proxy and takes minutes, which tell announces.
func AWS(ctx context.Context, cache string, tell func(string)) (string, error) {
	root, err := Root()
	if err != nil {
		return "", err
	}
	const project = "github.com/aws/amazon-vpc-cni-k8s"
	dir := filepath.Join(cache, "aws-cni-"+AWSVersion+"-"+runtime.Version())
	plugin := filepath.Join(dir, "aws-cni")
	if _, err := os.Stat(plugin); err != nil {
		tell("building " + project + " " + AWSVersion + ", once: minutes")
		if err := build(ctx, filepath.Join(root, "test/bench/testdata/awscni"), dir, ".", project+"/cmd/routed-eni-cni-plugin"); err != nil {
			return "", fmt.Errorf("cannot build %s: %w", project, err)
		}
		if err := os.Rename(filepath.Join(dir, "routed-eni-cni-plugin"), plugin); err != nil {
			return "", err
		}
	}
	// The stand-in is ours and may have changed.
	return dir, build(ctx, filepath.Join(root, "test/bench/testdata/awscni"), dir, ".")
}

// build makes programs as our own are made: static, without symbols.
func build(ctx context.Context, module, into string, packages ...string) error {
	return compile(ctx, module, into, "-s -w", packages...)
}

func compile(ctx context.Context, module, into, linker string, packages ...string) error {
	if err := os.MkdirAll(into, 0o755); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", append([]string{"build", "-buildvcs=false", "-trimpath", "-ldflags", linker, "-o", into + "/"}, packages...)...)
	cmd.Dir = module
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	if root, err := Root(); err == nil && module == root && strings.HasPrefix(runtime.Version(), "go1.26") {
		cmd.Env = append(cmd.Env, "GOEXPERIMENT=nogreenteagc") // as the Makefile builds what is measured
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		text := strings.TrimSpace(string(out))
		return fmt.Errorf("go build %s: %w: %s", strings.Join(packages, " "), err, text[max(0, len(text)-300):])
	}
	return nil
}

// Root is the top of the checkout that the working directory is in.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == "/" {
			return "", errors.New("not in a checkout: no go.mod above the working directory")
		}
	}
}

# Recipes stay short; what they do is Go, in test/run and cmd.
SHELL := /bin/bash
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
# Go 1.26's new garbage collector costs a stage, which ends before a first collection, a tenth of its page faults.
OLDGC := $(if $(filter go1.26%,$(shell go env GOVERSION)),GOEXPERIMENT=nogreenteagc)
OURS := -trimpath -ldflags '-s -w -X github.com/enichain/enichain/stages.Release=$(VERSION)'

.DEFAULT_GOAL := help
.PHONY: help packages build demo test e2e e2e-containerd test-ipamd sim fleet conformance bench lint clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

packages: ## install the Debian packages that tests need (root), or say which are missing
	@go run ./test/run packages test

build: ## our binaries, cnitool and upstream's plugins into bin/
	@test -d bin || echo "the first build takes a minute or two"
	@CGO_ENABLED=0 $(OLDGC) go build $(OURS) -o bin/ ./cmd/...
	@CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o bin/ $$(go list tool | grep containernetworking)

demo: build ## a VPC on this machine, two nodes, pods, accidents; leaves nothing behind
	@go run ./test/run packages demo
	@bin/vpclab demo

test: packages build ## all tests that this user can run, race detector on
	@go run ./test/run test ./...

e2e: packages build ## only the end-to-end tests
	@go run ./test/run test ./test/e2e/...

e2e-containerd: packages build ## pods by a real containerd, Debian's and 2.x, in a node of a lab (root)
	@go run ./test/run test ./test/e2e/containerd

sim: build ## the real cores in virtual time, with faults, every invariant: SEEDS=200 HOURS=1 NODES=2
	@bin/vpclab sim seeds --seeds $(or $(SEEDS),200) --hours $(or $(HOURS),1) --nodes $(or $(NODES),2)

fleet: build ## NODES=1000 nodes boot at EC2's published rates, beside a model of a per-node daemon
	@bin/vpclab sim fleet --nodes $(or $(NODES),1000)

test-ipamd: build ## amazon-vpc-cni-k8s's own agent fills its pool in the lab (builds it: minutes)
	@go run ./test/run test -tags ipamd ./test/lab/ipamd

conformance: build ## our stages and the reference plugins against the CNI specification; writes docs/conformance.md
	@go run ./test/conformance/page

bench: packages build ## what pods, packets and the daemon cost beside peers and floors: FLAGS=--update writes docs/performance.md
	@go run ./test/bench $(FLAGS)

lint: ## vet, staticcheck, gofmt, go mod tidy
	@go run ./test/run lint

clean: ## remove bin/
	@rm -rf bin

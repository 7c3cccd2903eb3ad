# Recipes stay short; what they do is Go, in test/run and cmd.
SHELL := /bin/bash
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
OURS := -trimpath -ldflags '-s -w -X github.com/enichain/enichain/stages.Release=$(VERSION)'

.DEFAULT_GOAL := help
.PHONY: help packages build demo test e2e e2e-containerd conformance bench lint clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

packages: ## install the Debian packages that tests need (root), or say which are missing
	@go run ./test/run packages test

build: ## our binaries, cnitool and upstream's plugins into bin/
	@test -d bin || echo "the first build takes a minute or two"
	@CGO_ENABLED=0 go build $(OURS) -o bin/ ./cmd/...
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

conformance: build ## our stages and the reference plugins against the CNI specification; writes docs/conformance.md
	@go run ./test/conformance/page

bench: packages build ## what a pod costs, as ratios against upstream's plugins in one interleaved run
	@go run ./test/bench

lint: ## vet, staticcheck, gofmt, go mod tidy
	@go run ./test/run lint

clean: ## remove bin/
	@rm -rf bin

# Earshot. `make` lists the targets.
SHELL := /bin/sh
GO    ?= go
TAGS  := nomsgpack
BIN   := bin/earshot
PORT  ?= 5000
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)

.DEFAULT_GOAL := help
.PHONY: help deps build run test short lint fuzz chaos soak bench docs image clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

deps: ## install libzmq, a C compiler and pkg-config where they are missing
	@deploy/deps

build: deps ## build bin/earshot
	@[ -x $(BIN) ] || echo "building; the first time takes half a minute or more"
	@$(GO) build -tags $(TAGS) -trimpath -ldflags '$(LDFLAGS)' -o $(BIN) ./cmd/earshot

run: build ## run everything in one process: gateway :5000, feeds, subscriber.log (PORT=5050 for another port)
	@exec $(BIN) up --port $(PORT)

test: deps ## run all tests, with the race detector
	@$(GO) vet -tags $(TAGS) ./...
	@skipped=$$(mktemp) && { EARSHOT_TEST_SKIPPED=$$skipped $(GO) test -tags $(TAGS) -race -timeout 30m ./...; \
	code=$$?; sort -u $$skipped; rm -f $$skipped; exit $$code; }

short: deps ## the tests that need no other process
	@$(GO) test -tags $(TAGS) -short ./...

lint: deps ## what CI lints
	@deploy/lint

fuzz: deps ## each fuzz test for ten seconds (FUZZTIME=1m for longer)
	@deploy/fuzz $(or $(FUZZTIME),10s)

chaos: deps ## every fault test in its long form, totals by kind: hours (FAULTS=1000 POINTS=10; WITHIN=1h bounds each part of the matrix; SEED=1)
	@export EARSHOT_TEST_LONG=yes; code=0; \
	$(GO) test -tags $(TAGS) -timeout 0 -v ./e2e/chaos -args -faults $(or $(FAULTS),1000) -points $(or $(POINTS),10) -within $(or $(WITHIN),1h) -seed $(or $(SEED),1) || code=1; \
	$(GO) test -tags $(TAGS) -timeout 0 -v ./e2e || code=1; \
	$(GO) test -tags $(TAGS) -timeout 0 -v ./internal/journal ./subscriber/view -run Power || code=1; \
	exit $$code

soak: build ## faults by chance for a while (FOR=10m SEED=7); it prints the seed and the totals
	@$(BIN) drill --for $(or $(FOR),10m) --seed $(or $(SEED),0)

bench: deps ## measure beside libzmq in C; prints, asserts nothing
	@$(GO) run -tags $(TAGS) ./bench $(BENCH)

docs: ## write the generated pages of docs/
	@$(GO) test -tags $(TAGS) ./internal/config ./internal/metric -run Reference -update

image: ## build the container image earshot
	@docker build -t earshot --build-arg VERSION=$(VERSION) .

clean: ## remove what was built; data/ stays
	@rm -rf bin

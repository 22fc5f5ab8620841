# The tasks of the project. Each is a line or a script of tools/ that works on its own, too.
#
# `make` lists them. Everything that is made goes to target/; toolchains that the machine lacks go to the user's cache.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# The tests and the bootstraps in envoy/ look here, whatever the user's own setting is.
export CARGO_TARGET_DIR := $(CURDIR)/target

# The releases of Envoy that are supported.
ENVOYS := 1.37.0 1.38.3 1.39.3 1.40.0
# How long each fuzz target runs.
FUZZ_SECONDS ?= 30
# What the benchmarks say about themselves: fewer repeats (QUICK=1), and more words for the one of the whole Envoy.
BENCH ?=
QUICK ?=

.PHONY: help demo test lint bench bazel fuzz build envoys plugins sources packages clean

help: ## List the tasks
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Run three plugins in a stock Envoy and show what they do (KEEP=1 leaves it running)
	@KEEP=$(KEEP) tools/demo

build: packages ## Build the library: target/release/libgraft.so
	cargo build --release --locked

# Documentation tests come first, so that the last lines are the summary of the tests proper.
test: packages envoys plugins sources build ## Run all tests: unit, host, and on each Envoy
	cargo test --release --locked --doc
	cargo test --locked --manifest-path examples/plugins/rust/Cargo.toml --target-dir $(CARGO_TARGET_DIR)/plugins/build/rust-examples
	cargo test --release --locked --no-fail-fast --lib --tests

lint: packages ## Check format, lints, documentation, dependencies and scripts
	cargo fmt --check
	cargo fmt --check --manifest-path examples/plugins/rust/Cargo.toml --all
	cargo fmt --check --manifest-path tests/plugins/rust/Cargo.toml --all
	cargo fmt --check --manifest-path benches/envoy/plugins/rust/Cargo.toml --all
	test -z "$$(PATH="$$PATH:$${XDG_CACHE_HOME:-$$HOME/.cache}/graft/go/bin" gofmt -l tests/plugins/go benches/envoy/plugins/go | tee /dev/stderr)"
	shellcheck -x -P SCRIPTDIR $$(grep -lE '^#!.*bash' tools/* .ci/* bazel/*) tools/common.sh
	cargo clippy --release --all-targets --locked -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --release --no-deps --document-private-items --locked
	tools/deny

bench: packages build ## Measure the hot path alone, and the whole Envoy side by side (QUICK=1: two minutes)
	tools/envoy 1.40.0
	tools/plugins examples/plugins benches/envoy/plugins
	cargo bench --locked --bench host -- $(if $(QUICK),--quick)
	cargo bench --locked --bench isolation -- $(if $(QUICK),--quick)
	cargo bench --locked --bench envoy -- $(if $(QUICK),--quick) $(BENCH)

fuzz: packages ## Feed arbitrary input for a while (FUZZ_SECONDS=30)
	FUZZ_SECONDS=$(FUZZ_SECONDS) cargo test --release --locked --test fuzz -- --nocapture

bazel: packages ## Build the library with Bazel, load it into Envoy, use it from another workspace
	tools/run-bazel build //:graft
	tools/run-bazel test //...
	cd bazel/consumer && ../../tools/run-bazel build --action_env=CARGO_TARGET_DIR //...

envoys: packages ## Fetch the stock Envoys: target/envoy/VERSION/envoy
	tools/envoy $(ENVOYS)

plugins: packages ## Build the plugins: target/plugins/NAME.wasm
	tools/plugins

sources: packages ## Fetch the servers, and build the OCI clients, that plugins come from in the tests: target/tools/NAME
	tools/servers
	tools/oci-clients

packages: ## Install what the machine lacks
	tools/packages

clean: ## Remove everything that was made
	cargo clean
	rm -rf examples/plugins/*/node_modules tests/plugins/*/node_modules

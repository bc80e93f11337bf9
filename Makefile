# Two commands do everything: `make demo` runs the gateway with small backends, `make test` passes all tests.
# Each installs what the machine lacks, or names it.

SHELL := /bin/bash
CARGO ?= cargo

.PHONY: demo test lint docs bench fuzz deps deps-test clean

# There are no examples: --examples makes cargo choose the dependencies' features as it does for the tests, so that
# the demo and the tests share what is built. The same goes for --all-targets in lint, and for docs.
demo: deps
	$(CARGO) build --locked --bins --examples
	./target/debug/portcullis demo

test: deps deps-test
	$(CARGO) test --locked --no-fail-fast

lint: deps
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings

docs: deps
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --lib --examples

bench: deps
	$(CARGO) bench --locked

# Ten minutes for each target; docs/fuzzing.md tells more.
fuzz: deps
	@scripts/fuzz

# What a build needs beside Rust: a C compiler, make and cmake.
deps:
	@scripts/install-deps build

# What the tests need beside that: Python with the clients and the framework that they drive.
deps-test:
	@scripts/install-deps test

clean:
	$(CARGO) clean

# Two commands do everything: `make demo` runs the gateway with small backends, `make test` passes all tests.
# Each installs what the machine lacks, or names it.

SHELL := /bin/bash
CARGO ?= cargo

.PHONY: demo test lint docs bench deps deps-test clean

demo: deps
	$(CARGO) build --release --locked
	./target/release/portcullis demo

test: deps deps-test
	$(CARGO) test --locked --no-fail-fast

lint: deps
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings

docs: deps
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps

bench: deps
	$(CARGO) bench --locked

# What a build needs beside Rust: a C compiler, make and cmake.
deps:
	@scripts/install-deps build

# What the tests need beside that: Python with the clients and the framework that they drive.
deps-test:
	@scripts/install-deps test

clean:
	$(CARGO) clean

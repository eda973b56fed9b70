# The commands of this repository. `make` alone lists them. The work is done in .ci/, so that a hook or a
# machine can call the same scripts.
.DEFAULT_GOAL := help
.PHONY: help run console types test proof lint bench fmt ci clean

PROFILE ?= release
ifeq ($(PROFILE),dev)
  BUILD :=
else
  BUILD := --release
endif

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' Makefile

run: ## build console and binary, then serve with the built-in sandbox provider; data in ./data, master key in ./keys (PROFILE=dev builds faster)
	ui/build.sh
	cargo run --features aws-kms $(BUILD) -- serve --sandbox

console: ## build the operators' console into ui/dist, where its sources changed; needs Node 20
	ui/build.sh

types: ## write the console's types of the API anew from its description
	cargo run --quiet -- openapi >target/openapi.json
	ui/build.sh types ../target/openapi.json

test: ## every test, on throw-away PostgreSQL and Redis; installs what is missing
	.ci/test

proof: ## the long figures: kills, records, load (PROOF=short for a shortened run)
	PROOF="$(PROOF)" .ci/test proof

lint: ## format, law of the house, clippy, documentation, licences, unused dependencies
	.ci/run fmt tidy clippy docs deny unused

bench: ## cost per request beside nginx, interleaved
	.ci/install bench
	cargo bench --features aws-kms --bench proxy -- --bar 0.90 --h2 --more --haproxy
	cargo bench --bench vault -- --bar 0.5
	cargo bench --bench clients -- --bar
	cargo bench --bench limits -- --bar
	cargo bench --bench scrub

fmt: ## format the sources
	cargo fmt

ci: ## everything that must hold before a change is accepted
	.ci/run

clean: ## remove what was built; ./data and ./keys stay
	cargo clean

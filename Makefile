# What people type; each line does its work in scripts/.
.PHONY: help demo test test-virtualbox check bench fuzz doc install-tools

help:
	@echo 'make demo           the whole tour with a real machine, in a temporary folder'
	@echo 'make test           everything: checks, unit tests, real machines (installs what is missing)'
	@echo 'make test-virtualbox  the VirtualBox provider, with a guest whose kernel is built once (five minutes)'
	@echo 'make check          what needs no machine, while you work'
	@echo 'make bench          the measurements'
	@echo 'make fuzz           fuzzes the parsers of untrusted input, each for FUZZ_SECONDS (180)'
	@echo 'make doc            the documentation of the code'
	@echo 'make install-tools  only what the others would install'

demo:
	scripts/demo.sh

test:
	scripts/test.sh

test-virtualbox:
	scripts/virtualbox/test.sh

check:
	cargo fmt --all --check
	cargo clippy --all-targets -- -D warnings
	cargo nextest run

bench:
	scripts/bench.sh

FUZZ_SECONDS ?= 180
fuzz:
	scripts/fuzz.sh $(FUZZ_SECONDS)

doc:
	cargo doc --no-deps

install-tools:
	scripts/setup.sh
	scripts/tools.sh nextest deny

# The entry to everything. `make` alone lists the targets.
#
# Gates (`test`, `lint`) only read the tree; what rewrites files (`fmt`, `docs`) has targets of its own.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo bench test lint release fmt docs

CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)
# The programs that are shipped. Named one by one: a build of the whole workspace would include the
# simulator, which compiles the kernel with switchable bugs.
SHIPPED := -p settle-daemon -p settle-sidecar -p settle

# What the programs call their revision: the commit, and whether the tree differs from it. Only for what is shipped, so
# that a commit does not build anything of the tests anew.
REVISION = $(or $(shell git describe --always --dirty --abbrev=12 --exclude '*' 2>/dev/null),unknown)

# Arguments passed on, as in: make demo DEMO_ARGS="--duration 20s --chaos"
DEMO_ARGS ?=
BENCH_ARGS ?=

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: release ## three replicas and a sidecar on this machine, live; DEMO_ARGS="--duration 20s --chaos"
	@exec $(TARGET)/release/settle demo $(DEMO_ARGS)

bench: release ## three nodes of Settle against three of etcd; BENCH_ARGS="--rounds 10"
	@scripts/tools.sh etcd
	@PATH="$$PWD/.tools/bin:$$PATH" exec $(TARGET)/release/settle bench $(BENCH_ARGS)

test: ## every test and check; provides the programs it needs by itself
	@scripts/test.sh

lint: ## format check and clippy only
	@scripts/test.sh lint

release: ## build the shipped programs
	@SETTLE_REVISION=$(REVISION) $(CARGO) build --release --locked $(SHIPPED)

fmt: ## rewrite the sources in the project's format
	$(CARGO) fmt --all

docs: ## rewrite the reference tables in docs/ from the programs themselves
	$(CARGO) build $(SHIPPED)
	SETTLE_WRITE_DOCS=1 $(CARGO) test -p settle --test it -- reference

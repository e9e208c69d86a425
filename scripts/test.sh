#!/usr/bin/env bash
# Every check and test, in the order in which failures are cheapest to learn of.
#
#   scripts/test.sh         all of it; this is `make test`
#   scripts/test.sh lint    the format and the lints only
#
# Reads the tree and never changes it. Each step prints its command before it runs; the first that
# fails ends the run with its exit code. The last line counts the tests over all runners.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly CARGO="${CARGO:-cargo}"
# The simulator compiles the kernel with bugs that it can switch on. In a command of its own, so that
# no other program is ever built from that kernel.
readonly REST=(--workspace --exclude settle-sim)
readonly SIMULATOR=(-p settle-sim)

log=$(mktemp)
trap 'rm -f "$log"' EXIT
report=()

step() {
    local title=$1 begun=$SECONDS status=0
    shift
    printf '\n==> %s\n    %s\n' "$title" "$*"
    "$@" 2>&1 | tee -a "$log" || status=$?
    report+=("$(printf '%5ds  %s' $((SECONDS - begun)) "$title")")
    if [ "$status" != 0 ]; then
        printf '\n==> FAILED (exit code %d): %s\n    %s\n' "$status" "$title" "$*" >&2
        exit "$status"
    fi
}

skip() {
    printf '\n==> SKIPPED: %s\n    %s\n' "$1" "$2"
    report+=("$(printf '%6s  %s' skipped "$1")")
}

lint() {
    step "format" "$CARGO" fmt --all --check
    step "shell scripts parse" bash -n scripts/test.sh scripts/tools.sh .ci/run
    step "lints" "$CARGO" clippy --locked "${REST[@]}" --all-targets -- -D warnings
    step "lints of the simulator" "$CARGO" clippy --locked "${SIMULATOR[@]}" --all-targets -- -D warnings
}

# Licences, duplicate versions and sources of the dependencies. Not its advisories: they need a
# database from the network.
dependencies() {
    if "$CARGO" deny --version >/dev/null 2>&1; then
        step "dependencies" "$CARGO" deny check --config .deny.toml bans licenses sources
    else
        skip "dependencies" "cargo-deny is not installed; to have this check: cargo install --locked cargo-deny"
    fi
}

# Sums up the closing lines of all test runners.
count() {
    awk '/^test result: / { passed += $4; failed += $6; ignored += $8 }
         END { printf "%d passed, %d failed, %d skipped\n", passed, failed, ignored }' "$log"
}

if [ "${1:-}" = lint ]; then
    lint
    exit
fi

step "programs to test with" scripts/tools.sh prometheus
step "fetch dependencies" "$CARGO" fetch --locked
lint
dependencies
# Private items too: whoever reads these pages works on the code.
step "documentation" env RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" \
    "$CARGO" doc --locked --workspace --no-deps --document-private-items
# Before the tests: some of them start the programs that lie beside them.
step "build" "$CARGO" build --locked "${REST[@]}" --all-targets
step "examples in the documentation" "$CARGO" test --locked "${REST[@]}" --no-fail-fast --doc
step "tests" "$CARGO" test --locked "${REST[@]}" --no-fail-fast --all-targets
step "tests of the simulator" "$CARGO" test --locked "${SIMULATOR[@]}" --no-fail-fast --all-targets

printf '\n==> all passed\n'
printf '%s\n' "${report[@]}"
count

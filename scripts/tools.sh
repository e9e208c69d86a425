#!/bin/sh
# Provides the programs of other projects that tests and benchmarks compare with or run against.
#
#   scripts/tools.sh etcd prometheus     make these available, fetching only what is missing
#
# What is on the PATH is used as it is. What is missing comes from Debian's packages, unpacked into
# .tools/ (never installed: an installed etcd or prometheus would start as a service on this machine).
# Programs then lie in .tools/bin. Exit 0: all there; 1: one cannot be had, and why; 2: unknown name.
set -eu

root=$(cd "${0%/*}/.." && pwd)
tools="$root/.tools"

# name -> package, and the programs it must bring
describe() {
    case "$1" in
        etcd) package=etcd-server programs="etcd" ;;
        prometheus) package=prometheus programs="prometheus promtool" ;;
        *)
            echo "tools.sh: unknown tool '$1'; known: etcd prometheus" >&2
            exit 2
            ;;
    esac
}

# True when every program of the described tool can be run, from the PATH or from .tools/bin.
present() {
    for program in $programs; do
        command -v "$program" >/dev/null 2>&1 || [ -x "$tools/bin/$program" ] || return 1
    done
}

give_up() {
    echo "tools.sh: $1 is missing and $2" >&2
    echo "  Get it by hand: put '$programs' on the PATH (Debian and Ubuntu: apt-get install $package," >&2
    echo "  and stop the service it starts; elsewhere the project's own release), then run this again." >&2
    exit 1
}

# Debian keeps the package lists out of its container images, so they may have to be fetched first.
require_candidate() {
    has_candidate && return
    if [ "$(id -u)" != 0 ]; then
        give_up "$1" "apt has no list of packages here; 'apt-get update' needs root"
    fi
    apt-get update -qq >&2 || give_up "$1" "'apt-get update' failed (no network?)"
    has_candidate || give_up "$1" "apt knows no package '$package'"
}

has_candidate() {
    apt-cache show "$package" >/dev/null 2>&1
}

# An old list may name a version that the mirror no longer has: refresh once, where allowed.
download() {
    apt-get download -qq "$package" >&2 && return
    [ "$(id -u)" = 0 ] && apt-get update -qq >&2 && apt-get download -qq "$package" >&2
}

fetch() {
    command -v apt-get >/dev/null 2>&1 || give_up "$1" "there is no apt-get on this machine"
    command -v dpkg-deb >/dev/null 2>&1 || give_up "$1" "there is no dpkg-deb on this machine"
    require_candidate "$1"
    mkdir -p "$tools/bin"
    work=$(mktemp -d "$tools/fetch.XXXXXX")
    trap 'rm -rf "$work"' EXIT INT TERM
    # As root, apt downloads as the user _apt, who must be able to write here.
    chmod 777 "$work"
    (cd "$work" && download) || give_up "$1" "downloading Debian's package '$package' failed"
    rm -rf "${tools:?}/$package"
    dpkg-deb -x "$work"/*.deb "$tools/$package"
    rm -rf "$work"
    trap - EXIT INT TERM
    for program in $programs; do
        ln -sf "../$package/usr/bin/$program" "$tools/bin/$program"
        "$tools/bin/$program" --version >/dev/null 2>&1 ||
            give_up "$1" "Debian's '$program' does not run here"
    done
    echo "tools.sh: $1 unpacked into $tools/$package" >&2
}

if [ $# = 0 ]; then
    echo "usage: scripts/tools.sh etcd|prometheus ..." >&2
    exit 2
fi
for name in "$@"; do
    describe "$name"
    present || fetch "$name"
done

#!/bin/sh
# All tests, with all that they need, on Debian 12 with Rust, as root.
#
#   integration/test.sh          everything: what CI runs
#   integration/test.sh quick    formatting, lints and tests; no packages, no benches, no demo
#
# Installs what is missing. Needs no network but package registries, and no standard input.
set -eu
cd "$(dirname "$0")/.."
exec </dev/null

started=$(date +%s)
# Prints what comes next, and how long everything took so far.
step() {
    elapsed=$(($(date +%s) - started))
    printf '\n=== %02d:%02d %s\n' $((elapsed / 60)) $((elapsed % 60)) "$*"
}

install_packages() {
    missing=
    while read -r program package; do
        PATH="/usr/bin:/usr/sbin:/bin:/sbin" command -v "$program" >/dev/null || missing="$missing $package"
    done <<'LIST'
skopeo skopeo
buildah buildah
podman podman
dockerd docker.io
docker docker.io
umoci umoci
docker-registry docker-registry
debootstrap debootstrap
newuidmap uidmap
taskset util-linux
git git
ssh-agent openssh-client
cc build-essential
cmake cmake
pip3 python3-pip
python3 python3
zstd zstd
xz xz-utils
bzip2 bzip2
ip iproute2
LIST
    # The busybox of the base system may need libraries; this one is a root file system by itself.
    dpkg-query -W -f '${Status}' busybox-static 2>/dev/null | grep -q 'ok installed' \
        || missing="$missing busybox-static"
    [ -n "$missing" ] || return 0
    # No daemon of a package is started: tests start their own, in their own directories.
    # shellcheck disable=SC2086 # a list of packages
    apt-get update -qq
    RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends $missing >/dev/null
}

# Tools that cargo and pip build or fetch, once; kept in target/.
install_tools() {
    tools="$PWD/target/tools"
    [ -x "$tools/bin/cargo-deny" ] || (
        # Outside the workspace: its flags for a static binary are not meant for tools.
        cd / && CARGO_TARGET_DIR="$tools/build" \
            cargo install --quiet --locked --debug --root "$tools" cargo-deny@0.20.2
        rm -rf "$tools/build"
    )
    [ -x "$tools/typos/bin/typos" ] || pip3 install --quiet --disable-pip-version-check \
        --root-user-action=ignore --target "$tools/typos" typos==1.52.0
    PATH="$tools/bin:$tools/typos/bin:$PATH"
}

if [ "${1:-}" != quick ]; then
    step "packages"
    install_packages
    step "tools"
    install_tools
fi

step "fmt"
cargo fmt --all --check

step "clippy"
# The profile of the tests, so that what is compiled serves both.
cargo clippy --locked --workspace --all-targets --profile ci -- -D warnings

step "the program under test"
# The whole workspace each time, though only one target: other features would build it all again.
cargo build --locked --workspace --profile ci --bin kiln
KILN_BIN=$(ls "$PWD"/target/*/ci/kiln | head -n 1)
export KILN_BIN

step "tests"
[ "${1:-}" = quick ] || export KILN_TESTS_STRICT=1 KILN_TESTS_ROUNDS=50
cargo test --locked --workspace --profile ci --no-fail-fast
[ "${1:-}" != quick ] || exit 0

step "doc"
RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --profile ci

step "deny, typos"
cargo deny check --hide-inclusion-graph licenses bans sources
typos

step "fuzzers, a minute"
integration/fuzz.sh frontend-dockerfile 15
integration/fuzz.sh registry 4

step "peers, smoke size"
cargo bench --locked --workspace --bench peers --profile ci -- --smoke

unset KILN_BIN
step "demo"
integration/demo.sh

step "all is well"

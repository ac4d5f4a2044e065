#!/bin/sh
# The main job, from a clean clone to an answer: build, push, pull, run.
#
# For Debian 12 with Rust, as root. Prints each command that it runs after a `$`, so that its
# output reads as a tutorial; needs no network but package registries. Leaves nothing but target/.
# KILN_BIN=… skips compiling.
set -eu
cd "$(dirname "$0")/.."
# One stream, so that answers stand below their commands.
exec 2>&1

say() { printf '\n# %s\n' "$*"; }
# Shows a command, then runs it.
show() { printf '$ %s\n' "$*"; "$@"; }

missing=
[ -x /bin/busybox ] || missing="$missing busybox-static"
command -v skopeo >/dev/null || missing="$missing skopeo"
if [ -n "$missing" ]; then
    say "Debian's busybox makes the base image, skopeo plays the foreign client"
    export DEBIAN_FRONTEND=noninteractive
    show apt-get update -qq
    # shellcheck disable=SC2086 # a list of packages
    show apt-get install -y -qq --no-install-recommends $missing
fi

if [ -n "${KILN_BIN:-}" ]; then
    PATH="$(dirname "$KILN_BIN"):$PATH"
else
    say "one program, without libraries"
    show cargo build --quiet --release --locked -p cli
    PATH="$(ls -d target/*/release | head -n 1):$PATH"
    PATH="$PWD/$PATH"
fi
export PATH

world=$(mktemp -d)
registry=
server=
clean_up() {
    for process in $server $registry; do
        kill "$process" 2>/dev/null && wait "$process" 2>/dev/null || true
    done
    rm -rf "$world"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# A state directory of our own; without it kiln uses /var/lib/kiln.
export KILN_ROOT="$world/kiln"

say "a base image without any registry: a root file system of one program"
mkdir -p "$world/rootfs/bin" "$world/rootfs/tmp"
cp /bin/busybox "$world/rootfs/bin/"
for applet in sh cat echo uname httpd; do ln -s busybox "$world/rootfs/bin/$applet"; done
tar -C "$world/rootfs" -cf "$world/rootfs.tar" .
show kiln import "$world/rootfs.tar" busybox

say "a registry of our own, in the background"
printf '$ kiln registry serve --addr 127.0.0.1:0 --storage %s &\n' "$world/registry"
kiln registry serve --addr 127.0.0.1:0 --storage "$world/registry" >"$world/registry.log" 2>&1 &
registry=$!
host=
tries=0
while [ -z "$host" ]; do
    host=$(grep -o '127\.0\.0\.1:[1-9][0-9]*' "$world/registry.log" | head -n 1 || true)
    tries=$((tries + 1))
    if [ "$tries" -gt 200 ]; then cat "$world/registry.log" >&2; exit 1; fi
    [ -n "$host" ] || sleep 0.05
done
cat "$world/registry.log"

say "build"
show kiln build --progress plain -t "$host/example:1" integration/example

say "build again: nothing to do"
show kiln build --progress plain -t "$host/example:1" integration/example

say "push"
show kiln push "$host/example:1"

say "pull with somebody else's client"
show skopeo --insecure-policy copy --src-tls-verify=false "docker://$host/example:1" "oci:$world/layout:1"

say "pull with kiln, into an empty store"
export KILN_ROOT="$world/elsewhere"
show kiln pull "$host/example:1"
show kiln images

say "run"
printf '$ kiln run --rm -p 8080:8080 %s &\n' "$host/example:1"
kiln run --rm -p 8080:8080 "$host/example:1" &
server=$!
printf '$ busybox wget -q -O - http://127.0.0.1:8080/\n'
tries=0
until /bin/busybox wget -q -O "$world/answer" http://127.0.0.1:8080/ 2>/dev/null; do
    tries=$((tries + 1))
    if [ "$tries" -gt 200 ]; then echo "no answer on port 8080" >&2; exit 1; fi
    sleep 0.05
done
cat "$world/answer"

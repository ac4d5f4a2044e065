#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs the fuzzers of a crate: integration/fuzz.sh CRATE [SECONDS [TARGET…]]
#
# CRATE is a directory that has `fuzz/`, SECONDS the time for each target (default 15); without
# TARGET all run. The exit code is that of the first target with a finding; the input is then in
# fuzz/artifacts. New inputs are collected in fuzz/target/corpus; what is in fuzz/corpus is read
# only. `fuzz/corpus/TARGET.also` names directories, from fuzz/ on, whose files are seeds too.
#
# Needs the stable toolchain and a C++ compiler for libFuzzer, nothing to install: the flags below
# are what `cargo fuzz` passes, without a sanitizer, because the parsers have no unsafe code to watch.
set -eu
cd "$(dirname "$0")/../$1/fuzz"
shift
seconds=${1:-15}
[ $# -gt 0 ] && shift
# shellcheck disable=SC2046  # names without blanks
[ $# -gt 0 ] || set -- $(sed -n '/^\[\[bin\]\]/,$ s/^name = "\(.*\)"$/\1/p' Cargo.toml)

RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4"
RUSTFLAGS="$RUSTFLAGS -Cllvm-args=-sanitizer-coverage-inline-8bit-counters"
RUSTFLAGS="$RUSTFLAGS -Cllvm-args=-sanitizer-coverage-pc-table"
RUSTFLAGS="$RUSTFLAGS -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1"
export RUSTFLAGS
cargo build --quiet --locked --release --target-dir target --target "$(rustc -vV | sed -n 's/^host: //p')"
programs=target/$(rustc -vV | sed -n 's/^host: //p')/release

for target; do
    seeds=corpus/$target
    [ -f "$seeds.also" ] && seeds="$seeds $(tr '\n' ' ' <"$seeds.also")"
    found=target/corpus/$target
    mkdir -p "$found" artifacts
    echo "fuzzing $target for $seconds s"
    # Slow inputs are findings too: nothing of 64 KiB may take a second.
    # shellcheck disable=SC2086  # several directories
    "$programs/$target" -max_total_time="$seconds" -max_len=65536 -timeout=10 -rss_limit_mb=2048 \
        -artifact_prefix="artifacts/$target-" -print_final_stats=1 -verbosity=0 \
        "$found" $seeds 2>&1 | tee "target/$target.log" | grep -E "^(stat::number_of|==|thread|SUMMARY)" || true
    if ls "artifacts/$target-"* >/dev/null 2>&1; then
        tail -n 40 "target/$target.log"
        echo "finding: $(ls "artifacts/$target-"*)" >&2
        exit 1
    fi
    grep -q "stat::number_of_executed_units" "target/$target.log" || { tail -n 40 "target/$target.log"; exit 1; }
done

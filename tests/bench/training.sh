#!/usr/bin/env bash
# Counts what the program runs how often, for the compiler to make what runs often fast (profile-guided
# optimisation): writes deploy/counts.profdata, which deploy/cargo-static.sh builds with.
#
#   tests/bench/training.sh HARNESS_DIR
#
# HARNESS_DIR is that of tests/bench/run.sh, whose load is what is counted: small and large requests, hashed and
# streamed, over HTTP/1.1 and HTTP/2. Needs llvm-profdata of the compiler's own LLVM version: that of
# `rustup component add llvm-tools`, or of the package llvm-22. Do it again when the way of a request has changed, or
# a crate on it: what has no counts is built like any other program, which is correct, and slower.
set -euo pipefail

harness=$(cd "${1:?where is the harness?}" && pwd)
cd "$(dirname "$0")/../.."
host=$(rustc -vV | sed -n 's/^host: //p')
llvm=$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
PATH=$(rustc --print sysroot)/lib/rustlib/$host/bin:/usr/lib/llvm-$llvm/bin:$PATH
if ! llvm-profdata --version 2>/dev/null | grep -q "version $llvm\."; then
  echo "training.sh: llvm-profdata of LLVM $llvm is missing: rustup component add llvm-tools" >&2
  exit 69
fi

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
# A folder of its own, since nothing built here is of use to another build.
CARGO_TARGET_DIR=$folder/target COUNTS_TO=$folder/counts deploy/cargo-static.sh build --release --locked --bin apig-proxy
# Each scenario for as long as the others; S5b is a small upload with nothing beside it, which HTTP/1.1 carries.
BENCH_BINARY=$folder/target/$host/release/apig-proxy BENCH_OUT=$folder/result.md \
  tests/bench/run.sh "$harness" --only ours --base ours --scenarios S1,S2,S3,S4,S5,S5b --rounds 1 --dur 3
# Not a sparse one: what is known never to have run is made small, and the program is a tenth smaller for it.
llvm-profdata merge -o deploy/counts.profdata "$folder/counts"

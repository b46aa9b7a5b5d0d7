#!/usr/bin/env bash
# Cargo, with the settings of the static binary:
#
#     deploy/cargo-static.sh build --release --locked --bin apig-proxy
#
# leaves it in target/<host>/release. It needs nothing of the system it runs on but the kernel, and holds no path of
# the machine that built it. The image is built with it, and so is what the checks use, so that both are the same.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
host=$(rustc -vV | sed -n 's/^host: //p')
case $host in
  *-linux-gnu) ;;
  *) echo "cargo-static.sh: the static binary is built on and for linux-gnu, not $host" >&2; exit 64 ;;
esac

flags=(
  -Ctarget-feature=+crt-static
  "--remap-path-prefix=$root=/src"
  "--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo"
)
# What is run often is made fast, by counts of what ran how often (tests/bench/training.sh). Only what is shipped is
# built so: elsewhere a function that has changed, and has no counts any more, would seem to have become slower.
# The counts are LLVM 22's; one of before cannot read them. COUNTS_TO, a folder, has the program count.
llvm=$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
if [[ -n ${COUNTS_TO:-} ]]; then
  flags+=("-Cprofile-generate=$COUNTS_TO")
elif [[ ${1:-} == build ]] && ((llvm >= 22)); then
  flags+=("-Cprofile-use=$root/deploy/counts.profdata")
fi

# With a target named, flags are for the program only, and not for build scripts, which cannot be static.
export CARGO_BUILD_TARGET=$host
CARGO_ENCODED_RUSTFLAGS=$(IFS=$'\x1f'; echo "${flags[*]}")
export CARGO_ENCODED_RUSTFLAGS
exec cargo "$@"

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

# With a target named, flags are for the program only, and not for build scripts, which cannot be static.
export CARGO_BUILD_TARGET=$host
separator=$'\x1f'
export CARGO_ENCODED_RUSTFLAGS="-Ctarget-feature=+crt-static${separator}--remap-path-prefix=$root=/src${separator}--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo"
exec cargo "$@"

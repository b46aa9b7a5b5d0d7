#!/usr/bin/env bash
# Cargo, with the settings of the static binary:
#
#     deploy/cargo-static.sh build --profile dist --locked --bin apig-proxy
#
# leaves it in target/<host>/dist. It needs nothing of the system it runs on but the kernel, and holds no path of
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
# Profile-guided optimisation (PGO), which release.sh does: PGO_GENERATE is the folder that the program writes its
# profile to, PGO_USE the merged profile that the compiler optimises by.
if [[ -n ${PGO_GENERATE:-} ]]; then
  flags+=("-Cprofile-generate=$PGO_GENERATE")
elif [[ -n ${PGO_USE:-} ]]; then
  flags+=("-Cprofile-use=$PGO_USE")
fi

# With a target named, flags are for the program only, and not for build scripts, which cannot be static.
export CARGO_BUILD_TARGET=$host
CARGO_ENCODED_RUSTFLAGS=$(IFS=$'\x1f'; echo "${flags[*]}")
export CARGO_ENCODED_RUSTFLAGS
exec cargo "$@"

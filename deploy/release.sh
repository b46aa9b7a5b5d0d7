#!/usr/bin/env bash
# Builds what is released, for the machine it runs on, into target/release-files:
#
#     deploy/release.sh              # the static binary
#     deploy/release.sh --packages   # and a .deb, an .rpm, an SBOM (CycloneDX) and checksums
#
# The static binary is optimised by a profile (PGO) of the load of tests/bench: small and large requests, hashed and
# streamed, over HTTP/1.1 and HTTP/2. That needs llvm-profdata of the compiler's LLVM version. Without it, the binary
# is built without a profile, which is correct and slower.
set -euo pipefail
cd "$(dirname "$0")/.."
host=$(rustc -vV | sed -n 's/^host: //p')
llvm=$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
arguments=(build --profile dist --locked --bin apig-proxy)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

PATH=$(rustc --print sysroot)/lib/rustlib/$host/bin:/usr/lib/llvm-$llvm/bin:$PATH
version=$(llvm-profdata merge --version 2>/dev/null || true)
builds=$target
if [[ $version == *"version $llvm."* ]]; then
  # A target folder of its own: nothing that is built with a profile is of use to another build.
  builds=$folder/target
  CARGO_TARGET_DIR=$builds PGO_GENERATE=$folder/profile deploy/cargo-static.sh "${arguments[@]}"
  # Every scenario for the same time. S5b has a small upload alone, which goes over HTTP/1.1.
  tests/bench/run.sh --binary "$builds/$host/dist/apig-proxy" --only apig-proxy --base apig-proxy \
    --scenarios S1,S2,S3,S4,S5,S5b,H2 --rounds 1 --dur 3 --warm 0 --foreign 9 --out "$folder/result.md"
  # Not a sparse profile: by what it has of functions that never ran, the compiler makes those small.
  llvm-profdata merge -o "$folder/merged.profdata" "$folder/profile"
  export PGO_USE=$folder/merged.profdata
else
  echo "release.sh: building without PGO: llvm-profdata of LLVM $llvm is missing" >&2
  echo "hint: run 'rustup component add llvm-tools', or install the package llvm-$llvm" >&2
fi
CARGO_TARGET_DIR=$builds deploy/cargo-static.sh "${arguments[@]}"
files=$target/release-files
install -D -m 0755 "$builds/$host/dist/apig-proxy" "$files/apig-proxy"
echo "release.sh: built $files/apig-proxy" >&2
[[ ${1:-} == --packages ]] || exit 0

for tool in cargo-deb cargo-generate-rpm cargo-cyclonedx; do
  command -v "$tool" >/dev/null || cargo install --debug --locked "$tool"
done

# What the packages hold, where [package.metadata.deb] and [package.metadata.generate-rpm] expect it.
package=target/package-files
rm -rf "$package"
mkdir -p "$package/man"
install -m 0755 "$files/apig-proxy" "$package/apig-proxy"
for unit in service socket; do
  sed 's|/usr/local/bin/|/usr/bin/|' "deploy/systemd/apig-proxy.$unit" >"$package/apig-proxy.$unit"
done
for shell in bash zsh fish; do
  "$files/apig-proxy" completions "$shell" >"$package/apig-proxy.$shell"
done
cargo run --quiet --locked --example man -- "$package/man"
gzip --best --no-name "$package"/man/*.1

cargo deb --no-build --no-strip --quiet --output "$files/"
cargo generate-rpm --output "$files/"
cargo cyclonedx --quiet --format json --override-filename apig-proxy.cdx
mv apig-proxy.cdx.json "$files/"
(cd "$files" && sha256sum apig-proxy apig-proxy.cdx.json ./*.deb ./*.rpm >SHA256SUMS)
echo "release.sh: packages are in $files" >&2

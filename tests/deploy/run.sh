#!/usr/bin/env bash
# Whether what is in deploy/ works: the image in containers, the units under a real systemd, the manifests against every
# version of Kubernetes, the alerts in unit tests. What is missing is installed.
#
#     deploy/release.sh --packages
#     tests/deploy/run.sh target/release-files/apig-proxy
binary=$(realpath "$1")
# shellcheck source=.ci/lib.sh
source "$(dirname "$0")/../../.ci/lib.sh"
here=tests/deploy

packages=(podman:podman runc:runc shellcheck:shellcheck promtool:prometheus openssl:openssl curl:curl
  systemd-analyze:systemd kubectl:kubernetes-client rpm:rpm)
[[ -e /usr/bin/catatonit || -e /usr/libexec/podman/catatonit ]] || packages+=(catatonit:catatonit)
need "${packages[@]}"

# checkov wants versions of its own.
for name in requirements requirements-checkov; do
  python3 -m venv "$work/$name"
  "$work/$name/bin/pip" install -q --disable-pip-version-check -r "$here/$name.txt"
done
python=$work/requirements/bin/python

if ldd "$binary" 2>/dev/null | grep -q '=>'; then
  echo "$binary is not static; build it with deploy/release.sh" >&2
  exit 1
fi
git ls-files -z '*.sh' .ci | xargs -0 shellcheck --external-sources
"$work/requirements/bin/hadolint" Dockerfile

failed=()
for check in "metrics" "manifests $work/requirements-checkov/bin/checkov" "image $binary" "pods $binary" "compose $binary" "units $binary" \
  "packages $(dirname "$binary")"; do
  read -ra words <<<"$check"
  printf '\n--> %s\n' "${words[0]}"
  "$python" "$here/${words[0]}.py" "${words[@]:1}" || failed+=("${words[0]}")
done
if ((${#failed[@]})); then
  echo "failed: ${failed[*]}" >&2
  exit 1
fi

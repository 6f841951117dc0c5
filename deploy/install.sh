#!/usr/bin/env bash
# Installs the packages of deploy/packages.txt that are missing: install.sh KIND... with kinds build, test.
# As root, or with sudo. Touches the network only when something is missing.
set -euo pipefail
cd "$(dirname "$0")"
[ $# -gt 0 ] || { echo "usage: $0 build|test..." >&2; exit 2; }

missing=()
for kind in "$@"; do
  while read -r package; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done < <(awk -v kind="$kind" '$1 == kind {print $2}' packages.txt)
done
if [ ${#missing[@]} -eq 0 ]; then
  echo "all packages are there"
  exit 0
fi

run=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo > /dev/null; then
    echo "error: these packages are missing, and neither root nor sudo is at hand: ${missing[*]}" >&2
    echo "  do this: as root, apt-get install ${missing[*]}" >&2
    exit 1
  fi
  run=(sudo)
fi
echo "installing ${#missing[@]} packages: ${missing[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# env after sudo: sudo drops the environment.
apt() { "${run[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o Dpkg::Use-Pty=0 -o Acquire::Retries=3 "$@" > "$log" 2>&1; }
apt update -q || { cat "$log" >&2; echo "error: apt-get update failed" >&2; exit 1; }
apt install -y -q --no-install-recommends "${missing[@]}" || {
  cat "$log" >&2
  echo "error: apt-get install failed" >&2
  exit 1
}

#!/bin/sh
# Installs GreenIsland from this bundle, without any network: ./install.sh [DIRECTORY]     default: /opt/greenisland
# Every file is checked against SHA256SUMS, every wheel against the lock's hashes as well.
set -eu
cd "$(dirname "$0")"
target=${1:-/opt/greenisland}
[ "$(uname -m)" = "$(cat ARCHITECTURE)" ] || {
  echo "this bundle is for $(cat ARCHITECTURE), this machine is $(uname -m)" >&2
  exit 1
}
sha256sum --check --quiet SHA256SUMS
python3 -c 'import sys; sys.exit(None if sys.version_info[:2] == (3, 11) else "these wheels are for Python 3.11, as Debian 12 has it")'
python3 -m venv "$target"
"$target/bin/pip" install --quiet --disable-pip-version-check --no-index --find-links wheels --require-hashes -r runtime.lock
"$target/bin/pip" install --quiet --disable-pip-version-check --no-index --no-deps --force-reinstall wheels/greenisland-*.whl
"$target/bin/greenisland" --help >/dev/null
mkdir -p "$target/share/greenisland"
cp -R deploy docs grafana docker-compose.yml "$target/share/greenisland/"
echo "installed: $target/bin/greenisland; what belongs around it: $target/share/greenisland; read docs/guide/install.md"

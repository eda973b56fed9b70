#!/bin/sh
# The second reader of envelopes. `run.sh install` fetches the pinned packages beside this file; `run.sh decrypt`
# reads rows on standard input and writes what they hold. Must never need anything of Sealgate's.
set -eu
cd "$(dirname "$0")"

# The stamp comes last, so that an interrupted installation starts afresh.
install_python() {
    [ "$(sha256sum <requirements.txt)" = "$(cat .venv/.installed 2>/dev/null)" ] && return
    rm -rf .venv
    python3 -m venv .venv
    .venv/bin/pip install -q --disable-pip-version-check --require-hashes -r requirements.txt >&2
    sha256sum <requirements.txt >.venv/.installed
}

case "${1:-}" in
    install) install_python ;;
    decrypt) install_python && exec .venv/bin/python decryptor.py ;;
    *) echo "usage: run.sh install | decrypt" >&2; exit 2 ;;
esac

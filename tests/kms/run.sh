#!/bin/sh
# A stand-in for AWS KMS: moto, unmodified. `run.sh install` fetches the pinned versions beside this file;
# `run.sh serve PORT` runs it until it is ended.
set -eu
cd "$(dirname "$0")"

# The stamp comes last, so that an interrupted installation starts afresh.
install() {
    [ "$(sha256sum <requirements.txt)" = "$(cat .venv/.installed 2>/dev/null)" ] && return
    rm -rf .venv
    python3 -m venv .venv
    .venv/bin/pip install -q --disable-pip-version-check --require-hashes -r requirements.txt >&2
    sha256sum <requirements.txt >.venv/.installed
}

case "${1:-}" in
    install) install ;;
    serve)
        install
        # The installation may need an outgoing proxy; calls to this machine must not take that detour.
        unset HTTP_PROXY HTTPS_PROXY ALL_PROXY http_proxy https_proxy all_proxy
        exec .venv/bin/moto_server -H 127.0.0.1 -p "$2"
        ;;
    *) echo "usage: run.sh install | serve PORT" >&2; exit 2 ;;
esac

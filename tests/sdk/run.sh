#!/bin/sh
# Official SDKs, unmodified. `run.sh install` fetches the pinned versions beside this file;
# `run.sh NAME`, the name of a script here, makes its trip against SEALGATE_URL with SEALGATE_KEY,
# and with SEALGATE_REFUSED_KEY, whose secret the provider refuses. `run.sh example FILE` runs one
# of `examples/` with the same packages.
set -eu
cd "$(dirname "$0")"

# `FOLDER LIST`: true where the folder was filled from this very list. The stamp comes last, so that
# an interrupted installation starts afresh. `.ci/install` keeps the same stamps.
stands() { [ "$(sha256sum <"$2")" = "$(cat "$1/.installed" 2>/dev/null)" ]; }
stamp() { sha256sum <"$2" >"$1/.installed"; }

install_python() {
    stands .venv requirements.txt && return
    rm -rf .venv
    python3 -m venv .venv
    .venv/bin/pip install -q --disable-pip-version-check --require-hashes -r requirements.txt >&2
    stamp .venv requirements.txt
}

install_node() {
    stands node_modules package-lock.json && return
    npm ci --no-audit --no-fund --ignore-scripts --loglevel=error >&2
    stamp node_modules package-lock.json
}

# One at a time: whoever is second finds it done.
install() {
    if command -v flock >/dev/null && [ -z "${SEALGATE_SDK_LOCKED:-}" ]; then
        SEALGATE_SDK_LOCKED=1 flock .lock ./run.sh install
    else
        install_python && install_node
    fi
}

# The installation may need an outgoing proxy; calls to this machine must not take that detour.
straight() {
    unset HTTP_PROXY HTTPS_PROXY ALL_PROXY http_proxy https_proxy all_proxy
    exec "$@"
}

# From a folder of its own, where it finds the packages beside it and nothing else.
example() {
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    cp "../../examples/$1" "$folder/"
    ln -s "$PWD/node_modules" "$folder/node_modules"
    case "$1" in
        *.py) (straight .venv/bin/python "$folder/$1") ;;
        *.mjs) (straight node "$folder/$1") ;;
        *.sh) (straight sh "$folder/$1") ;;
        *) echo "run.sh: no way to run $1" >&2; exit 2 ;;
    esac
}

case "${1:-}" in
    install) install ;;
    *_py) install && straight .venv/bin/python "$1.py" ;;
    *_js) install && straight node "$1.mjs" ;;
    example) install && example "$2" ;;
    *) echo "usage: run.sh install | NAME_py | NAME_js | example FILE" >&2; exit 2 ;;
esac

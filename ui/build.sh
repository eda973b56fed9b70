#!/bin/sh
# Builds the console into dist/, where its sources have changed since; the binary embeds what lies there.
# `build.sh check` fails if dist/ is not of these sources, `build.sh types DESCRIPTION` writes the types of the API
# anew, `build.sh types-check DESCRIPTION` fails if they are stale. Must never touch a tracked file but for `types`.
set -eu
cd "$(dirname "$0")"

install_node() {
    [ "$(sha256sum <package-lock.json)" = "$(cat node_modules/.installed 2>/dev/null)" ] && return
    npm ci --no-audit --no-fund --ignore-scripts --loglevel=error >&2
    sha256sum <package-lock.json >node_modules/.installed
}

case "${1:-}" in
    "")
        node scripts/stamp.mjs check >/dev/null 2>&1 && exit 0
        install_node
        echo "console: building" >&2
        npx --no-install tsc --noEmit
        npx --no-install vite build --logLevel warn
        node scripts/pack.mjs
        ;;
    check) exec node scripts/stamp.mjs check ;;
    types | types-check)
        install_node
        exec node scripts/types.mjs "$1" "$2"
        ;;
    *) echo "usage: build.sh [check | types DESCRIPTION | types-check DESCRIPTION]" >&2; exit 2 ;;
esac

#!/bin/sh
# The example page and the console in Debian's Chromium. `run.sh install` fetches what drives it, in the pinned
# version; `run.sh chart` opens the page at PAGE against SEALGATE_URL, `run.sh console` walks the console at ADMIN_URL.
set -eu
cd "$(dirname "$0")"

install_node() {
    [ "$(sha256sum <package-lock.json)" = "$(cat node_modules/.installed 2>/dev/null)" ] && return
    PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 npm ci --no-audit --no-fund --ignore-scripts --loglevel=error >&2
    sha256sum <package-lock.json >node_modules/.installed
}

case "${1:-}" in
    install) install_node ;;
    chart | console)
        install_node
        # The installation may need an outgoing proxy; calls to this machine must not take that detour.
        unset HTTP_PROXY HTTPS_PROXY ALL_PROXY http_proxy https_proxy all_proxy
        exec node "$1_trip.mjs"
        ;;
    *) echo "usage: run.sh install | chart | console" >&2; exit 2 ;;
esac

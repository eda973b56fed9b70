#!/bin/sh
# Who is told of alerts, played by others' programs, unmodified: the reference library of Standard Webhooks checks
# signatures, aiosmtpd takes e-mail. `run.sh install` fetches the pinned versions beside this file; `run.sh verify`
# reads lines of JSON and checks each; `run.sh mail PORT [CERT KEY]` takes mail until it is ended.
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
    verify | mail)
        # Two tests that begin at once install one after the other.
        exec 9>.lock
        flock 9
        install
        flock -u 9
        exec .venv/bin/python "$1.py" "$@"
        ;;
    *) echo "usage: run.sh install | verify | mail PORT [CERT KEY]" >&2; exit 2 ;;
esac

#!/bin/sh
# Daily prices with curl: the provider's own path behind its name, a client key in the place of the provider's.
# SEALGATE_URL is where the proxy is (http://127.0.0.1:8080), SEALGATE_KEY a client key (mdw_…).
set -eu

# The key comes from standard input, so that no list of processes shows it.
ask() { printf 'header = "Authorization: Bearer %s"\n' "$SEALGATE_KEY" | curl -sS --fail-with-body -K - "$@"; }

page="$SEALGATE_URL/polygon/v2/aggs/ticker/AAPL/range/1/day/2026-01-01/2026-01-31"
while [ -n "$page" ]; do
    answer=$(ask "$page")
    echo "$answer" | grep -o '"c":[0-9.]*'
    # It leads back through Sealgate, so it is followed as it stands.
    page=$(echo "$answer" | sed -n 's/.*"next_url": *"\([^"]*\)".*/\1/p')
done

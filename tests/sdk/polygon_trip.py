"""The unmodified polygon-api-client: base URL and key are the only two strings that differ."""

import json
import os
import sys

from polygon import RESTClient
from polygon.exceptions import BadResponse

BASE = os.environ["SEALGATE_URL"] + "/polygon"
KEY = os.environ["SEALGATE_KEY"]


def client(key):
    return RESTClient(api_key=key, base=BASE, retries=0)


def same(what, got, wanted):
    if got != wanted:
        sys.exit(f"{what}: got {got!r}, wanted {wanted!r}")


aggs = list(client(KEY).list_aggs("AAPL", 1, "day", "2024-01-01", "2024-01-31", limit=2))
same("three pages of two", len(aggs), 6)
same("volumes", [agg.volume for agg in aggs], [101234567, 58414460] * 3)
same("each page once", [agg.transactions for agg in aggs][::2], [10081, 10082, 10083])

ticker = client(KEY).get_ticker_details("AAPL")
same("details", ticker.ticker, "AAPL")

try:
    list(client("mdw_" + "0" * 46).list_aggs("AAPL", 1, "day", "2024-01-01", "2024-01-31"))
except BadResponse as refused:
    same("its own error with Sealgate's code", json.loads(str(refused))["code"], "unauthorized")
else:
    sys.exit("a wrong key was let through")

print("polygon-api-client: three pages, details, wrong key: as ever")

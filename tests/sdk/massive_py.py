"""The unmodified massive client: base URL and key are the only two strings that differ."""

import json

from massive import RESTClient
from massive.exceptions import BadResponse

from trip import BASE, KEY, REFUSED, STRANGER, raised, same, told


def aggs(key):
    client = RESTClient(api_key=key, base=f"{BASE}/massive", retries=0)
    return list(client.list_aggs("AAPL", 1, "day", "2024-01-01", "2024-01-31", limit=2))


pages = aggs(KEY)
same("three pages of two", len(pages), 6)
same("volumes", [agg.volume for agg in pages], [101234567, 58414460] * 3)
same("each page once", [agg.transactions for agg in pages][::2], [10081, 10082, 10083])

client = RESTClient(api_key=KEY, base=f"{BASE}/massive", retries=0)
same("details", client.get_ticker_details("AAPL").ticker, "AAPL")
# Nanoseconds do not fit into a double.
same("to the nanosecond", client.get_last_trade("AAPL").sip_timestamp, 1704207600123456789)

wrong = raised("a wrong key", BadResponse, lambda: aggs(STRANGER))
same("Sealgate's own code", json.loads(str(wrong))["code"], "unauthorized")
refused = raised("a refused key", BadResponse, lambda: aggs(REFUSED))
same("the provider's own words", json.loads(str(refused))["error"], "Unknown API Key")

told("massive", "three pages, details, nanoseconds")

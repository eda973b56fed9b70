"""Daily prices with polygon-api-client, and with massive, its successor: base URL and key differ, nothing else.

SEALGATE_URL is where the proxy is (http://127.0.0.1:8080), SEALGATE_KEY a client key (mdw_…).
"""

import os

import massive
import polygon

URL, KEY = os.environ["SEALGATE_URL"], os.environ["SEALGATE_KEY"]

for name, package in [("polygon", polygon), ("massive", massive)]:
    client = package.RESTClient(api_key=KEY, base=f"{URL}/{name}")
    # Pages are followed by the client itself.
    bars = list(client.list_aggs("AAPL", 1, "day", "2026-01-01", "2026-01-31"))
    print(f"{name}: {len(bars)} bars, the last at {bars[-1].close}")

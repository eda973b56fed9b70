"""The unmodified fmpsdk: it has no base-URL argument, so the constant of its module is set."""

import fmpsdk.client
from fmpsdk.exceptions import FMPAuthenticationError

from trip import BASE, KEY, REFUSED, STRANGER, raised, same, told

fmpsdk.client.BASE_URL = f"{BASE}/fmp/stable/"


def client(key):
    return fmpsdk.client.Client(api_key=key, max_retries=0)


same("a search", client(KEY).search_symbol("AAPL")[0]["symbol"], "AAPL")
same("a quote", client(KEY).quote.quote("AAPL")[0]["price"], 187.15)
# Comma-separated values pass as they are.
rows = client(KEY).profile_bulk("0")
same("a table", [row["symbol"] for row in rows], ["AAPL", "MSFT"])
titles = [client(KEY).news_stock_latest(page=page)[0]["title"] for page in range(3)]
same("three pages", titles, ["Page 1", "Page 2", "Page 3"])

wrong = raised("a wrong key", FMPAuthenticationError, lambda: client(STRANGER).quote.quote("A"))
same("Sealgate's own code", "unauthorized" in wrong.response_text, True)
refused = raised("a refused key", FMPAuthenticationError, lambda: client(REFUSED).quote.quote("A"))
same("the provider's own words", "Invalid API KEY" in refused.response_text, True)

told("fmpsdk", "search, quote, table, three pages")

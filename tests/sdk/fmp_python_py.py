"""The unmodified fmp-python: no base-URL argument either; and it looks at no status."""

import fmp_python.common.requestbuilder
from fmp_python.fmp import FMP

from trip import BASE, KEY, REFUSED, STRANGER, same, told

fmp_python.common.requestbuilder.BASE_URL = f"{BASE}/fmp/api/v3"

same("a quote", FMP(api_key=KEY).get_quote_short("AAPL")[0]["price"], 187.15)
# A caret in the path, as it stands.
same("an index", FMP(api_key=KEY).get_index_quote("GSPC")[0]["symbol"], "^GSPC")
table = FMP(api_key=KEY, output_format="pandas").get_quote("MSFT")
same("a table", list(table["symbol"]), ["MSFT"])

# It raises nothing for any status: what it hands on must be JSON, and say what is wrong.
same("a wrong key", FMP(api_key=STRANGER).get_quote_short("AAPL")["code"], "unauthorized")
refused = FMP(api_key=REFUSED).get_quote_short("AAPL")
same("a refused key", refused["Error Message"].startswith("Invalid API KEY"), True)

told("fmp-python", "quote, index, table")

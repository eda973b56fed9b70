"""The unmodified alpaca-py: URL and key differ; the second half of the pair may be any text."""

from datetime import datetime

from alpaca.common.exceptions import APIError
from alpaca.data.historical import CryptoHistoricalDataClient, StockHistoricalDataClient
from alpaca.data.requests import CryptoLatestBarRequest, StockBarsRequest
from alpaca.data.timeframe import TimeFrame
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import OrderSide, TimeInForce
from alpaca.trading.requests import MarketOrderRequest

from trip import BASE, KEY, REFUSED, STRANGER, raised, same, told

URL = f"{BASE}/alpaca"


def trading(key):
    return TradingClient(key, "unused", url_override=URL)


account = trading(KEY).get_account()
same("an account", (account.account_number, account.cash), ("1000000001", "100000"))
order = MarketOrderRequest(
    symbol="AAPL", qty=1, side=OrderSide.BUY, time_in_force=TimeInForce.DAY
)
placed = trading(KEY).submit_order(order)
same("an order", (placed.symbol, placed.qty, placed.status.value), ("AAPL", "1", "accepted"))
# 204 and no body.
same("a cancelled order", trading(KEY).cancel_order_by_id(placed.id), None)

# Another host behind the same route.
data = StockHistoricalDataClient(KEY, "unused", url_override=URL)
wanted = StockBarsRequest(
    symbol_or_symbols="AAPL", timeframe=TimeFrame.Day, start=datetime(2026, 1, 1)
)
bars = data.get_stock_bars(wanted)["AAPL"]
same("three pages of two", [bar.open for bar in bars][::2], [186.1, 186.2, 186.3])
crypto = CryptoHistoricalDataClient(KEY, "unused", url_override=URL)
latest = crypto.get_crypto_latest_bar(CryptoLatestBarRequest(symbol_or_symbols="BTC/USD"))
same("crypto", latest["BTC/USD"].close, 96050.5)

wrong = raised("a wrong key", APIError, lambda: trading(STRANGER).get_account())
same("its own error with Sealgate's code", (wrong.status_code, wrong.code), (401, "unauthorized"))
refused = raised("a refused key", APIError, lambda: trading(REFUSED).get_account())
same("the provider's own code", (refused.status_code, refused.code), (401, 40110000))

told("alpaca-py", "account, order, three pages, crypto")

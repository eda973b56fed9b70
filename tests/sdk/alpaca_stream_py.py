"""The unmodified streams of alpaca-py: data in MessagePack, trading in JSON; URL and key are all that differ."""

import asyncio

from alpaca.data.live import StockDataStream
from alpaca.trading.stream import TradingStream

from trip import BASE, KEY, REFUSED, STRANGER, raised, same, told

HOST = BASE.split("://")[1]


def data(key):
    return StockDataStream(
        key, "unused", raw_data=True, url_override=f"ws://{HOST}/alpaca/v2/iex"
    )


def trading(key):
    return TradingStream(
        key, "unused", raw_data=True, url_override=f"ws://{HOST}/alpaca/stream"
    )


def heard(stream, subscribe):
    messages = []

    async def take(message):
        messages.append(message)
        await stream.stop_ws()

    subscribe(stream, take)
    stream.run()
    return messages


trades = heard(data(KEY), lambda stream, take: stream.subscribe_trades(take, "AAPL"))
same("one trade", [(trade["S"], trade["p"]) for trade in trades], [("AAPL", 187.15)])
updates = heard(trading(KEY), lambda stream, take: stream.subscribe_trade_updates(take))
same("one update", [update["data"]["event"] for update in updates], ["new"])


async def begin(stream):
    try:
        await stream._connect()
        await stream._auth()
    finally:
        await stream.close()


for what, key in [("a wrong key", STRANGER), ("a refused key", REFUSED)]:
    refused = raised(what, ValueError, lambda: asyncio.run(begin(data(key))))
    same("the provider's own words", str(refused), "auth failed")
    raised(what, ValueError, lambda: asyncio.run(begin(trading(key))))

told("alpaca-py", "a trade in MessagePack, an update of trading")

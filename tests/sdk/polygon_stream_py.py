"""The unmodified stream of polygon-api-client: host and key are all that differ."""

from polygon import WebSocketClient
from polygon.exceptions import AuthError

from trip import BASE, KEY, REFUSED, STRANGER, raised, same, told

HOST = BASE.split("://")[1]


class Enough(Exception):
    """A stream has no end of its own."""


def trades(key):
    heard = []

    def take(messages):
        heard.extend(messages)
        raise Enough

    client = WebSocketClient(
        api_key=key,
        feed=f"{HOST}/polygon",
        market="stocks",
        subscriptions=["T.AAPL"],
        secure=False,
        max_reconnects=0,
    )
    try:
        client.run(take)
    except Enough:
        pass
    return heard


heard = trades(KEY)
same("one trade", [(trade.symbol, trade.price, trade.size) for trade in heard], [("AAPL", 187.15, 100)])

raised("a wrong key", AuthError, lambda: trades(STRANGER))
raised("a refused key", AuthError, lambda: trades(REFUSED))

told("polygon-api-client", "a trade by its stream")

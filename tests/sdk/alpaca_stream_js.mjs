// The unmodified streams of @alpacahq/alpaca-trade-api: data in MessagePack, trading in JSON; URL
// and key are all that differ.

import assert from "node:assert/strict";

import { streaming } from "@alpacahq/alpaca-trade-api";

import { base, key, refused, stranger, told } from "./trip.mjs";

const host = base.replace("http", "ws");
const options = (keyId, path) => ({
  credentials: { keyId, secret: "unused" },
  url: `${host}/alpaca/${path}`,
  reconnect: false,
});
const data = (keyId) => new streaming.StockDataStream(options(keyId, "v2/iex"));
const trading = (keyId) => new streaming.TradingStream(options(keyId, "stream"));

async function isLetIn(stream) {
  stream.on(streaming.EVENT.CLIENT_ERROR, () => {});
  stream.connect();
  return stream.waitForAuthenticationResult(5_000);
}

const prices = data(key);
const trade = new Promise((resolve) => prices.onTrade(resolve));
assert.equal((await isLetIn(prices)).authenticated, true);
prices.subscribeForTrades(["AAPL"]);
const { symbol, price } = await trade;
assert.deepEqual([symbol, price], ["AAPL", 187.15]);
prices.disconnect();

const updates = trading(key);
const update = new Promise((resolve) => updates.onTradeUpdate(resolve));
assert.equal((await isLetIn(updates)).authenticated, true);
updates.subscribeTradeUpdates();
assert.equal((await update).event, "new");
updates.disconnect();

for (const keyId of [stranger, refused]) {
  for (const stream of [data(keyId), trading(keyId)]) {
    const { authenticated, message } = await isLetIn(stream);
    assert.equal(authenticated, false);
    assert.match(message, /auth failed/, `${stream.constructor.name} with ${keyId.slice(0, 8)}`);
    stream.disconnect();
  }
}

told("@alpacahq/alpaca-trade-api", "a trade in MessagePack, an update of trading");

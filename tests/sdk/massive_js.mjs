// The unmodified @massive.com/client-js: base URL and key are the only two strings that differ.

import assert from "node:assert/strict";
import { restClient } from "@massive.com/client-js";
import { base, key, refused, stranger, told } from "./trip.mjs";

// Its pagination calls the `next_url` of an answer as it stands, with the key behind it.
const client = (apiKey) => restClient(apiKey, `${base}/massive`, { pagination: true });
const range = { multiplier: 1, timespan: "day", from: "2024-01-01", to: "2024-01-31" };
const days = (apiKey) => client(apiKey).getStocksAggregates({ stocksTicker: "AAPL", ...range });

const aggregates = await days(key);
const body = aggregates.data ?? aggregates;
assert.equal(body.results.length, 6);
assert.deepEqual(body.results.map((bar) => bar.n).filter((n) => n < 20000).sort(), [
  10081, 10082, 10083,
]);

// The colon of a ticker is escaped in the path.
const crypto = await client(key).getCryptoAggregates({ cryptoTicker: "X:BTCUSD", ...range });
assert.equal((crypto.data ?? crypto).ticker, "X:BTCUSD");

for (const [apiKey, word] of [[stranger, "unauthorized"], [refused, "Unknown API Key"]]) {
  await assert.rejects(days(apiKey), (error) => {
    assert.equal(error.response?.status ?? error.status, 401, String(error));
    assert.ok(JSON.stringify(error.response?.data ?? error).includes(word), JSON.stringify(error));
    return true;
  });
}

told("@massive.com/client-js", "three pages, escaped ticker");

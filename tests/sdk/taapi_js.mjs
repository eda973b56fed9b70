// The unmodified taapi package: its host is fixed, so the axios that it shares with us is told to
// ask Sealgate instead.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { base, key, refused, stranger, told } from "./trip.mjs";

const require = createRequire(import.meta.url);
const axios = require("axios");
const Taapi = require("taapi").default;

axios.interceptors.request.use((request) => {
  request.url = request.url.replace("https://api.taapi.io", `${base}/taapi`);
  return request;
});

// The key stands in the query.
const client = new Taapi(key);
const rsi = await client.getIndicator("rsi", "BTC/USDT", "1h");
assert.equal(rsi.value, 61.37158910236);
assert.deepEqual(await client.getExchangeSymbols("crypto", "binance"), [
  "BTC/USDT",
  "ETH/USDT",
  "SOL/USDT",
]);

// The key stands in the body.
client.addCalculation("rsi", "BTC/USDT", "1h", "rsi-now");
client.addCalculation("macd", "BTC/USDT", "1h", "macd-now");
const bulk = await client.executeBulk();
const ids = (bulk.data ?? bulk).map((calculation) => calculation.id);
assert.deepEqual(ids, ["rsi-now", "macd-now"]);

for (const [secret, word] of [[stranger, "unauthorized"], [refused, "Invalid API secret."]]) {
  const other = new Taapi(secret);
  other.addCalculation("rsi", "BTC/USDT", "1h", "rsi-now");
  const calls = [() => other.getIndicator("rsi", "BTC/USDT", "1h"), () => other.executeBulk()];
  for (const call of calls) {
    await assert.rejects(call, (error) => {
      assert.ok(axios.isAxiosError(error), String(error));
      assert.equal(error.response.status, 401);
      assert.ok(JSON.stringify(error.response.data).includes(word));
      return true;
    });
  }
}

told("taapi", "indicator, list, key in the body");

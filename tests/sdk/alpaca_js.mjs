// The unmodified @alpacahq/alpaca-trade-api: its API classes take a base path; the second half of
// the pair may be any text.

import assert from "node:assert/strict";
import { AuthError, marketData, pagination, trading } from "@alpacahq/alpaca-trade-api";
import { base, key, refused, stranger, told } from "./trip.mjs";

const pair = (keyId) => ({ basePath: `${base}/alpaca`, keyId, secret: "unused" });
const accounts = (keyId) => new trading.AccountsApi(new trading.Configuration(pair(keyId)));
const stocks = new marketData.StockApi(new marketData.Configuration(pair(key)));

const account = await accounts(key).getAccount();
assert.equal(account.accountNumber, "1000000001");

// Another host behind the same route.
const bars = await pagination.collectBySymbol(async (pageToken) => {
  const page = await stocks.stockBars({ symbols: "AAPL", timeframe: "1Day", pageToken });
  return { data: page.bars, nextPageToken: page.nextPageToken };
});
assert.equal(bars.AAPL.length, 6);

for (const [keyId, code] of [[stranger, "unauthorized"], [refused, 40110000]]) {
  await assert.rejects(accounts(keyId).getAccount(), (error) => {
    assert.ok(error instanceof AuthError, String(error));
    assert.equal(error.status ?? error.response.status, 401);
    assert.equal(error.code, code);
    return true;
  });
}

told("@alpacahq/alpaca-trade-api", "account, three pages");

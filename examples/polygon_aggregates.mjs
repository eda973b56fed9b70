// Daily prices with @polygon.io/client-js: base URL and key differ, nothing else.
//
// SEALGATE_URL is where the proxy is (http://127.0.0.1:8080), SEALGATE_KEY a client key (mdw_…).

import { restClient } from "@polygon.io/client-js";

const { SEALGATE_URL, SEALGATE_KEY } = process.env;

// With `pagination` the client follows the pages by itself.
const polygon = restClient(SEALGATE_KEY, `${SEALGATE_URL}/polygon`, { pagination: true });
const answer = await polygon.getStocksAggregates("AAPL", 1, "day", "2026-01-01", "2026-01-31");
const bars = (answer.data ?? answer).results;
console.log(`polygon: ${bars.length} bars, the last at ${bars.at(-1).c}`);

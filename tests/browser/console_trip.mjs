// The console in Chromium against a real house: operators come in by password and code, every screen in both schemes and
// two widths, the way from a provider's key to the first call, a key that turns bad and is rolled back, a history fetched,
// alerts told and acknowledged, a pool of keys, reports read, one record found, the trail verified, the seal set and
// broken; and that nothing typed is anywhere afterwards. No violation of the policy, no error in the console, no failed request, no serious finding of axe. SCREENSHOTS=FOLDER keeps pictures
// of every screen, ONLY=a,b walks these steps; ONLY=pace takes the time of each screen with RECORDS=N records behind it.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { somebodyIsToldOfAlerts } from "./console/alerts.mjs";
import { anIdleSessionIsWarnedOf, fresh, oneSignsInAndOut, operatorsComeAndGo, signInAnew, theFirstOperatorIsMade, thePasswordIsChanged } from "./console/door.mjs";
import { aKeyToComeIsExplained, nothingOddBreaksAScreen } from "./console/odd.mjs";
import { everyScreenIsThereWithinASecond } from "./console/pace.mjs";
import { aPoolIsShared } from "./console/pool.mjs";
import { reportsAreRead } from "./console/reports.mjs";
import { browser, call, faults, gate, go, house, inside, judge, leaveAll, meeting, nowhere, open, settled } from "./console/walk.mjs";

const { ACME_PORT } = process.env;

// What nobody may find again.
const GOOD = "acme-good-0123456789-abcdefghijkl";
const BAD = "acme-bad-00000000000-abcdefghijkl";
const NEXT = "acme-next-0123456789-abcdefghijkl";
const LAST = "acme-last-0123456789-abcdefghijkl";
const LEFT = "acme-left-0123456789-abcdefghijkl";
const RIGHT = "acme-right-012345678-abcdefghijkl";
const good = new Set([GOOD, NEXT, LAST, LEFT, RIGHT]);

/** Days of trade and what was paid on them, the same each time; some are missing. */
function* days(ticker, from, to) {
  let price = 40 + ([...ticker].reduce((sum, sign) => sum * 31 + sign.charCodeAt(0), 7) % 160);
  let seed = price;
  const dice = () => (seed = (seed * 16807) % 2147483647) / 2147483647;
  for (let at = Date.UTC(2024, 0, 2); at < to; at += 86_400_000) {
    const [open, close] = [price, Math.max(price * (1 + (dice() - 0.485) * 0.04), 2)];
    const [high, low] = [Math.max(open, close) * (1 + dice() * 0.012), Math.min(open, close) * (1 - dice() * 0.012)];
    price = close;
    const isTraded = ticker.startsWith("X:") || ![0, 6].includes(new Date(at).getUTCDay());
    const isLost = ticker === "IBM" && (at - Date.UTC(2025, 5, 2)) / 86_400_000 < 12 && at >= Date.UTC(2025, 5, 2);
    if (isTraded && !isLost && at >= from) yield { t: at, o: +open.toFixed(2), h: +high.toFixed(2), l: +low.toFixed(2), c: +close.toFixed(2), v: Math.round(1e6 * (0.4 + dice())) };
  }
}

function candles(path) {
  const [, ticker, from, to] = decodeURIComponent(path).match(/^\/v2\/aggs\/ticker\/([^/]+)\/range\/1\/day\/([^/]+)\/([^/?]+)/);
  const time = (text) => (/^\d+$/.test(text) ? Number(text) : Date.parse(text));
  return { status: "OK", ticker, results: [...days(ticker, time(from), Math.min(time(to), Date.now()))] };
}

const acme = createServer((request, response) => {
  const isGood = good.has(request.headers["x-acme-key"]);
  response.writeHead(isGood ? 200 : 401, { "Content-Type": "application/json" });
  const answer = isGood && request.url.startsWith("/v2/aggs/") ? candles(request.url) : { ok: true };
  response.end(JSON.stringify(isGood ? answer : { error: "unknown key" }));
});
await new Promise((listening) => acme.listen(Number(ACME_PORT), "127.0.0.1", listening));

async function aDayOfTraffic() {
  const keys = [];
  for (const [name, more] of [["research notebook", { tier: "premium" }], ["pricing service", { tier: "unlimited" }], ["night batch", { limit: 40, expires_at: new Date(Date.now() + 9 * 86_400_000).toISOString() }], ["partner page", { role: "guest", scopes: ["sandbox:GET:/v2/aggs/**"], allowed_ips: ["127.0.0.0/8"], allowed_origins: ["https://partner.example"], monthly_quota: 5000 }]]) {
    keys.push(await call("POST", "/api/v1/admin/api-keys", { name, owner: "desk", ...more }));
  }
  const path = "/sandbox/v2/aggs/ticker/AAPL/range/1/day/2026-01-05/2026-01-09";
  for (let at = 0; at < 120; at += 1) {
    const { key, role } = keys[at % 7 === 0 ? 2 : at % 3 === 0 ? 0 : at % 11 === 0 ? 3 : 1];
    const where = at % 17 === 0 ? "/sandbox/v9/nothing" : at % 29 === 0 ? "/polygon/v1/marketstatus/now" : path;
    await (await fetch(gate + where, { headers: { "X-API-Key": key, ...(role === "guest" ? { Origin: "https://partner.example" } : {}) } })).arrayBuffer();
  }
  return keys;
}

/** The wizard: a wrong shape, a bad key, a good one; then a client key, its snippet and its first call. */
async function aKeyIsAdded(ada) {
  const { context, page } = await open({ signedIn: ada.state });
  await page.goto(`${house}/console/secrets/new?provider=acme`);
  const field = page.getByLabel("API key");
  await field.waitFor();
  for (const [typed, hint] of [["Bearer x", /Leave out the word/], ["sk-ant-api03-abcdefgh", /looks like a key of Anthropic/], [`"${GOOD}"`, /quotation marks/], [` ${GOOD}`, /blank/]]) {
    await field.fill(typed);
    assert.match(await page.locator(".shape").first().innerText(), hint, typed);
  }
  const typed = [];
  page.on("request", (request) => typed.push([request.url(), request.method(), request.postData() ?? ""]));
  // Nothing leaves the page before it is asked to.
  await field.fill(BAD);
  await page.waitForTimeout(300);
  assert.ok(!typed.some(([url, , body]) => `${url}${body}`.includes(BAD)));
  await judge(page, "secret-enter");
  await page.getByRole("button", { name: "Check and seal" }).click();
  await page.getByText("acme refused it").waitFor();
  assert.equal(await field.inputValue(), "");
  await judge(page, "secret-refused");
  await field.fill(GOOD);
  await page.getByRole("button", { name: "Check and seal" }).click();
  await page.getByText("is sealed and in service").waitFor();
  await judge(page, "secret-sealed");
  await nowhere(page, GOOD, BAD);
  // It left twice, each time in the body of the one call that stores it.
  const left = typed.filter(([url, , body]) => `${url}${body}`.includes(GOOD) || `${url}${body}`.includes(BAD));
  assert.deepEqual(left.map(([url, method]) => [method, new URL(url).pathname]), [["POST", "/api/v1/admin/secrets"], ["POST", "/api/v1/admin/secrets"]]);

  await page.getByRole("link", { name: "Create a client key" }).click();
  await page.getByLabel("Name").fill("first caller");
  await page.getByRole("button", { name: "Create the key" }).click();
  const key = (await page.locator(".key-line code").innerText()).trim();
  assert.match(key, /^mdw_[0-9A-Za-z]{46}$/);
  await judge(page, "key-shown");
  const url = (await page.locator(".code-block pre").innerText()).match(/'(http[^']+)'/)[1];
  // What the settings say; a test's house listens on a port that they do not know.
  assert.match(url, /^http:\/\/127\.0\.0\.1:8080\//);
  const answer = await fetch(url.replace(/^http:\/\/[^/]+/, gate), { headers: { "X-API-Key": key } });
  assert.equal(answer.status, 200, url);
  await page.getByRole("link", { name: "Watch for its first call" }).click();
  await page.locator(".calls").getByText("/acme/").first().waitFor();
  await nowhere(page, key);
  await context.close();
  return key;
}

/** A bad new key is refused at entry; one that turns bad under way is rolled back, and no caller notices. */
async function aKeyTurnsBad(ada, key) {
  const { context, page } = await open({ signedIn: ada.state });
  await page.goto(`${house}/console/secrets`);
  await page.getByRole("row", { name: /acme/ }).getByRole("link").first().click();
  await page.getByRole("button", { name: "Replace" }).click();
  const dialog = page.getByRole("dialog").filter({ hasText: "Replace this key" });
  const field = dialog.getByLabel("API key");
  await field.fill(BAD);
  await meeting([422], async () => {
    await dialog.getByRole("button", { name: "Check and begin" }).click();
    await dialog.locator(".step-bad").waitFor();
  });
  await judge(page, "rotation-refused");
  const pace = async (name) => {
    await dialog.getByRole("combobox", { name: "How fast" }).click();
    await page.getByRole("option", { name }).click();
  };
  await field.fill(NEXT);
  await pace(/^10, 100 %/);
  await dialog.getByRole("button", { name: "Check and begin" }).click();
  await page.getByRole("heading", { name: "A new key is taking over" }).waitFor();
  await nowhere(page, NEXT, BAD);
  const calls = {};
  let goOn = true;
  const calling = (async () => {
    while (goOn) {
      const answer = await fetch(`${gate}/acme/v1/me`, { headers: { "X-API-Key": key } });
      await answer.arrayBuffer();
      calls[answer.status] = (calls[answer.status] ?? 0) + 1;
      await new Promise((later) => setTimeout(later, 15));
    }
  })();
  await judge(page, "rotation-under-way");
  await page.getByRole("button", { name: "Pause" }).click();
  await page.getByText("held until somebody lets it go on").waitFor();
  await page.getByRole("button", { name: "Go on" }).click();
  await page.getByRole("button", { name: "Pause" }).waitFor();
  good.delete(NEXT);
  await page.getByRole("heading", { name: "The new key was rolled back" }).waitFor({ timeout: 40_000 });
  await page.locator(".panel p.text-bad").first().waitFor();
  goOn = false;
  await calling;
  assert.deepEqual(Object.keys(calls), ["200"], JSON.stringify(calls));
  assert.ok(calls[200] > 20);
  await judge(page, "rotation-rolled-back");

  // One that has leaked: asked once more, with the name and a fresh code.
  await page.getByRole("button", { name: "Replace" }).click();
  await field.fill(LAST);
  await pace(/^at once/);
  await dialog.getByRole("button", { name: "Replace at once" }).click();
  const sure = page.getByRole("dialog").filter({ hasText: "Destroy the former key now?" });
  await sure.waitFor();
  assert.ok(await sure.getByRole("button", { name: "Replace and destroy" }).isDisabled());
  await judge(page, "rotation-at-once");
  await sure.getByLabel("Type default to confirm").fill("default");
  await meeting([401, 403], async () => {
    await sure.getByRole("button", { name: "Replace and destroy" }).click();
    await fresh(page, ada);
    await page.getByText("The new key serves all calls").waitFor();
  });
  good.delete(GOOD);
  const answer = await fetch(`${gate}/acme/v1/me`, { headers: { "X-API-Key": key } });
  assert.equal(answer.status, 200);
  await nowhere(page, LAST, NEXT, GOOD, BAD);
  ada.state = await context.storageState();
  await context.close();
}

/** A symbol is tracked, its history fetched, and looked at; one has no provider's key, and says so. */
async function aHistoryIsFetched(ada) {
  for (const { symbol } of (await call("GET", "/api/v1/admin/symbols")).items) await call("PUT", `/api/v1/admin/symbols/${symbol}`, { provider: "acme" });
  await call("POST", "/api/v1/admin/symbols", { symbol: "TSLA", provider: "polygon" });
  const { context, page } = await open({ signedIn: ada.state });
  await page.goto(`${house}/console/market`);
  await page.getByText("No run yet").waitFor();
  await judge(page, "market-none");
  await page.getByRole("button", { name: "Track a symbol" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Symbol").fill("ibm");
  await dialog.getByRole("combobox", { name: "Its history comes from" }).fill("acme");
  await page.getByRole("option", { name: /acme/i }).click();
  await judge(page, "market-track");
  await dialog.getByRole("button", { name: "Track it" }).click();
  await page.getByRole("heading", { name: "IBM" }).waitFor();
  await judge(page, "symbol-none");
  await page.goto(`${house}/console/market`);
  await page.getByRole("button", { name: "Fetch all" }).click();
  await page.getByRole("heading", { name: "Run" }).waitFor();
  await page.getByText(/1 of \d+ symbols failed/).waitFor({ timeout: 60_000 });
  await judge(page, "market-run");
  await page.getByRole("link", { name: "IBM" }).click();
  await page.locator(".candles svg").waitFor();
  assert.ok((await page.locator(".candles svg .candle-up, .candles svg .candle-down").count()) > 100);
  await page.locator(".candles svg").focus();
  await page.keyboard.press("Home");
  const first = await page.locator(".candle-words strong").innerText();
  await page.keyboard.press("ArrowRight");
  assert.notEqual(await page.locator(".candle-words strong").innerText(), first);
  await judge(page, "symbol");
  await page.getByRole("button", { name: "Earlier" }).click();
  await page.waitForURL(/to=/);
  await page.locator(".candles svg").waitFor();
  await go(page, "/market");
  await settled(page);
  await judge(page, "market");
  await context.close();
}

async function aKeyIsRevoked(ada) {
  const { context, page } = await open({ signedIn: ada.state });
  await page.goto(`${house}/console/keys?q=night`);
  await page.getByRole("link", { name: "night batch" }).click();
  await page.getByRole("button", { name: "Revoke" }).click();
  await page.getByText(/In use: \d+ call/).waitFor();
  await judge(page, "key-revoke");
  await page.getByRole("dialog").getByRole("button", { name: "Revoke" }).click();
  await page.getByRole("button", { name: "Restore" }).waitFor();
  await page.getByLabel("Path behind the proxy").fill("/acme/v1/me");
  await page.getByRole("button", { name: "Try" }).click();
  await page.locator(".explained").waitFor();
  await context.close();
}

/** The record of one call by its id; the trail verified; what is shown taken away as a file. */
async function oneRecordIsFound(ada, key) {
  const answer = await fetch(`${gate}/acme/v1/me?find=this`, { headers: { "X-API-Key": key } });
  const id = answer.headers.get("x-request-id");
  const { context, page } = await open({ signedIn: ada.state });
  await page.goto(`${house}/console/audit`);
  await page.getByLabel("Request id").fill(id);
  await page.waitForURL(new RegExp(`request_id=${id}`));
  await page.getByText("1 record shown").waitFor();
  await page.locator(".records .as-link").first().click();
  const record = page.getByRole("dialog");
  await record.getByText(id).first().waitFor();
  await record.getByText("In the chain").waitFor();
  await page.waitForTimeout(300);
  await judge(page, "record");
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: "Verify" }).click();
  await page.getByText(/It holds: /).waitFor({ timeout: 60_000 });
  await judge(page, "audit-verified");
  const taken = async (menu, item) => {
    await page.getByRole("button", { name: menu }).click();
    const [file] = await Promise.all([page.waitForEvent("download"), page.getByRole("menuitem", { name: item, exact: true }).click()]);
    const chunks = [];
    for await (const chunk of await file.createReadStream()) chunks.push(chunk);
    return Buffer.concat(chunks).toString();
  };
  const lines = (await taken("Export", "JSON Lines")).split("\n").filter((line) => line.includes(id));
  assert.equal(lines.length, 1, "the filter of the screen is the filter of the file");
  await go(page, "/usage?by=client&range=1h");
  await settled(page);
  await page.getByText("pricing service").first().waitFor();
  assert.match(await taken("Export", "CSV"), /^client,requests[^]*pricing service,\d+/);
  assert.ok(JSON.parse(await taken("Export", "JSON")).some((row) => row.name === "pricing service"));
  await context.close();
}

/** Everything in one file, sent to this browser, by a fresh code; and a key that is destroyed within its five minutes. */
async function whatHurtsAsksForACode(ada) {
  const { context, page } = await open({ signedIn: ada.state });
  await page.goto(`${house}/console/security/backups`);
  await settled(page);
  await page.getByRole("button", { name: "Make a backup" }).click();
  const dialog = page.getByRole("dialog").filter({ hasText: "Make a backup" });
  await dialog.getByRole("combobox", { name: "It is" }).click();
  await page.getByRole("option", { name: "sent to this browser" }).click();
  await dialog.getByLabel("Or a passphrase").fill("seven lanterns above the mill");
  await judge(page, "backup-make");
  await meeting([401, 403], async () => {
    const sent = page.waitForEvent("download", { timeout: 60_000 });
    await dialog.getByRole("button", { name: "Make it" }).click();
    await fresh(page, ada);
    assert.match((await sent).suggestedFilename(), /\.backup\.age$/);
  });
  await nowhere(page, "seven lanterns above the mill");
  await go(page, "/secrets");
  await page.getByRole("row", { name: /acme/ }).getByRole("link").first().click();
  await page.getByRole("button", { name: "More actions" }).click();
  await page.getByRole("menuitem", { name: "Destroy" }).click();
  await page.getByLabel("Type default to confirm").fill("default");
  await judge(page, "secret-destroy");
  await page.getByRole("dialog").getByRole("button", { name: "Destroy" }).click();
  await page.getByText("Destroyed. Its records stay.").waitFor();
  ada.state = await context.storageState();
  await context.close();
}

async function theSealIsSetAndBroken(ada) {
  const { context, page } = await open({ signedIn: ada.state });
  await page.goto(`${house}/console/security/seal`);
  await page.getByRole("button", { name: "Seal now" }).click();
  await page.getByLabel("Type seal to confirm").fill("seal");
  // What is closed while it is sealed answers 503, which is no fault here.
  await meeting([503], async () => {
    await page.getByRole("dialog").getByRole("button", { name: "Seal" }).click();
    await page.getByRole("heading", { name: "Sealed" }).waitFor();
    await judge(page, "sealed");
    await go(page, "/secrets");
    await page.getByText("cannot be read while Sealgate is sealed").waitFor();
    await judge(page, "sealed-secrets");
    // What is not known is no nought.
    await go(page, "/");
    await page.locator(".panel").filter({ hasText: "Traffic" }).getByText("cannot be read while Sealgate is sealed").waitFor();
    await judge(page, "sealed-dashboard");
    // Whoever comes now finds the door shut, and may unseal with an admin key.
    const stranger = await open();
    await stranger.page.goto(`${house}/console/`);
    await stranger.page.getByRole("heading", { name: "Sealed" }).waitFor();
    await judge(stranger.page, "door-sealed");
    await stranger.page.getByRole("button", { name: "Unseal with an admin key" }).click();
    await stranger.page.getByLabel("Admin key").fill(process.env.SEALGATE_KEY);
    await stranger.page.getByRole("button", { name: "Continue" }).click();
    await stranger.page.getByRole("heading", { name: "Unseal" }).waitFor();
    await stranger.page.getByLabel("Passphrase").waitFor();
    await judge(stranger.page, "door-unseal");
    await nowhere(stranger.page, process.env.SEALGATE_KEY);
    await stranger.context.close();
    await go(page, "/security/seal");
    await page.getByRole("button", { name: "Unseal" }).last().click();
    await page.getByRole("heading", { name: "Open" }).waitFor();
  });
  await go(page, "/secrets");
  await page.getByRole("row", { name: /sandbox|acme/i }).first().or(page.getByText("No provider key yet")).first().waitFor();
  await context.close();
}

async function everyScreen(ada, keys) {
  const [secret] = (await call("GET", "/api/v1/admin/secrets")).items;
  const screens = {
    dashboard: "/", secrets: "/secrets", secret: `/secrets/${secret.id}`, add: "/secrets/new", catalogue: "/providers",
    provider: "/providers/sandbox", keys: "/keys", key: `/keys/${keys[0].id}`, "key-new": "/keys/new?provider=polygon", usage: "/usage?range=1h",
    "alerts-history": "/alerts/history", "alerts-rules": "/alerts/rules", audit: "/audit", "audit-none": "/audit?request_id=nobody-sent-this", hierarchy: "/security/keys", seal: "/security/seal", access: "/security/access", backups: "/security/backups", lost: "/nowhere",
  };
  const { context, page } = await open({ signedIn: ada.state });
  await page.goto(`${house}/console/`);
  await inside(page);
  for (const [name, path] of Object.entries(screens)) {
    await go(page, path);
    await settled(page);
    if (name === "secret") {
      await page.getByRole("button", { name: "Check now" }).click();
      await page.getByText("This key is good").waitFor();
    }
    await judge(page, name);
  }
  await page.setViewportSize({ width: 380, height: 780 });
  await go(page, "/");
  await settled(page);
  await page.getByRole("button", { name: "Open the menu" }).click();
  await page.getByRole("dialog").getByRole("link", { name: "Catalogue" }).waitFor();
  await page.waitForTimeout(300);
  await judge(page, "menu");
  await context.close();
}

/** Every request is answered by the house alone, and the page can be put into no other one. */
async function theEdges() {
  const first = await fetch(`${house}/console/keys/anything`);
  const again = await fetch(`${house}/console/`);
  const nonce = (answer) => answer.headers.get("content-security-policy").match(/'nonce-([^']+)'/)[1];
  assert.notEqual(nonce(first), nonce(again));
  assert.equal(first.headers.get("cache-control"), "no-store");
  const text = await first.text();
  assert.ok(text.includes(`nonce="${nonce(first)}"`));
  const script = text.match(/src="(\/console\/assets\/[^"]+\.js)"/)[1];
  const file = await fetch(house + script);
  assert.match(file.headers.get("cache-control"), /immutable/);
  assert.ok(["br", "gzip"].includes(file.headers.get("content-encoding")));
  assert.equal((await fetch(`${house}/console/assets/nothing.js`)).status, 404);
  assert.equal((await fetch(`${house}/api/v1/nothing`)).headers.get("content-type"), "application/json");
  assert.equal((await fetch(`${house}/keys`)).status, 404);
}

const only = process.env.ONLY?.split(",");
/** A step that fails is told, and the others are walked all the same. */
async function walk(name, ada, step) {
  if (only && !only.includes(name)) return undefined;
  const begun = Date.now();
  const before = faults.length;
  try {
    return await step();
  } catch (fault) {
    faults.push(`${name}: ${fault?.stack ?? fault}`);
    await leaveAll(name);
    await signInAnew(ada).catch(() => undefined);
    return undefined;
  } finally {
    console.log([`${name}: ${((Date.now() - begun) / 1000).toFixed(1)} s`, ...faults.slice(before)].join("\n  "));
  }
}

try {
  await theEdges();
  const ada = await theFirstOperatorIsMade();
  const keys = await aDayOfTraffic();
  const key = await walk("added", ada, () => aKeyIsAdded(ada));
  await walk("door", ada, () => oneSignsInAndOut(ada));
  await walk("operators", ada, () => operatorsComeAndGo(ada));
  await walk("rotation", ada, () => aKeyTurnsBad(ada, keys[1].key));
  await walk("market", ada, () => aHistoryIsFetched(ada));
  await walk("alerts", ada, () => somebodyIsToldOfAlerts(ada));
  await walk("pool", ada, () => aPoolIsShared(ada, [["left", LEFT], ["right", RIGHT]]));
  await walk("reports", ada, () => reportsAreRead(ada));
  await walk("odd", ada, () => nothingOddBreaksAScreen(ada));
  await walk("explained", ada, () => aKeyToComeIsExplained(ada));
  await walk("screens", ada, () => everyScreen(ada, keys));
  await walk("record", ada, () => oneRecordIsFound(ada, key ?? keys[1].key));
  await walk("revoked", ada, () => aKeyIsRevoked(ada));
  await walk("idle", ada, () => anIdleSessionIsWarnedOf(ada));
  await walk("password", ada, () => thePasswordIsChanged(ada));
  await walk("hurts", ada, () => whatHurtsAsksForACode(ada));
  await walk("seal", ada, () => theSealIsSetAndBroken(ada));
  if (only) await walk("pace", ada, () => everyScreenIsThereWithinASecond(ada, keys));
} catch (fault) {
  faults.push(String(fault?.stack ?? fault));
} finally {
  await browser.close();
  acme.close();
}
if (faults.length > 0) {
  console.error(`${faults.length} faults:\n${faults.join("\n")}`);
  process.exit(1);
}
console.log("console: every screen, no violation, no error, no finding");

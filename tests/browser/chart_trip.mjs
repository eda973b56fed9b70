// The example page in Chromium: its chart from a listed origin, its kind words from one that is not, and
// what a page may try beyond what it was given. SCREENSHOTS=FOLDER keeps pictures of it.

import assert from "node:assert/strict";
import { chromium } from "playwright-core";

const { SEALGATE_URL: gate, SEALGATE_KEY: key, PAGE, PAGE_OTHER_HOST, PAGE_OTHER_PORT, SCREENSHOTS } = process.env;
const aggs = `${gate}/sandbox/v2/aggs/ticker/AAPL/range/1/week/2025-01-05/2026-01-04`;

const chrome = process.env.CHROMIUM ?? "/usr/bin/chromium";
// Its own sandbox needs a user who may make namespaces, which root in a container may not.
const args = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--no-first-run"];
const browser = await chromium.launch({ executablePath: chrome, args, timeout: 60_000 });

async function open(url, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1000, height: 760 }, ...options });
  const page = await context.newPage();
  const sent = [];
  const faults = [];
  page.on("request", (request) => sent.push(request));
  page.on("pageerror", (fault) => faults.push(String(fault)));
  await page.goto(url);
  await page.waitForSelector('#figure[aria-busy="false"]', { timeout: 20_000 });
  return { context, page, sent, faults };
}

const picture = async (page, name) => {
  if (SCREENSHOTS) await page.screenshot({ path: `${SCREENSHOTS}/${name}.png`, fullPage: true });
};

// What a page is told of a call: its status and code, or nothing at all.
const tries = (page, url, options = {}) =>
  page.evaluate(
    async ([url, options]) => {
      try {
        const answer = await fetch(url, options);
        return { status: answer.status, code: answer.headers.get("X-Sealgate-Error") };
      } catch (fault) {
        return fault.name;
      }
    },
    [url, options],
  );

async function theChartIsDrawn() {
  const { context, page, sent, faults } = await open(PAGE);
  assert.equal(await page.getAttribute("#figure", "data-state"), "drawn", await page.textContent("#note"));
  const drawn = (await page.getAttribute(".price-line", "points")).split(" ");
  const answer = await page.evaluate(async (url) => (await fetch(url)).json(), aggs);
  assert.equal(drawn.length, answer.results.length);
  assert.equal(await page.locator("#rows tr").count(), answer.results.length);
  // The highest price is drawn highest.
  const closes = answer.results.map((bar) => bar.c);
  const heights = drawn.map((point) => Number(point.split(",")[1]));
  assert.equal(heights.indexOf(Math.min(...heights)), closes.indexOf(Math.max(...closes)));
  assert.equal(await page.textContent("#price"), closes.at(-1).toFixed(2));
  assert.match(await page.textContent("#foot"), /with no key.*\d+ calls are left/);
  for (const request of sent) {
    const headers = await request.allHeaders();
    for (const name of ["authorization", "x-api-key", "cookie"]) assert.equal(headers[name], undefined);
    assert.ok([PAGE, gate, "data:"].some((home) => request.url().startsWith(home)), request.url());
    assert.notEqual(request.method(), "OPTIONS");
  }
  await page.focus("#plot");
  await page.keyboard.press("ArrowLeft");
  assert.match(await page.textContent(".tip"), /Week of/);
  await picture(page, "wide-light");
  assert.deepEqual(faults, []);
  await context.close();

  for (const [name, options] of [
    ["wide-dark", { colorScheme: "dark" }],
    ["narrow-light", { viewport: { width: 360, height: 720 } }],
    ["narrow-dark", { viewport: { width: 360, height: 720 }, colorScheme: "dark" }],
  ]) {
    const { context, page } = await open(PAGE, options);
    const overflows = () => document.documentElement.scrollWidth > document.documentElement.clientWidth;
    assert.equal(await page.evaluate(overflows), false, `${name} must not scroll sideways`);
    await picture(page, name);
    await context.close();
  }
}

async function othersAreRefusedKindly() {
  for (const [name, url] of [["refused", PAGE_OTHER_HOST], ["refused-port", PAGE_OTHER_PORT]]) {
    const { context, page, faults } = await open(url);
    assert.equal(await page.getAttribute("#figure", "data-state"), "refused");
    assert.equal(await page.locator(".price-line").count(), 0);
    const note = await page.textContent("#note");
    assert.ok(note.includes("This page may not read prices") && note.includes(`origin = "${url}"`), note);
    assert.deepEqual(faults, []);
    await picture(page, name);
    await context.close();
  }
  const { context, page } = await open(PAGE_OTHER_HOST, { colorScheme: "dark", viewport: { width: 360, height: 720 } });
  await picture(page, "refused-narrow-dark");
  // With a key or without: nothing of an answer reaches a page that is not listed.
  const nothing = "TypeError";
  assert.equal(await tries(page, aggs), nothing);
  assert.equal(await tries(page, aggs, { headers: { "X-API-Key": key } }), nothing);
  assert.equal(await tries(page, aggs, { headers: { Authorization: `Bearer ${key}` } }), nothing);
  assert.equal(await tries(page, `${aggs}?apiKey=${key}`), nothing);
  assert.equal(await tries(page, aggs, { method: "POST", body: "x" }), nothing);
  assert.equal(await tries(page, `${gate}/api/v1/me`), nothing);
  await context.close();
}

async function aListedPageGetsNoFurther() {
  const { context, page } = await open(PAGE);
  const denied = { status: 403, code: "forbidden" };
  const nothing = "TypeError";
  assert.deepEqual(await tries(page, aggs), { status: 200, code: null });
  // Another route, another provider, another way to write the path.
  for (const path of ["/sandbox/v3/reference/tickers/AAPL", "/polygon/v2/aggs/x", "/sandbox/v2%2Faggs/x"]) {
    assert.deepEqual(await tries(page, gate + path), denied, path);
  }
  // A method that writes is not among those that the browser is told, and one is slipped past the question.
  assert.equal(await tries(page, aggs, { method: "DELETE" }), nothing);
  assert.deepEqual(await tries(page, aggs, { method: "POST", body: "x" }), denied);
  // Headers that a page may set but not send here.
  for (const name of [
    "X-Forwarded-For", "Forwarded", "X-Real-IP", "X-HTTP-Method-Override", "X-Method-Override",
    "X-Sealgate-Secret", "X-Original-URL",
  ]) {
    assert.equal(await tries(page, aggs, { headers: { [name]: "127.0.0.1" } }), nothing, name);
  }
  // Headers that it cannot set at all: the browser goes on as if they had not been written.
  const forged = { Origin: "https://else.example", Host: "else.example", "Sec-Fetch-Site": "none" };
  assert.deepEqual(await tries(page, aggs, { headers: forged }), { status: 200, code: null });
  // Cookies open nothing, and an answer to a call with them cannot be read.
  await page.evaluate(() => (document.cookie = "sealgate_session=x; path=/"));
  assert.equal(await tries(page, aggs, { credentials: "include" }), nothing);
  // A wrong key does not turn into a guest.
  const wrong = { headers: { "X-API-Key": `mdw_${"0".repeat(46)}` } };
  assert.deepEqual(await tries(page, aggs, wrong), { status: 401, code: "unauthorized" });
  // With a key the key says which methods there are.
  assert.deepEqual(await tries(page, aggs, { ...wrong, method: "DELETE" }), { status: 401, code: "unauthorized" });
  // A frame without an origin of its own is nobody.
  await page.goto(`${PAGE}/outer.html`);
  const framed = await page.evaluate(
    (url) =>
      new Promise((resolve) => {
        addEventListener("message", (event) => resolve([event.origin, event.data]));
        const frame = document.createElement("iframe");
        frame.sandbox = "allow-scripts";
        frame.src = `frame.html#${url}`;
        document.body.append(frame);
      }),
    aggs,
  );
  assert.deepEqual(framed, ["null", "TypeError"]);
  await context.close();
}

try {
  await theChartIsDrawn();
  await othersAreRefusedKindly();
  await aListedPageGetsNoFurther();
} finally {
  await browser.close();
}
console.log("chromium: drawn, refused, no further");

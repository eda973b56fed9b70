// The console in Chromium against a real house: every screen in both schemes and two widths, the way from a provider's
// key to the first call, and that a typed key is nowhere afterwards. No violation of the policy, no error in the
// console, no failed request, no serious finding of axe. SCREENSHOTS=FOLDER keeps pictures of every screen.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const { ADMIN_URL: house, SEALGATE_URL: gate, SEALGATE_KEY: adminKey, ACME_PORT, SCREENSHOTS } = process.env;
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

// What nobody may find again.
const GOOD = "acme-good-0123456789-abcdefghijkl";
const BAD = "acme-bad-00000000000-abcdefghijkl";

const acme = createServer((request, response) => {
  const good = request.headers["x-acme-key"] === GOOD;
  response.writeHead(good ? 200 : 401, { "Content-Type": "application/json" });
  response.end(JSON.stringify(good ? { ok: true } : { error: "unknown key" }));
});
if (ACME_PORT) await new Promise((listening) => acme.listen(Number(ACME_PORT), "127.0.0.1", listening));

const args = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--no-first-run"];
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args, timeout: 60_000 });

const faults = [];
const sizes = { wide: { width: 1440, height: 900 }, narrow: { width: 380, height: 780 } };

async function open(options = {}) {
  const context = await browser.newContext({ viewport: sizes.wide, ...options });
  await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: house });
  const page = await context.newPage();
  page.on("console", (said) => {
    if (said.type() === "error" || /Content Security Policy/i.test(said.text())) {
      faults.push(`${page.url()}: ${said.text()} ${said.location().url}`);
    }
  });
  page.on("pageerror", (fault) => faults.push(`${page.url()}: ${fault}`));
  page.on("requestfailed", (request) => {
    // A stream that its own page let go of.
    if (request.failure()?.errorText !== "net::ERR_ABORTED") faults.push(`${request.url()}: ${request.failure()?.errorText}`);
  });
  page.on("response", (response) => {
    if (response.status() >= 400) faults.push(`${response.request().method()} ${response.url()}: ${response.status()}`);
  });
  return { context, page };
}

const call = async (method, path, body) => {
  const headers = { "X-API-Key": adminKey, ...(body ? { "Content-Type": "application/json" } : {}) };
  const answer = await fetch(house + path, { method, headers, body: body && JSON.stringify(body) });
  const text = await answer.text();
  assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${text}`);
  return text ? JSON.parse(text) : null;
};

// By a key where the house has no operators yet; it is kept in the page's memory, so that each page signs in anew.
async function signIn(page, path = "/console/") {
  await page.goto(house + path);
  await page.getByLabel("Admin key").fill(adminKey);
  const around = page.getByRole("button", { name: "Only look around with this key" });
  if (await around.count()) await around.click();
  else await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("navigation", { name: "Main" }).or(page.getByRole("button", { name: "Open the menu" })).first().waitFor();
}

/** Within the page, so that what it holds in its memory stays. */
const go = (page, path) =>
  page.evaluate((path) => {
    history.pushState({}, "", `/console${path}`);
    dispatchEvent(new PopStateEvent("popstate"));
  }, path);

async function settled(page) {
  await page.waitForFunction(() => !document.querySelector(".loading, .bone") && document.querySelector("h1"), null, { timeout: 15_000 });
  await page.waitForTimeout(150);
}

async function judge(page, name) {
  await page.evaluate(axe);
  const found = await page.evaluate(async () => {
    const { violations } = await axe.run(document, { resultTypes: ["violations"] });
    return violations.filter(({ impact }) => impact === "serious" || impact === "critical").map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map((node) => `${node.html.slice(0, 160)} ${node.any[0]?.message ?? ""}`).join(" | ")}`);
  });
  for (const finding of found) faults.push(`axe, ${name}: ${finding}`);
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  if (wide > 0) faults.push(`${name} scrolls sideways by ${wide}`);
  if (SCREENSHOTS) await page.screenshot({ path: `${SCREENSHOTS}/${name}.png`, fullPage: true });
}

async function aDayOfTraffic() {
  const keys = [];
  for (const [name, more] of [["research notebook", { tier: "premium" }], ["pricing service", { tier: "unlimited" }], ["night batch", { limit: 40, expires_at: new Date(Date.now() + 9 * 86_400_000).toISOString() }], ["partner page", { role: "guest", scopes: ["sandbox:GET:/v2/aggs/**"], allowed_ips: ["127.0.0.0/8"], monthly_quota: 5000 }]]) {
    keys.push(await call("POST", "/api/v1/admin/api-keys", { name, owner: "desk", ...more }));
  }
  const path = "/sandbox/v2/aggs/ticker/AAPL/range/1/day/2026-01-05/2026-01-09";
  for (let at = 0; at < 120; at += 1) {
    const { key } = keys[at % 7 === 0 ? 2 : at % 3 === 0 ? 0 : at % 11 === 0 ? 3 : 1];
    const where = at % 17 === 0 ? "/sandbox/v9/nothing" : at % 29 === 0 ? "/polygon/v1/marketstatus/now" : path;
    await (await fetch(gate + where, { headers: { "X-API-Key": key } })).arrayBuffer();
  }
  return keys;
}

/** Whether a text is anywhere that outlives its typing: the page, its storage, its address, its history. */
const remains = (page, text) =>
  page.evaluate(async (text) => {
    const places = { page: document.documentElement.outerHTML, address: location.href, local: JSON.stringify(localStorage), session: JSON.stringify(sessionStorage), cookies: document.cookie, state: JSON.stringify(history.state) };
    const inputs = [...document.querySelectorAll("input, textarea")].map((input) => input.value).join(" ");
    const stores = (await indexedDB.databases()).map(({ name }) => name).join(" ");
    const caches = (await globalThis.caches?.keys())?.join(" ") ?? "";
    return Object.entries({ ...places, inputs, stores, caches }).filter(([, held]) => held.includes(text)).map(([name]) => name);
  }, text);

async function aKeyIsAdded() {
  const { context, page } = await open();
  await signIn(page, "/console/secrets/new?provider=acme");
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
  for (const text of [GOOD, BAD]) assert.deepEqual(await remains(page, text), [], text);
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
  assert.deepEqual(await remains(page, key), []);
  await context.close();
}

async function aKeyIsRevoked() {
  const { context, page } = await open();
  await signIn(page, "/console/keys?q=night");
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

async function theSealIsSetAndBroken() {
  const { context, page } = await open();
  await signIn(page, "/console/security/seal");
  await page.getByRole("button", { name: "Seal now" }).click();
  await page.getByLabel("Type seal to confirm").fill("seal");
  const before = faults.length;
  await page.getByRole("dialog").getByRole("button", { name: "Seal" }).click();
  await page.getByRole("heading", { name: "Sealed" }).waitFor();
  await judge(page, "sealed");
  await go(page, "/secrets");
  await page.getByText("cannot be read while Sealgate is sealed").waitFor();
  await judge(page, "sealed-secrets");
  await go(page, "/security/seal");
  await page.getByRole("button", { name: "Unseal" }).click();
  await page.getByRole("heading", { name: "Open" }).waitFor();
  // What is closed while it is sealed answers 503, which is no fault here.
  const expected = /503|status of 503/;
  faults.splice(before, faults.length, ...faults.slice(before).filter((fault) => !expected.test(fault)));
  await context.close();
}

async function everyScreen(keys) {
  const [secret] = (await call("GET", "/api/v1/admin/secrets")).items;
  const screens = {
    dashboard: "/", secrets: "/secrets", secret: `/secrets/${secret.id}`, add: "/secrets/new", catalogue: "/providers",
    provider: "/providers/sandbox", keys: "/keys", key: `/keys/${keys[0].id}`, "key-new": "/keys/new?provider=polygon", usage: "/usage?range=1h",
    audit: "/audit", "audit-none": "/audit?request_id=nobody-sent-this", hierarchy: "/security/keys", seal: "/security/seal", backups: "/security/backups", lost: "/nowhere",
  };
  for (const scheme of ["light", "dark"]) {
    for (const [size, viewport] of Object.entries(sizes)) {
      const { context, page } = await open({ colorScheme: scheme, viewport, timezoneId: "Europe/Berlin" });
      await page.goto(`${house}/console/`);
      await page.getByLabel("Admin key").waitFor();
      await judge(page, `door-${size}-${scheme}`);
      await signIn(page);
      for (const [name, path] of Object.entries(screens)) {
        await go(page, path);
        await settled(page);
        if (name === "secret" && scheme === "light" && size === "wide") {
          await page.getByRole("button", { name: "Check now" }).click();
          await page.getByText("This key is good").waitFor();
        }
        if (name === "audit" && size === "wide") {
          await page.getByRole("button", { name: "Verify" }).click();
          await page.getByText(/It holds: /).waitFor();
        }
        await judge(page, `${name}-${size}-${scheme}`);
      }
      await go(page, "/audit?kind=usage");
      await settled(page);
      await page.locator(".records .as-link").first().click();
      await page.getByRole("dialog").getByText("In the chain").waitFor();
      await page.waitForTimeout(300);
      await judge(page, `record-${size}-${scheme}`);
      if (size === "narrow") {
        await go(page, "/");
        await settled(page);
        await page.getByRole("button", { name: "Open the menu" }).click();
        await page.getByRole("dialog").getByRole("link", { name: "Catalogue" }).waitFor();
        await page.waitForTimeout(300);
        await judge(page, `menu-${size}-${scheme}`);
      }
      await context.close();
    }
  }
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

try {
  await theEdges();
  const keys = await aDayOfTraffic();
  if (ACME_PORT) await aKeyIsAdded();
  await everyScreen(keys);
  await aKeyIsRevoked();
  await theSealIsSetAndBroken();
} finally {
  await browser.close();
  acme.close();
}
if (!process.env.SESSIONS) {
  // A house without sessions says so with a 404, once a page.
  const told = faults.filter((fault) => !/api\/v1\/session/.test(fault));
  faults.splice(0, faults.length, ...told);
}
if (faults.length > 0) {
  console.error(faults.join("\n"));
  process.exit(1);
}
console.log("console: every screen, no violation, no error, no finding");

// How one walks the console: a browser in which nothing may go wrong, a phone with an authenticator, pictures and
// judgement of a screen in both schemes and two widths.

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

export const { ADMIN_URL: house, SEALGATE_URL: gate, SEALGATE_KEY: adminKey, SCREENSHOTS } = process.env;
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
if (SCREENSHOTS) mkdirSync(SCREENSHOTS, { recursive: true });

const args = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--no-first-run"];
export const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args, timeout: 60_000 });

/** What went wrong; empty at the end. */
export const faults = [];
export const sizes = { wide: { width: 1440, height: 900 }, narrow: { width: 380, height: 780 } };
export const schemes = ["light", "dark"];

const opened = new Set();

/** What stood on the screens when a step failed; they are closed. */
export async function leaveAll(name) {
  for (const [at, page] of [...opened].entries()) {
    if (SCREENSHOTS && !page.isClosed()) await page.screenshot({ path: `${SCREENSHOTS}/failed-${name}-${at}.png` }).catch(() => undefined);
    await page.context().close().catch(() => undefined);
  }
  opened.clear();
}

export async function open({ signedIn, ...options } = {}) {
  const context = await browser.newContext({ viewport: sizes.wide, timezoneId: "Europe/Berlin", reducedMotion: "reduce", ...(signedIn ? { storageState: signedIn } : {}), ...options });
  await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: house });
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  opened.add(page);
  page.on("close", () => opened.delete(page));
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

/** What answers with one of these statuses meanwhile is meant to. */
export async function meeting(statuses, act) {
  const before = faults.length;
  const done = await act();
  await new Promise((later) => setTimeout(later, 60));
  const meant = new RegExp(statuses.map((status) => `: ${status}$|status of ${status} `).join("|"));
  faults.splice(before, faults.length, ...faults.slice(before).filter((fault) => !meant.test(fault)));
  return done;
}

/** Past the console, as a program would. */
export const call = async (method, path, body) => {
  const headers = { "X-API-Key": adminKey, ...(body ? { "Content-Type": "application/json" } : {}) };
  const answer = await fetch(house + path, { method, headers, body: body && JSON.stringify(body) });
  const text = await answer.text();
  assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${text}`);
  return text ? JSON.parse(text) : null;
};

/** Within the page, so that what it holds in its memory stays. */
export const go = (page, path) =>
  page.evaluate((path) => {
    history.pushState({}, "", `/console${path}`);
    dispatchEvent(new PopStateEvent("popstate"));
  }, path);

export const inside = (page) => page.getByRole("navigation", { name: "Main" }).or(page.getByRole("button", { name: "Open the menu" })).first().waitFor();

export async function settled(page) {
  await page.waitForFunction(() => !document.querySelector(".loading, .bone") && document.querySelector("h1"), null, { timeout: 15_000 });
  await page.waitForTimeout(150);
}

/** What a change of the scheme alone can break; all else was looked at in the other one. */
const OF_COLOURS = ["color-contrast", "link-in-text-block"];

async function judgeOnce(page, name, rules) {
  if (!(await page.evaluate(() => "axe" in window))) await page.evaluate(axe);
  const found = await page.evaluate(async (rules) => {
    const { violations } = await axe.run(document, { resultTypes: ["violations"], ...(rules ? { runOnly: rules } : {}) });
    return violations.filter(({ impact }) => impact === "serious" || impact === "critical").map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map((node) => `${node.html.slice(0, 160)} ${node.any[0]?.message ?? ""}`).join(" | ")}`);
  }, rules);
  for (const finding of found) faults.push(`axe, ${name}: ${finding}`);
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  if (wide > 0) faults.push(`${name} scrolls sideways by ${wide}`);
  if (SCREENSHOTS) await page.screenshot({ path: `${SCREENSHOTS}/${name}.png`, fullPage: true });
}

/** Everything that a change of size or scheme moves has moved; what moves for ever, or stands still, is not waited for. */
const drawn = (page) =>
  page.evaluate(async () => {
    const frame = () => new Promise((done) => requestAnimationFrame(done));
    await frame();
    await frame();
    const moving = document.getAnimations().filter((one) => one.effect?.getComputedTiming().iterations !== Number.POSITIVE_INFINITY);
    const enough = new Promise((done) => setTimeout(done, 5_000));
    await Promise.race([enough, Promise.all(moving.map((one) => one.finished.catch(() => undefined)))]);
    await frame();
  });

/** The screen as it stands, in both schemes and two widths; QUICK=1 leaves two of the four out. */
export async function judge(page, name) {
  await drawn(page);
  for (const [size, viewport] of Object.entries(sizes)) {
    await page.setViewportSize(viewport);
    for (const colorScheme of schemes) {
      if (process.env.QUICK && (size === "wide") !== (colorScheme === "light")) continue;
      await page.emulateMedia({ colorScheme });
      await drawn(page);
      await judgeOnce(page, `${name}-${size}-${colorScheme}`, colorScheme === "dark" && !process.env.QUICK ? OF_COLOURS : undefined);
    }
  }
  await page.emulateMedia({ colorScheme: "light" });
  await page.setViewportSize(sizes.wide);
  await drawn(page);
}

/** Where a text is of what outlives its typing: the page, its storage, its address, its history. */
export const remains = (page, text) =>
  page.evaluate(async (text) => {
    const places = { page: document.documentElement.outerHTML, address: location.href, local: JSON.stringify(localStorage), session: JSON.stringify(sessionStorage), cookies: document.cookie, state: JSON.stringify(history.state) };
    const inputs = [...document.querySelectorAll("input, textarea")].map((input) => input.value).join(" ");
    const stores = (await indexedDB.databases()).map(({ name }) => name).join(" ");
    const caches = (await globalThis.caches?.keys())?.join(" ") ?? "";
    return Object.entries({ ...places, inputs, stores, caches }).filter(([, held]) => held.includes(text)).map(([name]) => name);
  }, text);

export async function nowhere(page, ...texts) {
  for (const text of texts) assert.deepEqual(await remains(page, text), [], text.slice(0, 12));
}

const STEP = 30_000;
/** An authenticator app (RFC 6238), which shows no code twice: the house takes each once. */
export class Phone {
  #key;
  #last = 0;

  constructor(secret) {
    const bits = [...secret.replaceAll(/\s/g, "")].map((sign) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(sign).toString(2).padStart(5, "0")).join("");
    this.#key = Buffer.from(bits.match(/.{8}/g).map((eight) => Number.parseInt(eight, 2)));
  }

  /** The next one that is taken; waited for where those of now were shown. A step behind and before is taken, too. */
  async code() {
    const now = Math.floor(Date.now() / STEP);
    const earliest = Date.now() % STEP < STEP - 10_000 ? now - 1 : now;
    const step = Math.max(this.#last + 1, earliest);
    const wait = (step - 1) * STEP + 500 - Date.now();
    if (wait > 0) await new Promise((later) => setTimeout(later, wait));
    this.#last = step;
    const moment = Buffer.alloc(8);
    moment.writeBigUInt64BE(BigInt(step));
    const tag = createHmac("sha1", this.#key).update(moment).digest();
    return String((tag.readUInt32BE(tag[19] & 15) & 0x7fffffff) % 1_000_000).padStart(6, "0");
  }
}

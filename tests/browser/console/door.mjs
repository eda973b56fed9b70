// The way in: the first operator by an admin key, an invitation, password and code, a recovery code; what is said where
// something is wrong; how a session ends.

import assert from "node:assert/strict";
import { Phone, adminKey, go, house, inside, judge, meeting, nowhere, open, settled } from "./walk.mjs";

export const PASSWORD = "four quiet herons on one roof";
export const SECOND = "a kettle that nobody has heard";

/** From the page of an invitation to a signed-in console. */
async function enrol(page, name, password, pictures) {
  await page.getByRole("heading", { name: `Welcome, ${name}` }).waitFor();
  assert.ok(!/sgi_/.test(page.url()), "the invitation is taken out of the address");
  const phone = new Phone(await page.locator(".enrol-code code").innerText());
  await page.getByLabel(/^Password/).fill(password);
  await page.getByLabel("The same again").fill(`${password} not`);
  await page.getByLabel("Code that the app shows").fill("000000");
  await page.getByRole("button", { name: "Create my account" }).click();
  await page.getByText("The two passwords differ").waitFor();
  await page.getByLabel("The same again").fill(password);
  await meeting([401], async () => {
    await page.getByRole("button", { name: "Create my account" }).click();
    await page.getByText("That code is not right").waitFor();
  });
  if (pictures) await judge(page, "enrol");
  await page.getByLabel("Code that the app shows").fill(await phone.code());
  await page.getByRole("button", { name: "Create my account" }).click();
  await page.getByRole("heading", { name: "Recovery codes" }).waitFor();
  const codes = await page.locator(".codes code").allInnerTexts();
  assert.equal(codes.length, 10);
  if (pictures) await judge(page, "recovery-codes");
  assert.ok(await page.getByRole("button", { name: "Open the console" }).isDisabled());
  await page.getByLabel("I have put them where I will find them").check();
  await page.getByRole("button", { name: "Open the console" }).click();
  await inside(page);
  await settled(page);
  await nowhere(page, password, ...codes);
  return { name, password, phone, codes };
}

export async function theFirstOperatorIsMade() {
  const { context, page } = await open();
  await page.goto(`${house}/console/secrets`);
  await page.getByRole("heading", { name: "Welcome" }).waitFor();
  await judge(page, "first-run");
  await page.getByLabel("Admin key").fill("mdw_x");
  await page.getByRole("button", { name: "Begin" }).click();
  await page.getByText("An admin key is mdw_").waitFor();
  await meeting([401], async () => {
    await page.getByLabel("Admin key").fill(`mdw_${"0".repeat(46)}`);
    await page.getByRole("button", { name: "Begin" }).click();
    await page.getByText("This key is not known").waitFor();
  });
  await page.getByLabel("Admin key").fill(adminKey);
  await page.getByRole("button", { name: "Begin" }).click();
  await page.getByRole("heading", { name: "The first operator" }).waitFor();
  await nowhere(page, adminKey);
  await judge(page, "first-operator");
  await meeting([422], async () => {
    await page.getByLabel("Name").fill("no blanks please");
    await page.getByRole("button", { name: "Continue" }).click();
    await page.getByText("has letters, digits").waitFor();
  });
  await page.getByLabel("Name").fill("ada");
  await page.getByLabel("E-mail").fill("ada@example.org");
  await page.getByRole("button", { name: "Continue" }).click();
  const ada = await enrol(page, "ada", PASSWORD, true);
  ada.state = await context.storageState();
  await context.close();
  return ada;
}

export async function type(page, { name, password }, code) {
  await page.getByLabel("Name").fill(name);
  await page.getByLabel(/^Password/).fill(password);
  await page.getByLabel("Code").fill(code);
  await page.getByRole("button", { name: "Sign in" }).click();
}

/** Where a step broke off and left a session behind that nobody has any more. */
export async function signInAnew(ada) {
  const { context, page } = await open();
  await page.goto(`${house}/console/`);
  await type(page, ada, await ada.phone.code());
  await inside(page);
  ada.state = await context.storageState();
  await context.close();
}

/** What is wrong is not said; what was come for is found behind the door. */
export async function oneSignsInAndOut(ada) {
  const { context, page } = await open();
  await page.goto(`${house}/console/keys?q=night`);
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  await judge(page, "door");
  await meeting([401], async () => {
    await type(page, { ...ada, password: "not that one at all" }, "123456");
    await page.getByText("Name, password or code is not right").waitFor();
  });
  await judge(page, "door-refused");
  // A recovery code stands in for the app.
  await type(page, ada, ada.codes[3]);
  await page.getByRole("link", { name: "night batch" }).waitFor();
  assert.ok(page.url().endsWith("/console/keys?q=night"), page.url());
  await nowhere(page, ada.password, ada.codes[3]);
  await page.getByRole("button", { name: /^ada/ }).click();
  await page.getByRole("menuitem", { name: "Your account and sessions" }).click();
  await page.getByText("9 codes of ten left").waitFor();
  await judge(page, "account");
  await page.getByRole("button", { name: /^ada/ }).click();
  await page.getByRole("menuitem", { name: "Sign out" }).click();
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  assert.equal(await page.getByText("Your session").count(), 0, "who went by himself is told nothing");
  assert.equal((await context.cookies()).length, 0);
  // By the app; one session more than the first.
  await type(page, ada, await ada.phone.code());
  await inside(page);
  ada.state = await context.storageState();
  await context.close();
}

/** A code where one is asked for: not within five minutes of the last. */
export async function fresh(page, ada, pictures) {
  const { stepped_up_until: until } = await page.evaluate(async () => (await fetch("/api/v1/session")).json());
  if (until) return;
  const dialog = page.getByRole("dialog").filter({ hasText: "Confirm that it is you" });
  await dialog.waitFor();
  if (pictures) {
    await meeting([401], async () => {
      await dialog.getByLabel("Code").fill("000000");
      await dialog.getByRole("button", { name: "Confirm" }).click();
      await dialog.getByText("That code is not right").waitFor();
    });
    await judge(page, "step-up");
  }
  await dialog.getByLabel("Code").fill(await ada.phone.code());
  await dialog.getByRole("button", { name: "Confirm" }).click();
  await dialog.waitFor({ state: "hidden" });
}

async function invite(page, name, role) {
  await page.getByRole("button", { name: "Invite" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Name").fill(name);
  await dialog.getByRole("combobox", { name: "Role" }).click();
  await page.getByRole("option", { name: new RegExp(`^${role}:`) }).click();
  await dialog.getByRole("button", { name: "Make an invitation" }).click();
}

async function linkOf(page, name) {
  const dialog = page.getByRole("dialog").filter({ hasText: `Invitation of ${name}` });
  await dialog.waitFor();
  const link = (await dialog.locator(".key-line code").innerText()).trim();
  assert.match(link, /\/console\/invitation#sgi_/);
  return { dialog, link };
}

const act = async (page, name, what) => {
  await page.getByRole("button", { name: `Actions on ${name}` }).click();
  await page.getByRole("menuitem", { name: what }).click();
};

/** Others are invited, changed, reset, removed; what makes an admin asks for a fresh code and goes on by itself. */
export async function operatorsComeAndGo(ada) {
  const { context, page } = await open({ signedIn: ada.state });
  await page.goto(`${house}/console/security/operators`);
  await settled(page);
  await invite(page, "olga", "operator");
  const { dialog, link } = await linkOf(page, "olga");
  await judge(page, "operator-invited");
  await dialog.getByRole("button", { name: "Done" }).click();
  await nowhere(page, link.split("#")[1]);

  const second = await open();
  await second.page.goto(link);
  const olga = await enrol(second.page, "olga", SECOND, false);
  await go(second.page, "/security/keys");
  await settled(second.page);
  assert.equal(await second.page.getByRole("link", { name: "Operators" }).count(), 0, "an operator's console has no tab of admins");
  await meeting([403], async () => {
    await go(second.page, "/security/operators");
    await second.page.getByText("Not for this role").waitFor();
  });
  await judge(second.page, "not-for-this-role");
  // Once is enough.
  const third = await open();
  await meeting([401, 403, 404], async () => {
    await third.page.goto(link);
    await third.page.getByText("This invitation was used already").waitFor();
  });
  await judge(third.page, "invitation-used");
  await third.context.close();

  // An admin: with a fresh code alone.
  await meeting([401, 403], async () => {
    await invite(page, "grace", "admin");
    await fresh(page, ada, true);
    const { dialog } = await linkOf(page, "grace");
    await dialog.getByRole("button", { name: "Done" }).click();
  });
  await judge(page, "operators");
  await act(page, "olga", "Change");
  await page.getByRole("dialog").getByRole("combobox", { name: "Role" }).click();
  await page.getByRole("option", { name: /^auditor:/ }).click();
  await judge(page, "operator-change");
  // Another role ends every session: the page says so, at the address where one was.
  await meeting([401], async () => {
    await page.getByRole("dialog").getByRole("button", { name: "Save" }).click();
    await page.getByRole("row", { name: /olga.*auditor/ }).waitFor();
    await go(second.page, "/keys");
    await second.page.getByText("Your session was ended").waitFor();
    await judge(second.page, "ended");
    await type(second.page, olga, await olga.phone.code());
    await inside(second.page);
    await settled(second.page);
  });
  assert.ok(second.page.url().endsWith("/console/keys"));
  assert.equal(await second.page.getByRole("link", { name: "New client key" }).count(), 0);

  // Everybody's sessions, and the end of one.
  await go(page, "/security/sessions");
  await page.locator("label").filter({ hasText: "Everybody's" }).click();
  await page.getByRole("row", { name: /olga/ }).waitFor();
  await judge(page, "sessions");
  await meeting([401], async () => {
    await page.getByRole("row", { name: /olga/ }).getByRole("button").click();
    await page.getByRole("row", { name: /olga/ }).waitFor({ state: "hidden" });
    await go(second.page, "/audit");
    await second.page.getByText("Your session was ended").waitFor();
  });
  await second.context.close();

  await go(page, "/security/operators");
  await act(page, "olga", "Reset");
  await page.getByRole("dialog").getByRole("button", { name: "Reset" }).click();
  await (await linkOf(page, "olga")).dialog.getByRole("button", { name: "Done" }).click();
  await page.getByRole("row", { name: /olga.*invited/ }).waitFor();
  await act(page, "olga", "Remove");
  await page.getByLabel("Type olga to confirm").fill("olga");
  await page.getByRole("dialog").getByRole("button", { name: "Remove" }).click();
  await page.getByRole("row", { name: /olga/ }).waitFor({ state: "hidden" });
  ada.state = await context.storageState();
  await context.close();
}

/** Another password ends every other session, and this one goes on. */
export async function thePasswordIsChanged(ada) {
  const { context, page } = await open({ signedIn: ada.state });
  await page.goto(`${house}/console/security/sessions`);
  await settled(page);
  const change = async (old, next, code) => {
    await page.getByLabel("Present password").fill(old);
    await page.getByLabel("New password").fill(next);
    await page.getByLabel("The same again").fill(next);
    await page.locator("input[name=code]").fill(code);
    await page.getByRole("button", { name: "Change the password" }).click();
  };
  await meeting([401], async () => {
    await change("not the old one at all", SECOND, "000000");
    await page.getByText("The present password or the code is not right").waitFor();
  });
  await change(ada.password, SECOND, await ada.phone.code());
  await page.getByText("Your other sessions have ended").waitFor();
  ada.password = SECOND;
  await nowhere(page, PASSWORD, SECOND);
  const [own] = (await page.locator("table tbody tr").allInnerTexts()).filter((row) => row.includes("this one"));
  assert.ok(own);
  assert.equal(await page.locator("table tbody tr").count(), 1, "the others have ended");
  ada.state = await context.storageState();
  await context.close();
}

/** Two minutes before the end one is asked; whoever stays is told nothing more. */
export async function anIdleSessionIsWarnedOf(ada) {
  const { context, page } = await open({ signedIn: ada.state });
  let soon = true;
  await page.route("**/api/v1/session", async (route) => {
    const answer = await route.fetch();
    const session = await answer.json();
    await route.fulfill({ response: answer, json: soon ? { ...session, idle_until: new Date(Date.now() + 95_000).toISOString() } : session });
  });
  await page.goto(`${house}/console/`);
  const dialog = page.getByRole("dialog").filter({ hasText: "Are you still there?" });
  await dialog.waitFor();
  await judge(page, "idle");
  const used = page.waitForRequest((request) => request.url().includes("/admin/sessions"));
  soon = false;
  await dialog.getByRole("button", { name: "Stay signed in" }).click();
  assert.equal((await used).headers()["x-sealgate-unattended"], undefined, "a hand asked");
  await dialog.waitFor({ state: "hidden" });
  // What the page asks for by itself is no use of it.
  await page.evaluate(() => {
    const now = Date.now;
    Date.now = () => now() + 40_000;
  });
  const byItself = await page.waitForRequest((request) => request.url().includes("/readyz") === false && request.method() === "GET" && request.url().includes("/api/v1/admin/"));
  assert.equal(byItself.headers()["x-sealgate-unattended"], "1", byItself.url());
  await page.unrouteAll({ behavior: "ignoreErrors" });
  await context.close();
}

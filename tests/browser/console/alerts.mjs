// Alerts: one stands, is acknowledged, and is told to whoever was named; a destination that takes messages of syslog confirms
// a test, one by e-mail says why it cannot, and a webhook's address is shown without its path, its secret once.

import assert from "node:assert/strict";
import { createServer } from "node:net";
import { call, go, house, judge, meeting, nowhere, open, settled } from "./walk.mjs";

const TOKEN = "token-that-nobody-sees-again";

/** Takes messages of syslog (RFC 6587, counted octets), each on a connection of its own. */
async function listen(port) {
  const messages = [];
  const server = createServer((socket) => {
    const chunks = [];
    socket.on("data", (chunk) => chunks.push(chunk));
    socket.on("end", () => messages.push(Buffer.concat(chunks).toString()));
    socket.on("error", () => undefined);
  });
  await new Promise((listening) => server.listen(Number(port), "127.0.0.1", listening));
  return { messages, close: () => server.close() };
}

async function add(page, name, way, more) {
  const dialog = page.getByRole("dialog").filter({ hasText: "Add a destination" });
  await page.getByRole("button", { name: "Add a destination" }).click();
  await dialog.getByLabel("Name").fill(name);
  if (way) {
    await dialog.getByRole("combobox", { name: "It is told by" }).click();
    await page.getByRole("option", { name: way }).click();
  }
  await more(dialog);
}

export async function somebodyIsToldOfAlerts(ada) {
  const receiver = await listen(process.env.SYSLOG_PORT);
  const { context, page } = await open({ signedIn: ada.state });
  await page.goto(`${house}/console/alerts/destinations`);
  await page.getByText("Nobody is told").waitFor();
  await judge(page, "destinations-none");
  // A private address is refused in its field; what was typed is nowhere once the webhook is made.
  await add(page, "team", null, async (dialog) => {
    await dialog.getByLabel("Address").fill(`https://127.0.0.1/${TOKEN}`);
    await meeting([422], async () => {
      await dialog.getByRole("button", { name: "Add it" }).click();
      await dialog.getByText("loopback, private or link-local").waitFor();
    });
    await dialog.getByLabel("Address").fill(`https://hooks.example.com/${TOKEN}`);
    await dialog.getByRole("combobox", { name: "From this severity on" }).click();
    await page.getByRole("option", { name: "critical" }).click();
    await judge(page, "destination-add");
    await dialog.getByRole("button", { name: "Add it" }).click();
  });
  const shown = page.getByRole("dialog").filter({ hasText: "The secret of team" });
  const secret = (await shown.locator(".key-line code").innerText()).trim();
  assert.match(secret, /^whsec_[0-9A-Za-z+/=]{44}$/);
  await judge(page, "destination-secret");
  await shown.getByRole("button", { name: "Done" }).click();
  await page.getByRole("row", { name: /team.*Webhook.*hooks\.example\.com/ }).waitFor();
  await nowhere(page, TOKEN, secret);
  await add(page, "on-call", /^e-mail/, async (dialog) => {
    await dialog.getByLabel("Recipients").fill("ops@example.org, night@example.org");
    await dialog.getByRole("button", { name: "Add it" }).click();
  });
  await add(page, "siem", /^syslog/, async (dialog) => {
    await dialog.getByRole("button", { name: "Add it" }).click();
  });
  await page.getByRole("button", { name: "Send a test to siem" }).click();
  await page.getByText("siem has confirmed the test").waitFor();
  assert.ok(receiver.messages.some((message) => message.includes("alert.test")), receiver.messages.join());
  await page.getByRole("button", { name: "Send a test to on-call" }).click();
  await page.getByText("on-call was not reached").waitFor();
  await page.getByText("no mail server is set").first().waitFor();
  await page.locator("label").filter({ hasText: "Given up" }).click();
  await page.getByText("1 delivery shown").waitFor();
  await page.getByRole("button", { name: "Send again what was given up" }).waitFor();
  assert.equal(await page.getByText("confirmed", { exact: true }).count(), 0);
  await page.locator("label").filter({ hasText: "All" }).first().click();
  await judge(page, "destinations");
  // Set aside, changed, removed.
  await page.getByRole("button", { name: "Actions on on-call" }).click();
  await page.getByRole("menuitem", { name: "Set aside" }).click();
  await page.getByRole("row", { name: /on-call.*set aside/ }).waitFor();
  await page.getByRole("button", { name: "Actions on team" }).click();
  await page.getByRole("menuitem", { name: "Change" }).click();
  const change = page.getByRole("dialog").filter({ hasText: "Change team" });
  await change.getByLabel("Name").fill("desk");
  await change.getByRole("button", { name: "Save" }).click();
  await page.getByRole("row", { name: /desk.*hooks\.example\.com/ }).waitFor();
  await page.getByRole("button", { name: "Actions on desk" }).click();
  await page.getByRole("menuitem", { name: "Remove" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Remove" }).click();
  await page.getByRole("row", { name: /desk/ }).waitFor({ state: "hidden" });

  // A cause comes: it stands, is told, is acknowledged; and resolves by itself when it is gone.
  const { id } = await call("POST", "/api/v1/admin/api-keys", { name: "leaving soon", expires_at: new Date(Date.now() + 3 * 86_400_000).toISOString() });
  await go(page, "/alerts");
  const row = page.locator(".alert").filter({ hasText: "leaving soon" });
  const known = page.locator(".panel").filter({ hasText: "Somebody knows" }).locator(".alert").filter({ hasText: "leaving soon" });
  await row.filter({ hasText: "warning" }).waitFor({ timeout: 60_000 });
  await judge(page, "alerts");
  await row.getByRole("button", { name: "Acknowledge" }).click();
  await known.getByText("ada has known of it").waitFor();
  await judge(page, "alerts-known");
  const isTold = (type) => receiver.messages.some((message) => message.includes(type) && message.includes(id));
  for (let tries = 0; !isTold("alert.raised") && tries < 120; tries += 1) await page.waitForTimeout(500);
  assert.ok(isTold("alert.raised"), receiver.messages.join("\n"));
  await call("DELETE", `/api/v1/admin/api-keys/${id}`);
  await row.waitFor({ state: "detached", timeout: 60_000 });
  await page.getByRole("link", { name: "History" }).click();
  await page.getByRole("row", { name: /Client key about to end.*leaving soon/ }).waitFor({ timeout: 60_000 });
  await settled(page);
  await context.close();
  receiver.close();
}

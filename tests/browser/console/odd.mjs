// What is none in an address or a field harms no screen: dates, half typed years, invitations, tabs for others.

import assert from "node:assert/strict";
import { house, judge, open, settled } from "./walk.mjs";

export async function nothingOddBreaksAScreen(ada) {
  const { context, page } = await open({ signedIn: ada.state });
  for (const path of ["/usage?range=custom&from=garbage&to=x", "/usage?range=custom&from=0002-01-01T00:00:00Z", "/usage?range=custom&from=2030-01-01&to=2020-01-01"]) {
    await page.goto(`${house}/console${path}`);
    await page.getByRole("heading", { name: "Usage and cost" }).waitFor();
    await settled(page);
  }
  await page.goto(`${house}/console/audit?from=garbage&to=275760-09-14`);
  await page.locator(".records tbody tr").first().waitFor();
  // As one types: the year comes last, and is the year 2 for a moment.
  await page.goto(`${house}/console/usage?range=custom`);
  const from = page.getByLabel("From");
  const before = page.url();
  for (const year of ["0002", "0020", "0202"]) await from.fill(`${year}-10-01T00:00`);
  assert.equal(page.url(), before, "nobody has acted on that");
  await from.fill("2026-10-01T00:00");
  await page.waitForURL(/from=.*2026-09-30T22/);
  await settled(page);
  await page.goto(`${house}/console/invitation#%E0%A4%A`);
  await page.getByRole("heading", { name: "Invitation" }).waitFor();
  await judge(page, "invitation-none");
  await context.close();
}

/** Before a key is made: what it could do. */
export async function aKeyToComeIsExplained(ada) {
  const { context, page } = await open({ signedIn: ada.state });
  await page.goto(`${house}/console/keys/new?provider=acme`);
  await page.getByText("May it? Ask before it is made").click();
  const path = page.getByLabel("Path behind the proxy");
  for (const [method, decision] of [["GET", "allow"], ["POST", "deny"]]) {
    await page.getByRole("combobox", { name: "Method", exact: true }).click();
    await page.getByRole("option", { name: method, exact: true }).click();
    await path.fill("/acme/v1/me");
    await path.press("Enter");
    await page.locator(".explained").getByText(decision, { exact: true }).waitFor();
  }
  await judge(page, "key-explained");
  await context.close();
}

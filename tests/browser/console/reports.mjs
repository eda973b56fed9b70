// Reports of every kind are read, one is opened as a page to print and saved as a file, and a finding is done away with.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { call, house, judge, open, settled } from "./walk.mjs";

export async function reportsAreRead(ada) {
  const endless = await call("POST", "/api/v1/admin/api-keys", { name: "last year's trial" });
  const { context, page } = await open({ signedIn: ada.state });
  await page.goto(`${house}/console/`);
  await page.getByRole("link", { name: "Reports" }).click();
  await settled(page);
  const finding = page.locator(".alert").filter({ hasText: "last year's trial" });
  await finding.getByRole("button", { name: "What to do" }).click();
  await finding.getByText(/sealgate client/).waitFor();
  await judge(page, "reports-hygiene");
  for (const [kind, name] of [["usage", "Usage"], ["security", "Security"]]) {
    await page.getByRole("navigation", { name: "Reports" }).getByRole("link", { name }).click();
    await page.waitForURL(`**/console/reports/${kind}`);
    await settled(page);
    await page.locator(".figures .figure-value").first().waitFor();
    await judge(page, `reports-${kind}`);
  }
  const [printed] = await Promise.all([context.waitForEvent("page"), page.getByRole("link", { name: "Open to print" }).click()]);
  await printed.getByRole("heading", { level: 1 }).waitFor();
  await judge(printed, "report-printed");
  await printed.close();
  const [file] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "Save" }).click().then(() => page.getByRole("menuitem", { name: "CSV" }).click())]);
  assert.match(file.suggestedFilename(), /^sealgate-security-.*\.csv$/);
  assert.ok(readFileSync(await file.path(), "utf8").split("\n").length > 2);
  await page.getByRole("navigation", { name: "Reports" }).getByRole("link", { name: "Hygiene" }).click();
  await finding.getByRole("button", { name: /^Do it/ }).click();
  const sure = page.getByRole("dialog");
  await sure.getByText("last year's trial").first().waitFor();
  await judge(page, "reports-do");
  await sure.getByRole("button", { name: "Do it" }).click();
  await finding.waitFor({ state: "detached" });
  assert.ok((await call("GET", `/api/v1/admin/api-keys/${endless.id}`)).expires_at, "it has an end now");
  await context.close();
}

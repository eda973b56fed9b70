// Two keys of one provider that share its calls: one is set aside and put back, and takes a larger part.

import assert from "node:assert/strict";
import { call, gate, house, judge, open } from "./walk.mjs";

export async function aPoolIsShared(ada, keys) {
  const made = [];
  for (const [name, api_key] of keys) made.push(await call("POST", "/api/v1/admin/secrets", { provider: "delta", name, fields: { api_key } }));
  const { key } = await call("POST", "/api/v1/admin/api-keys", { name: "pool reader", scopes: ["delta:GET:/**"], tier: "unlimited" });
  const read = async () => {
    const answer = await fetch(`${gate}/delta/v1/me`, { headers: { "X-API-Key": key } });
    await answer.arrayBuffer();
    return answer.status;
  };
  assert.equal(await read(), 200);
  const { context, page } = await open({ signedIn: ada.state });
  await page.goto(`${house}/console/secrets?q=delta`);
  await page.getByRole("row", { name: /delta.*takes calls/ }).nth(1).waitFor();
  await page.goto(`${house}/console/secrets/${made[0].id}`);
  const panel = page.locator(".panel").filter({ hasText: "In the pool" });
  await panel.getByText("50 %").waitFor();
  await panel.getByLabel("Weight").fill("3");
  await panel.getByRole("button", { name: "Save" }).click();
  await panel.getByText("75 %").waitFor();
  await judge(page, "secret-pooled");
  await panel.getByRole("button", { name: "Set aside" }).click();
  const sure = page.getByRole("dialog").filter({ hasText: "Set this key aside?" });
  await judge(page, "secret-set-aside");
  await sure.getByRole("button", { name: "Set aside" }).click();
  await panel.getByText("set aside").waitFor();
  assert.equal(await read(), 200, "the other one serves");
  await page.goto(`${house}/console/secrets?q=delta`);
  await page.getByRole("row", { name: /set aside/ }).waitFor();
  await judge(page, "secrets-pooled");
  await page.goto(`${house}/console/secrets/${made[0].id}`);
  await panel.getByRole("button", { name: "Put back" }).click();
  await panel.getByText("takes calls").waitFor();
  await context.close();
}

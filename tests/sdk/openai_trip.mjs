// The unmodified openai package: base URL and key are the only two strings that differ.

import assert from "node:assert/strict";
import OpenAI from "openai";

const baseURL = `${process.env.SEALGATE_URL}/openai/v1`;
const client = new OpenAI({ baseURL, apiKey: process.env.SEALGATE_KEY, maxRetries: 0 });
const request = { model: "gpt-emulated", messages: [{ role: "user", content: "Hello" }] };

const whole = await client.chat.completions.create(request);
assert.equal(whole.choices[0].message.content, "Hello from the emulator.");
assert.equal(whole.usage.total_tokens, 10);
assert.equal(typeof whole._request_id, "string");

const pieces = [];
const stream = await client.chat.completions.create({ ...request, stream: true });
for await (const chunk of stream) {
  pieces.push(chunk.choices[0].delta.content ?? "");
}
assert.deepEqual(pieces, ["Hello", " from", " the emulator, café.", ""]);

const models = [];
for await (const model of client.models.list()) {
  models.push(model.id);
}
assert.deepEqual(models, ["gpt-emulated"]);

const stranger = new OpenAI({ baseURL, apiKey: `mdw_${"0".repeat(46)}`, maxRetries: 0 });
await assert.rejects(stranger.chat.completions.create(request), (error) => {
  assert.ok(error instanceof OpenAI.AuthenticationError, String(error));
  assert.equal(error.status, 401);
  return true;
});

console.log("openai: whole answer, stream, list, wrong key: as ever");

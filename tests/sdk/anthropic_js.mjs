// The unmodified @anthropic-ai/sdk: base URL and key are the only two strings that differ.

import assert from "node:assert/strict";
import Anthropic from "@anthropic-ai/sdk";
import { Pace, base, key, refused, stranger, told } from "./trip.mjs";

const client = (apiKey) => new Anthropic({ baseURL: `${base}/anthropic`, apiKey, maxRetries: 0 });
const messages = [{ role: "user", content: "Hello" }];
const request = { model: "claude-emulated", max_tokens: 64, messages };

const whole = await client(key).messages.create(request);
assert.equal(whole.content[0].text, "Hello from the emulator.");

const pace = new Pace();
const kinds = [];
const stream = await client(key).messages.create({ ...request, stream: true });
for await (const event of stream) {
  pace.note();
  kinds.push(event.type);
}
assert.deepEqual(
  kinds.filter((kind) => kind !== "ping"),
  [
    "message_start",
    "content_block_start",
    "content_block_delta",
    "content_block_stop",
    "message_delta",
    "message_stop",
  ],
);
pace.check();

const models = [];
for await (const model of client(key).models.list()) {
  models.push(model.id);
}
assert.deepEqual(models, ["claude-emulated-1", "claude-emulated-2", "claude-emulated-3"]);

for (const [apiKey, word] of [[stranger, "unauthorized"], [refused, "authentication_error"]]) {
  await assert.rejects(client(apiKey).messages.create(request), (error) => {
    assert.ok(error instanceof Anthropic.AuthenticationError, String(error));
    assert.equal(error.status, 401);
    assert.ok(JSON.stringify(error.error).includes(word));
    return true;
  });
}

told("@anthropic-ai/sdk", "whole answer, stream, three pages");

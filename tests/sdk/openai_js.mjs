// The unmodified openai package: base URL and key are the only two strings that differ.

import assert from "node:assert/strict";
import OpenAI from "openai";
import { Pace, base, key, refused, stranger, told } from "./trip.mjs";

const client = (apiKey) => new OpenAI({ baseURL: `${base}/openai/v1`, apiKey, maxRetries: 0 });
const request = { model: "gpt-emulated", messages: [{ role: "user", content: "Hello" }] };

const whole = await client(key).chat.completions.create(request);
assert.equal(whole.choices[0].message.content, "Hello from the emulator.");
assert.equal(whole.usage.total_tokens, 10);
assert.equal(typeof whole._request_id, "string");

const pace = new Pace();
const pieces = [];
const stream = await client(key).chat.completions.create({ ...request, stream: true });
for await (const chunk of stream) {
  pace.note();
  pieces.push(chunk.choices[0].delta.content ?? "");
}
assert.deepEqual(pieces, ["Hello", " from", " the emulator, café.", ""]);
pace.check();

const files = [];
for await (const file of client(key).files.list({ limit: 1 })) {
  files.push(file.id);
}
assert.deepEqual(files, ["file-1", "file-2", "file-3"]);

for (const [apiKey, code] of [[stranger, null], [refused, "invalid_api_key"]]) {
  await assert.rejects(client(apiKey).chat.completions.create(request), (error) => {
    assert.ok(error instanceof OpenAI.AuthenticationError, String(error));
    assert.equal(error.status, 401);
    // Whose refusal it is, the header tells.
    assert.equal(error.headers.get("x-sealgate-error"), code ? null : "unauthorized");
    assert.equal(error.code ?? null, code);
    return true;
  });
}

told("openai (npm)", "whole answer, stream, three pages");

// The unmodified realtime client of openai for pages: base URL and key are all that differ. A page
// writes no header, so the key stands in a subprotocol.

import assert from "node:assert/strict";

import OpenAI from "openai";
import { OpenAIRealtimeWebSocket } from "openai/realtime/websocket";
import { WebSocket } from "ws";

import { base, key, refused, stranger, told } from "./trip.mjs";

// What a page has of its browser, and this runtime may not.
globalThis.WebSocket ??= WebSocket;

// It always asks for TLS, which this trip does without.
const onURL = (url) => {
  url.protocol = "ws";
};

// What is told until the text is done; rejected where the socket does not open.
function heard(apiKey) {
  return new Promise((resolve, reject) => {
    const client = new OpenAI({ apiKey, baseURL: `${base}/openai/v1`, dangerouslyAllowBrowser: true });
    const realtime = new OpenAIRealtimeWebSocket({ model: "gpt-emulated", onURL }, client);
    const events = [];
    realtime.on("error", reject);
    realtime.on("event", (event) => {
      events.push(event.type);
      if (event.type === "session.created") {
        realtime.send({ type: "response.create" });
      }
      if (event.type === "response.output_text.done") {
        realtime.close();
        resolve(events);
      }
    });
  });
}

const wanted = ["session.created", "response.output_text.delta", "response.output_text.done"];
assert.deepEqual(await heard(key), wanted);
await assert.rejects(heard(stranger), /401/);
await assert.rejects(heard(refused), /401/);

told("openai", "a session by subprotocol");

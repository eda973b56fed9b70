// The unmodified stream of @polygon.io/client-js: host and key are all that differ.

import assert from "node:assert/strict";

import { websocketClient } from "@polygon.io/client-js";

import { base, key, refused, stranger, told } from "./trip.mjs";

const host = base.replace("http", "ws");

// Every message until the socket ends, or one of this kind came. The client shows its key as soon
// as the socket is open, and so does the caller with what it wants.
function heard(apiKey, last) {
  return new Promise((resolve) => {
    const messages = [];
    const socket = websocketClient(apiKey, `${host}/polygon`).stocks();
    const showsKey = socket.onopen;
    socket.onopen = () => {
      showsKey();
      socket.send(JSON.stringify({ action: "subscribe", params: "T.AAPL" }));
    };
    socket.onmessage = ({ data }) => {
      messages.push(...JSON.parse(data));
      if (messages.at(-1).ev === last) {
        socket.close();
      }
    };
    socket.onclose = () => resolve(messages);
  });
}

const words = (messages) => messages.map((message) => message.status ?? message.sym);
assert.deepEqual(words(await heard(key, "T")), ["connected", "auth_success", "success", "AAPL"]);
assert.deepEqual(words(await heard(stranger)), ["connected", "auth_failed"]);
assert.deepEqual(words(await heard(refused)), ["connected", "auth_failed"]);

told("@polygon.io/client-js", "a trade by its stream");

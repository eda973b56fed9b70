// A streamed answer with @anthropic-ai/sdk: base URL and key differ, nothing else.
//
// SEALGATE_URL is where the proxy is (http://127.0.0.1:8080), SEALGATE_KEY a client key (mdw_…).

import Anthropic from "@anthropic-ai/sdk";

const { SEALGATE_URL, SEALGATE_KEY } = process.env;

const client = new Anthropic({ baseURL: `${SEALGATE_URL}/anthropic`, apiKey: SEALGATE_KEY });
const events = await client.messages.create({
  model: "claude-haiku-4-5",
  max_tokens: 64,
  messages: [{ role: "user", content: "Say hello." }],
  stream: true,
});
for await (const event of events) {
  if (event.type === "content_block_delta") process.stdout.write(event.delta.text);
}
console.log();

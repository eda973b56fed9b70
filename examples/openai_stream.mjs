// A streamed answer with the openai package: base URL and key differ, nothing else.
//
// SEALGATE_URL is where the proxy is (http://127.0.0.1:8080), SEALGATE_KEY a client key (mdw_…).

import OpenAI from "openai";

const { SEALGATE_URL, SEALGATE_KEY } = process.env;

const client = new OpenAI({ baseURL: `${SEALGATE_URL}/openai/v1`, apiKey: SEALGATE_KEY });
const stream = await client.chat.completions.create({
  model: "gpt-4.1-mini",
  messages: [{ role: "user", content: "Say hello." }],
  stream: true,
});
for await (const chunk of stream) {
  process.stdout.write(chunk.choices[0]?.delta?.content ?? "");
}
console.log();

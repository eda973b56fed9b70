// The types of the API, from its description: `sealgate openapi >FILE`, then `types.mjs types FILE`. What the console
// does not call is left out, and so is prose, so that they change where something changes for the console.
// `types.mjs types-check FILE` fails where they are stale.

import { readFileSync, writeFileSync } from "node:fs";
import openapiTS, { astToString } from "openapi-typescript";

const target = new URL("../src/api/schema.d.ts", import.meta.url);
const called =
  /^\/(readyz|api\/v1\/(session|admin\/(alerts|alert-(destinations|deliveries)|api-keys(?!\/import)|audit$|audit\/(verify|archives)|backups|backfill|integrity|keks|policy|providers|seal|unseal|secrets|usage|operators|sessions|symbols(?!\/import))))/;

const [, , what, file] = process.argv;
const description = JSON.parse(readFileSync(file, "utf8"));
const kept = Object.fromEntries(Object.entries(description.paths).filter(([path]) => called.test(path)));
const { schemas } = description.components;

// Of an operation: parameters, body and the answers that are no refusals.
for (const path of Object.values(kept)) {
  for (const operation of Object.values(path)) {
    delete operation.security;
    for (const [status, answer] of Object.entries(operation.responses ?? {})) {
      if (!status.startsWith("2")) delete operation.responses[status];
      delete answer.headers;
    }
  }
}

const bare = (value) => {
  if (Array.isArray(value)) return value.map(bare);
  if (!value || typeof value !== "object") return value;
  // A member may be called `description`; the word of a schema is a text.
  const prose = ([key, inner]) =>
    ["example", "examples", "summary", "tags"].includes(key) ? false : key !== "description" || typeof inner !== "string";
  return Object.fromEntries(Object.entries(value).filter(prose).map(([key, inner]) => [key, bare(inner)]));
};

const used = new Set(["Error"]);
const collect = (value) => {
  for (const [, name] of JSON.stringify(value).matchAll(/"#\/components\/schemas\/([^"]+)"/g)) {
    if (used.has(name)) continue;
    used.add(name);
    collect(schemas[name]);
  }
};
collect(kept);

const sorted = Object.fromEntries([...used].filter((name) => schemas[name]).sort().map((name) => [name, bare(schemas[name])]));
const document = { openapi: "3.1.0", info: { title: "", version: "" }, paths: bare(kept), components: { schemas: sorted } };
const head = "// Written by scripts/types.mjs from the description of the API; `make types` writes it anew.\n\n";
const text = head + astToString(await openapiTS(document, { defaultNonNullable: false }));

if (what === "types") writeFileSync(target, text);
else if (readFileSync(target, "utf8") !== text) {
  console.error("ui/src/api/schema.d.ts does not fit the description of the API; run `make types`.");
  process.exit(1);
}

// What Vite has built goes to dist/, packed beside the plain form, with the digest of its sources. Fails where the
// first load has grown beyond its bound.

import { cpSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import { stamp } from "./stamp.mjs";

const root = new URL("..", import.meta.url);
const from = new URL("build/", root);
const to = new URL("dist/", root);

// Of the entry and its first screen in either form; of any other screen with its largest part in brotli, which browsers
// take over TLS and loopback. Charts are not counted: they come when the first one is looked at.
const MOST_SCRIPT = 200_000;
const FIRST = "src/screens/Dashboard.tsx";
const packable = /\.(js|css|svg)$/;

for (const entry of readdirSync(to)) {
  if (entry !== ".gitignore") rmSync(new URL(entry, to), { recursive: true });
}
mkdirSync(new URL("assets/", to));

const packed = new Map();
for (const name of readdirSync(new URL("assets/", from))) {
  const bytes = readFileSync(new URL(`assets/${name}`, from));
  cpSync(new URL(`assets/${name}`, from), new URL(`assets/${name}`, to));
  if (!packable.test(name)) continue;
  const gzip = gzipSync(bytes, { level: 9 });
  const brotli = brotliCompressSync(bytes, {
    params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length },
  });
  packed.set(`assets/${name}`, { gzip: gzip.length, brotli: brotli.length });
  writeFileSync(new URL(`assets/${name}.gz`, to), gzip);
  writeFileSync(new URL(`assets/${name}.br`, to), brotli);
}

// The first load: the entry, what it imports, and the screen on top of it; of a screen whose parts come one by one, with
// each of them.
const manifest = JSON.parse(readFileSync(new URL(".vite/manifest.json", from), "utf8"));
const closure = (key, found = new Set()) => {
  if (!found.has(key)) {
    found.add(key);
    for (const next of manifest[key].imports ?? []) closure(next, found);
  }
  return found;
};
const scripts = (keys) => [...keys].map((key) => manifest[key].file).filter((file) => file.endsWith(".js"));
const sum = (keys, kind) => scripts(keys).reduce((all, file) => all + (packed.get(file)?.[kind] ?? 0), 0);
const entry = Object.keys(manifest).find((key) => manifest[key].isEntry);
const later = (key) => (manifest[key].dynamicImports ?? []).filter((next) => next.startsWith("src/screens/"));
const paths = later(entry).flatMap((screen) => [[screen], ...later(screen).map((part) => [screen, part])]);
const loads = [[entry], ...paths].map((path) => {
  const keys = new Set([entry, ...path].flatMap((key) => [...closure(key)]));
  return { key: path.at(-1), gzip: sum(keys, "gzip"), brotli: sum(keys, "brotli") };
});
const largest = loads.reduce((most, load) => (load.brotli > most.brotli ? load : most));
const first = loads.find((load) => load.key === FIRST);
const kb = (bytes) => `${(bytes / 1000).toFixed(1)} kB`;
console.error(
  `console: script of the first load ${kb(first.brotli)} brotli, ${kb(first.gzip)} gzip; ` +
    `of the largest screen (${largest.key}) ${kb(largest.brotli)} brotli, ${kb(largest.gzip)} gzip`,
);
if (process.env.LOADS) for (const { key, gzip, brotli } of loads) console.error(`console: ${key} ${kb(brotli)} brotli, ${kb(gzip)} gzip`);
if (first.gzip > MOST_SCRIPT || largest.brotli > MOST_SCRIPT) {
  console.error(`console: more than ${kb(MOST_SCRIPT)} of script; load later what is not needed at once`);
  process.exit(1);
}

const page = readFileSync(new URL("index.html", from), "utf8");
writeFileSync(new URL("index.html", to), page.replace("SEALGATE-BUILD-STAMP", stamp()));
writeFileSync(new URL("stamp", to), `${stamp()}\n`);

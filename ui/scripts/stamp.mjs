// One digest over everything that the console is built from. `stamp.mjs` prints it; `stamp.mjs check` fails where
// dist/ was built from anything else.

import { createHash } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = new URL("..", import.meta.url);
const single = ["index.html", "package.json", "package-lock.json", "tsconfig.json", "vite.config.ts", "scripts/pack.mjs"];

export function stamp() {
  const below = readdirSync(new URL("src/", root), { recursive: true, withFileTypes: true });
  const sources = below
    .filter((entry) => entry.isFile())
    .map((entry) => `${entry.parentPath.slice(fileURLToPath(root).length)}/${entry.name}`.replaceAll("//", "/"));
  const digest = createHash("sha256");
  for (const name of [...single, ...sources].sort()) {
    const bytes = readFileSync(new URL(name, root));
    digest.update(`${name}\0${bytes.length}\0`).update(bytes);
  }
  return digest.digest("hex").slice(0, 32);
}

export function built() {
  try {
    return readFileSync(new URL("dist/stamp", root), "utf8").trim();
  } catch {
    return "";
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const now = stamp();
  if (process.argv[2] !== "check") console.log(now);
  else if (built() !== now) {
    const what = built() ? "was built from other sources" : "was not built";
    console.error(`The console in ui/dist ${what}; run \`make console\`, then build the binary.`);
    process.exit(1);
  }
}

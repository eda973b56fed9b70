// A client key, shown once, with what its holder writes.

import type { Schemas } from "../api/client";
import { Copy } from "./basic";
import { Snippets } from "./Snippets";

/** `providers`: those that it may be tried with, the likeliest first. */
export function Shown({ made, providers }: { made: Schemas["ClientKeyShown"]; providers: { id: string; usual?: string | undefined }[] }) {
  return (
    <div className="stack">
      <div className="key-once" role="status">
        <p className="small"><strong>Copy it now.</strong> It is shown this once; only its hash is stored.</p>
        <div className="key-line"><code>{made.key}</code><Copy text={made.key} label="Copy the key" /></div>
      </div>
      <Snippets providers={providers} apiKey={made.key} scopes={made.scopes} />
    </div>
  );
}

// A client key, shown once, with what its holder writes.

import type { Schemas } from "../api/client";
import { Copy } from "./basic";
import { Snippets } from "./Snippets";

export function Shown({ made, provider }: { made: Schemas["ClientKeyShown"]; provider: string }) {
  return (
    <div className="stack">
      <div className="key-once" role="status">
        <p className="small"><strong>Copy it now.</strong> It is shown this once; only its hash is stored.</p>
        <div className="key-line"><code>{made.key}</code><Copy text={made.key} label="Copy the key" /></div>
      </div>
      <Snippets provider={provider} apiKey={made.key} />
    </div>
  );
}

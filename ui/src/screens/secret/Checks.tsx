// The checks of a key, and the steps of each.

import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { checks } from "../../api/queries";
import { sentence } from "../../format";
import { Icon } from "../../icons";
import { Empty, Loaded, Status, Time } from "../../parts/basic";
import { type Step, Steps } from "../../parts/Steps";

export default function Checks({ id }: { id: string }) {
  const asked = useQuery(checks(id));
  const [open, setOpen] = useState<string | null>(null);
  return (
    <Loaded of={asked} what="Checks">
      {({ items }) =>
        items.length === 0 ? <Empty icon="clock" title="Not checked yet">A check asks the provider with this key; a schedule does it from time to time.</Empty> : (
          <ul className="history">
            {items.map((check) => (
              <li key={check.id}>
                <button type="button" className="history-head" aria-expanded={open === check.id} onClick={() => setOpen(open === check.id ? null : check.id)}>
                  <Icon name="chevron" size={14} />
                  <Status tone={check.outcome === "good" ? "good" : check.outcome === "refused" ? "bad" : "warn"}>{check.outcome}</Status>
                  <span className="grow muted small">{sentence(check.cause)} · v{check.version}</span>
                  <Time at={check.checked_at} as="relative" />
                </button>
                {open === check.id && <div className="history-body"><Steps steps={(check.steps ?? []) as Step[]} /></div>}
              </li>
            ))}
          </ul>
        )
      }
    </Loaded>
  );
}

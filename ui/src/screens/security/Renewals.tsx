// Which provider keys are renewed by themselves, by what, when next, and how it went. What the rules are stands in the settings.

import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { Schemas } from "../../api/client";
import { secrets } from "../../api/queries";
import { plural, sentence } from "../../format";
import { Loaded, Panel, Status, Time } from "../../parts/basic";
import { type Column, DataTable } from "../../parts/DataTable";

type Ruled = Schemas["Secret"] & { rotation_policy: Schemas["RotationPolicy"] };

const rule = ({ schedule, max_age_days }: Schemas["RotationPolicy"]) =>
  [schedule, max_age_days && `at most ${plural(max_age_days, "day")} old`].filter(Boolean).join(", ") || "when asked for";

const columns: Column<Ruled>[] = [
  { id: "key", head: "Key", sort: (row) => `${row.provider} ${row.name}`, cell: (row) => <Link to="/secrets/$id" params={{ id: row.id }} className="row-link">{row.provider} {row.name}</Link> },
  { id: "kind", head: "Made by", sort: (row) => row.rotation_policy.kind, cell: (row) => ({ manual: "somebody, by hand", openai: "OpenAI's admin API" })[row.rotation_policy.kind] ?? `a ${row.rotation_policy.kind}` },
  { id: "rule", head: "When", hide: "narrow", cell: (row) => rule(row.rotation_policy) },
  { id: "age", head: "Age", align: "right", hide: "narrow", sort: (row) => row.rotation_policy.age_days, cell: (row) => plural(row.rotation_policy.age_days, "day") },
  { id: "next", head: "Next", sort: (row) => row.rotation_policy.next_at ?? "", cell: (row) => <Time at={row.rotation_policy.next_at} as="relative" /> },
  {
    id: "last", head: "Last", hide: "medium", cell: ({ rotation_policy: policy }) =>
      policy.fault ? <Status tone="bad">{policy.fault}</Status> : policy.state ? <Status tone="info">{sentence(policy.state)}</Status> : policy.last_result ? <>{sentence(policy.last_result)}, <Time at={policy.last_at} as="relative" /></> : "never",
  },
];

export function Renewals() {
  const asked = useQuery(secrets);
  return (
    <Panel title="Keys that are renewed" about="By a schedule or by their age, as the section rotation.policies of the settings says." flush>
      <Loaded of={asked} what="The keys" rows={2}>
        {(all) => {
          const ruled = all.filter((secret): secret is Ruled => Boolean(secret.rotation_policy));
          return ruled.length > 0 ? <DataTable label="Keys that are renewed" rows={ruled} columns={columns} keyOf={(row) => row.id} first={{ id: "next" }} /> : <p className="muted small meter-inset">The settings name none: every provider key is replaced by hand.</p>;
        }}
      </Loaded>
    </Panel>
  );
}

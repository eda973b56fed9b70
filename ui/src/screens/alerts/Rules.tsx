// What raises an alert of each kind, what ends it, and who is told of it.

import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { destinations } from "../../api/alerts";
import { SeverityOf, nameOfKind } from "../../parts/alerts";
import { Loaded, Panel, Tag } from "../../parts/basic";
import { DataTable, type Column } from "../../parts/DataTable";
import { rules } from "./kinds";

type Rule = (typeof rules)[number];
const rank = { info: 0, warning: 1, critical: 2 } as const;

export default function Rules() {
  const asked = useQuery(destinations);
  return (
    <Panel title="Rules" about="The house holds them itself. What is told to whom is set at each destination." flush>
      <Loaded of={asked} what="Destinations">
        {(all) => {
          const toldOf = (rule: Rule) => all.filter((one) => one.active && !one.fault && (!one.kinds || one.kinds.includes(rule.kind)) && rank[rule.severity] >= rank[one.min_severity ?? "info"]);
          const columns: Column<Rule>[] = [
            { id: "kind", head: "Alert", sort: (row) => nameOfKind(row.kind), cell: (row) => <><strong>{nameOfKind(row.kind)}</strong><span className="faint small rule-word">{row.kind}</span></> },
            { id: "severity", head: "Up to", hide: "narrow", sort: (row) => -rank[row.severity], cell: (row) => <SeverityOf of={row.severity} /> },
            { id: "raised", head: "Raised when", cell: (row) => row.raised },
            { id: "ends", head: "Resolved when", hide: "medium", cell: (row) => <span className="muted">{row.ends}</span> },
            { id: "told", head: "Told to", hide: "narrow", cell: (row) => { const names = toldOf(row); return names.length === 0 ? <span className="faint">nobody</span> : <span className="row-wrap">{names.map((one) => <Tag key={one.id}>{one.name}</Tag>)}</span>; } },
          ];
          return (
            <>
              <DataTable label="Rules" rows={rules} columns={columns} keyOf={(row) => row.kind} first={{ id: "severity" }} />
              {all.length === 0 && <p className="table-foot muted small">Nobody is told yet: add a <Link to="/alerts/$tab" params={{ tab: "destinations" }}>destination</Link>. Alerts stand in this console and in the trail all the same.</p>}
            </>
          );
        }}
      </Loaded>
    </Panel>
  );
}

// The alerts that nobody has confirmed yet, on the dashboard.

import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { alertsOf } from "../api/queries";
import { nameOfKind, SeverityOf, SubjectOf } from "./alerts";
import { Loaded, Panel } from "./basic";

const rank = { critical: 0, warning: 1, info: 2 } as const;

export default function AlertsNow() {
  const asked = useQuery(alertsOf("open"));
  return (
    <Panel title="Alerts" actions={<Link to="/alerts" className="small">All</Link>}>
      <Loaded of={asked} what="Alerts" rows={2}>
        {(open) => open.length === 0 ? <p className="muted small">Nothing is open.</p> : (
          <ul className="lines">
            {[...open].sort((a, b) => rank[a.severity] - rank[b.severity]).slice(0, 4).map((alert) => (
              <li key={alert.id}><span className="grow">{nameOfKind(alert.kind)} <span className="small"><SubjectOf of={alert.subject} /></span></span><SeverityOf of={alert.severity} /></li>
            ))}
          </ul>
        )}
      </Loaded>
    </Panel>
  );
}

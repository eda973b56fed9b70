// Alerts whose cause is there: those that nobody has confirmed yet, and those that somebody knows of.

import { Button } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { type Alert, refresh } from "../../api/alerts";
import { api, ask } from "../../api/client";
import { alertsOf } from "../../api/queries";
import { exact } from "../../format";
import { DetailOf, SeverityOf, SubjectOf, nameOfKind } from "../../parts/alerts";
import { Empty, Loaded, Panel, Time, told } from "../../parts/basic";
import { useNames } from "../../parts/who";
import { may, useWho } from "../../session";

const rank = { critical: 0, warning: 1, info: 2 } as const;

function Row({ alert }: { alert: Alert }) {
  const [busy, setBusy] = useState(false);
  const named = useNames();
  const who = useWho();
  const acknowledge = async () => {
    setBusy(true);
    try {
      await ask(() => api.POST("/api/v1/admin/alerts/{id}/ack", { params: { path: { id: alert.id } } }));
      await refresh();
      told.done("Noted. It stands until its cause is gone.");
    } catch (fault) {
      told.refused(fault);
      setBusy(false);
    }
  };
  return (
    <li className="alert">
      <SeverityOf of={alert.severity} />
      <div className="grow">
        <p><strong>{nameOfKind(alert.kind)}</strong> <span className="alert-subject"><SubjectOf of={alert.subject} /></span></p>
        <p className="muted"><DetailOf of={alert.detail} /></p>
        <p className="faint small">
          Since <Time at={alert.first_seen} />{alert.count > 1 && <>, {exact(alert.count)} times, last <Time at={alert.last_seen} as="relative" /></>}
          {alert.acknowledged_at && <>. {named(alert.acknowledged_by ?? "")} has known of it since <Time at={alert.acknowledged_at} /></>}
        </p>
      </div>
      {alert.state === "open" && may.operate(who.role) && <Button variant="default" size="xs" loading={busy} onClick={() => void acknowledge()} aria-label={`Acknowledge: ${nameOfKind(alert.kind)}, ${alert.subject.name || alert.subject.id}`}>Acknowledge</Button>}
    </li>
  );
}

const List = ({ items }: { items: Alert[] }) => (
  <ul className="alerts">{[...items].sort((a, b) => rank[a.severity] - rank[b.severity] || b.first_seen.localeCompare(a.first_seen)).map((alert) => <Row key={alert.id} alert={alert} />)}</ul>
);

export default function Standing() {
  const open = useQuery({ ...alertsOf("open"), refetchInterval: 5_000 });
  const known = useQuery({ ...alertsOf("acknowledged"), refetchInterval: 5_000 });
  return (
    <div className="stack">
      <Panel title="Open" about="Nobody has confirmed these yet.">
        <Loaded of={open} what="Alerts">{(items) => items.length === 0 ? <Empty icon="check" title="Nothing is open">Whoever is told of alerts stands under Destinations.</Empty> : <List items={items} />}</Loaded>
      </Panel>
      {(known.data?.length ?? 0) > 0 && <Panel title="Acknowledged" about="Somebody knows; their cause is still there."><List items={known.data ?? []} /></Panel>}
    </div>
  );
}

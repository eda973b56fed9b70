// Alerts whose cause is gone, newest first.

import { Button, Select } from "@mantine/core";
import { useInfiniteQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { type Alert, type AlertKind, pastAlerts } from "../../api/alerts";
import { exact, plural } from "../../format";
import { DetailOf, SeverityOf, SubjectOf, nameOfKind } from "../../parts/alerts";
import { Empty, Loaded, Panel, Time } from "../../parts/basic";
import { DataTable, type Column } from "../../parts/DataTable";
import { rules } from "./kinds";

export default function History() {
  const { kind } = useSearch({ strict: false }) as { kind?: AlertKind };
  const go = useNavigate();
  const pages = useInfiniteQuery(pastAlerts(kind));
  const all = pages.data?.pages.flatMap((page) => page.items) ?? [];
  const columns: Column<Alert>[] = [
    { id: "kind", head: "Alert", sort: (row) => nameOfKind(row.kind), cell: (row) => <strong>{nameOfKind(row.kind)}</strong> },
    { id: "severity", head: "Severity", hide: "medium", cell: (row) => <SeverityOf of={row.severity} /> },
    { id: "subject", head: "About", sort: (row) => row.subject.name, cell: (row) => <SubjectOf of={row.subject} /> },
    { id: "count", head: "Times", hide: "medium", align: "right", sort: (row) => row.count, cell: (row) => exact(row.count) },
    { id: "raised", head: "Raised", hide: "narrow", sort: (row) => row.first_seen, cell: (row) => <Time at={row.first_seen} /> },
    { id: "resolved", head: "Resolved", sort: (row) => row.resolved_at ?? "", cell: (row) => <Time at={row.resolved_at} /> },
    { id: "why", head: "Because", hide: "medium", cell: (row) => <span className="muted"><DetailOf of={row.detail} /></span> },
  ];
  return (
    <Panel flush>
      <div className="toolbar">
        <Select aria-label="Kind" placeholder="Every kind" value={kind ?? null} clearable searchable clearButtonProps={{ "aria-label": "Every kind" }}
          onChange={(value) => void go({ to: "/alerts/$tab", params: { tab: "history" }, search: { kind: (value ?? undefined) as AlertKind | undefined }, replace: true })}
          data={rules.map((rule) => ({ value: rule.kind, label: nameOfKind(rule.kind) }))} className="grow" />
      </div>
      <Loaded of={pages} what="Alerts">
        {() => all.length === 0 ? <Empty icon="clock" title="None has been resolved">What is over stands here, with when and why.</Empty> : (
          <>
            <DataTable label="Resolved alerts" rows={all} columns={columns} keyOf={(row) => row.id} />
            <div className="table-foot row-between">
              <span className="faint small">{plural(all.length, "alert")} shown</span>
              {pages.hasNextPage && <Button variant="default" size="xs" loading={pages.isFetchingNextPage} onClick={() => void pages.fetchNextPage()}>Older</Button>}
            </div>
          </>
        )}
      </Loaded>
    </Panel>
  );
}

// What destinations were told, what waits for its next try, and what was given up.

import { Button, SegmentedControl } from "@mantine/core";
import { useInfiniteQuery } from "@tanstack/react-query";
import { useState } from "react";
import { type Delivery, type Destination, deliveries, refresh } from "../../api/alerts";
import { api, ask } from "../../api/client";
import { exact, plural } from "../../format";
import { Empty, Loaded, Panel, Status, Time, type Tone, told } from "../../parts/basic";
import { DataTable, type Column } from "../../parts/DataTable";

const tones: Record<Delivery["state"], Tone> = { waiting: "info", delivered: "good", dead: "bad" };
const said: Record<Delivery["state"], string> = { waiting: "waits", delivered: "confirmed", dead: "given up" };
const events: Record<Delivery["event"], string> = { raised: "raised", resolved: "resolved", test: "test", report: "report" };

export function Deliveries({ destinations, mayAct }: { destinations: Destination[]; mayAct: boolean }) {
  const [state, setState] = useState<Delivery["state"] | "all">("all");
  const pages = useInfiniteQuery(deliveries(state === "all" ? undefined : state));
  const all = pages.data?.pages.flatMap((page) => page.items) ?? [];
  const resend = async (id: string) => {
    await ask(() => api.POST("/api/v1/admin/alert-deliveries/{id}/resend", { params: { path: { id } } }));
    await refresh();
    told.done("It is tried again.");
  };
  const columns: Column<Delivery>[] = [
    { id: "when", head: "When", cell: (row) => <Time at={row.created_at} as="second" /> },
    { id: "to", head: "To", cell: (row) => destinations.find((one) => one.id === row.destination)?.name ?? <span className="faint">removed</span> },
    { id: "what", head: "Of", hide: "narrow", cell: (row) => events[row.event] },
    { id: "state", head: "State", cell: (row) => <><Status tone={tones[row.state]}>{said[row.state]}</Status>{row.fault && row.state !== "delivered" && <p className="small faint part-error">{row.fault}</p>}</> },
    { id: "tries", head: "Tries", hide: "narrow", align: "right", cell: (row) => exact(row.attempts) },
    { id: "next", head: "Next try", hide: "medium", cell: (row) => <Time at={row.next_at} as="relative" /> },
    { id: "acts", head: "", align: "right", cell: (row) => mayAct && row.state === "dead" && <Button variant="subtle" size="compact-xs" onClick={() => void resend(row.id).catch(told.refused)} aria-label="Send again what was given up">Send again</Button> },
  ];
  return (
    <Panel title="Told" about="Newest first. A killed process, a restart or another node goes on with what waits." flush
      actions={<SegmentedControl aria-label="State" size="xs" value={state} onChange={(value) => setState(value as typeof state)} data={[{ value: "all", label: "All" }, { value: "waiting", label: "Waits" }, { value: "delivered", label: "Confirmed" }, { value: "dead", label: "Given up" }]} />}>
      <Loaded of={pages} what="Deliveries" rows={3}>
        {() => all.length === 0 ? <Empty icon="clock" title={state === "all" ? "Nothing was told yet" : "There is none"} /> : (
          <>
            <DataTable label="Deliveries" rows={all} columns={columns} keyOf={(row) => row.id} />
            <div className="table-foot row-between">
              <span className="faint small">{plural(all.length, "delivery", "deliveries")} shown</span>
              {pages.hasNextPage && <Button variant="default" size="xs" loading={pages.isFetchingNextPage} onClick={() => void pages.fetchNextPage()}>Older</Button>}
            </div>
          </>
        )}
      </Loaded>
    </Panel>
  );
}

// One run that fetches history: how far it is, and what each symbol of it came to.

import { Button } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useState } from "react";
import { type Schemas, api, ask } from "../api/client";
import { queries, run as runQuery } from "../api/queries";
import { exact, number, percent, sentence } from "../format";
import { Icon } from "../icons";
import { Empty, Facts, Loaded, Mono, Page, Panel, Time, told } from "../parts/basic";
import { DataTable, type Column } from "../parts/DataTable";
import { useNames } from "../parts/who";
import { runRoute } from "../router";
import { may, useWho } from "../session";
import { Day, HistoryState, causes } from "../parts/history";

type Part = Schemas["BackfillPart"];

const reasonsOf = (part: Part) => Object.entries((part.reasons ?? {}) as Record<string, number>).map(([reason, count]) => `${sentence(reason).toLowerCase()}: ${exact(count)}`).join(", ");
/** How much of its range is stored; a checkpoint is a time. */
const doneOf = (part: Part) => {
  const [from, to, at] = [part.from, part.to, part.checkpoint].map((time) => Date.parse(time)) as [number, number, number];
  return part.state === "completed" ? 1 : to > from ? Math.min(Math.max((at - from) / (to - from), 0), 1) : 0;
};

/** What it has stored stays, so that nobody is asked twice. */
function CancelRun({ id, wanted }: { id: string; wanted: boolean }) {
  const [busy, setBusy] = useState(wanted);
  const end = async () => {
    setBusy(true);
    try {
      await ask(() => api.POST("/api/v1/admin/backfill/{id}/cancel", { params: { path: { id } } }));
      await queries.invalidateQueries({ queryKey: ["runs"] });
    } catch (fault) {
      told.refused(fault);
      setBusy(false);
    }
  };
  return <Button variant="default" leftSection={<Icon name="cross" size={16} />} loading={busy} onClick={() => void end()} title="What it has stored stays; the next run goes on from there">End this run</Button>;
}

export function Run() {
  const { id } = runRoute.useParams() as { id: string };
  const asked = useQuery(runQuery(id));
  const named = useNames();
  const who = useWho();
  return (
    <Loaded of={asked} what="This run">
      {(run) => {
        const isOpen = run.state === "pending" || run.state === "in_progress";
        const share = run.parts.length ? run.parts.reduce((sum, part) => sum + doneOf(part), 0) / run.parts.length : isOpen ? 0 : 1;
        const columns: Column<Part>[] = [
          { id: "symbol", head: "Symbol", sort: (row) => row.symbol, cell: (row) => <Link to="/market/$symbol" params={{ symbol: row.symbol }} className="row-link">{row.symbol}</Link> },
          { id: "state", head: "State", sort: (row) => row.state, cell: (row) => <><HistoryState state={row.state} why={row.error} />{row.error && <p className="small text-bad part-error">{row.error}</p>}</> },
          { id: "done", head: "Stored to", hide: "narrow", cell: (row) => <Day at={row.checkpoint} /> },
          { id: "candles", head: "Candles", align: "right", sort: (row) => row.candles, cell: (row) => number(row.candles) },
          { id: "rejected", head: "Refused", align: "right", hide: "narrow", sort: (row) => row.rejected, cell: (row) => (row.rejected ? <span className="text-warn" title={reasonsOf(row)}>{number(row.rejected)}</span> : <span className="faint">0</span>) },
          { id: "coverage", head: "Coverage", align: "right", hide: "medium", sort: (row) => row.coverage ?? 2, cell: (row) => (row.coverage === null || row.coverage === undefined ? <span className="faint">–</span> : percent(row.coverage)) },
          { id: "gaps", head: "Gaps", align: "right", hide: "medium", sort: (row) => row.gaps.length, cell: (row) => exact(row.gaps.length) },
        ];
        return (
          <Page title="Run" name="Run" above={<Link to="/market">Market</Link>} about={<span className="row-wrap"><HistoryState state={run.state} /><span>asked for <Time at={run.created_at} /> by {named(run.asked_by)}</span></span>}
            actions={isOpen && may.operate(who.role) ? <CancelRun id={run.id} wanted={run.cancelled_by !== null && run.cancelled_by !== undefined} /> : undefined}>
            {run.error && <div className={`banner ${run.state === "failed" ? "banner-bad" : "banner-warn"}`} role="status"><Icon name="warn" /><span>{run.error}</span></div>}
            <div className="figures">
              <div className="figure"><span className="figure-name">Symbols</span><span className="figure-value">{exact(run.completed)}<span className="figure-unit"> of {exact(run.symbol_count)}</span></span>{run.failed > 0 && <span className="moved text-bad">{exact(run.failed)} failed</span>}</div>
              <div className="figure"><span className="figure-name">Candles</span><span className="figure-value">{number(run.candles)}</span></div>
              <div className="figure"><span className="figure-name">Refused</span><span className="figure-value">{number(run.rejected)}</span></div>
              <div className="figure"><span className="figure-name">Pages read</span><span className="figure-value">{number(run.pages)}</span></div>
            </div>
            {isOpen && (
              <Panel>
                <div className="meter">
                  <p className="meter-head"><span>{run.state === "pending" ? "Waits for its turn" : "Goes on as fast as the provider's limit lets it"}</span><span className="num">{percent(share)}</span></p>
                  <progress className="meter-bar meter-good" max={1} value={share} aria-label="Progress of the run" />
                </div>
              </Panel>
            )}
            <div className="columns columns-wide-left">
              <Panel title="Symbols" flush>
                {run.parts.length === 0 ? <Empty icon="candles" title={isOpen ? "Not begun yet" : "Nothing to fetch"} /> : <DataTable label="Symbols of the run" rows={run.parts} columns={columns} keyOf={(row) => `${row.symbol} ${row.interval ?? ""}`} first={{ id: "symbol" }} />}
              </Panel>
              <Panel title="About">
                <Facts items={[
                  { name: "Cause", value: causes[run.cause] ?? run.cause },
                  { name: "Range", value: <>{run.from ? <Day at={run.from} /> : "where each left off"} to <Day at={run.to} /></> },
                  run.interval ? { name: "Candles of", value: run.interval } : null,
                  { name: "Begun", value: <Time at={run.started_at} as="second" /> },
                  { name: "Ended", value: <Time at={run.finished_at} as="second" /> },
                  { name: "Id", value: <Mono>{run.id}</Mono> },
                ]} />
              </Panel>
            </div>
          </Page>
        );
      }}
    </Loaded>
  );
}

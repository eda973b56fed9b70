// Tracked symbols and the runs that fetch their history, with the house's own key and within the provider's limit.

import { Button, Modal, Select, TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import { type Refused, type Schemas, api, ask, asRefused } from "../api/client";
import { providers, queries, runs, symbols } from "../api/queries";
import { exact, number, percent, plural, sentence } from "../format";
import { Icon } from "../icons";
import { Empty, Loaded, Page, Panel, Tag, Time, told } from "../parts/basic";
import { DataTable, type Column } from "../parts/DataTable";
import { Day, HistoryState, fetchHistory } from "../parts/history";
import { useNames } from "../parts/who";
import { marketRoute } from "../router";
import { may, useWho } from "../session";

type Symbol = Schemas["Symbol"];
type Run = Schemas["Backfill"];

function Track({ onClose }: { onClose: () => void }) {
  const catalogue = useQuery(providers);
  const [name, setName] = useState("");
  const [kind, setKind] = useState<string | null>(null);
  const [provider, setProvider] = useState<string | null>(null);
  const [interval, setInterval] = useState<string | null>(null);
  const [refused, setRefused] = useState<Refused | null>(null);
  const [busy, setBusy] = useState(false);
  const go = useNavigate();
  const save = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    setRefused(null);
    try {
      const body = { symbol: name, ...(kind ? { asset_class: kind as Symbol["asset_class"] } : {}), ...(provider ? { provider } : {}), ...(interval ? { interval: interval as Schemas["Interval"] } : {}) };
      const made = await ask(() => api.POST("/api/v1/admin/symbols", { body }));
      await queries.invalidateQueries({ queryKey: ["symbols"] });
      await go({ to: "/market/$symbol", params: { symbol: made.symbol } });
    } catch (fault) {
      setRefused(asRefused(fault));
      setBusy(false);
    }
  };
  return (
    <Modal opened onClose={onClose} title="Track a symbol">
      <form className="stack" onSubmit={(event) => void save(event)}>
        <TextInput label="Symbol" placeholder="AAPL, BRK.B, BTC-USD" value={name} onChange={(event) => setName(event.currentTarget.value)} error={refused?.of("symbol")} autoCapitalize="characters" spellCheck={false} autoComplete="off" required data-autofocus />
        <div className="grid-2">
          <Select label="It is" placeholder="as its name says" value={kind} onChange={setKind} clearable data={["stock", "etf", "crypto"]} error={refused?.of("asset_class")} clearButtonProps={{ "aria-label": "As its name says" }} />
          <Select label="A candle lasts" placeholder="as the settings say" value={interval} onChange={setInterval} clearable data={["1m", "5m", "15m", "1h", "1d"]} error={refused?.of("interval")} clearButtonProps={{ "aria-label": "As the settings say" }} />
        </div>
        <Select label="Its history comes from" placeholder="as the settings say" value={provider} onChange={setProvider} clearable searchable data={catalogue.data?.map((one) => ({ value: one.id, label: one.title })) ?? []} error={refused?.of("provider")} clearButtonProps={{ "aria-label": "As the settings say" }} />
        {refused && refused.fields.length === 0 && <p className="fault" role="alert">{refused.message}</p>}
        <div className="row-end"><Button variant="default" onClick={onClose}>Cancel</Button><Button type="submit" loading={busy}>Track it</Button></div>
      </form>
    </Modal>
  );
}

function Runs() {
  const asked = useQuery(runs);
  const named = useNames();
  const go = useNavigate();
  const columns: Column<Run>[] = [
    { id: "begun", head: "Asked for", sort: (row) => row.created_at, cell: (row) => <Link to="/market/runs/$id" params={{ id: row.id }} className="row-link"><Time at={row.created_at} /></Link> },
    { id: "state", head: "State", cell: (row) => <HistoryState state={row.state} why={row.error} /> },
    { id: "by", head: "By", hide: "medium", cell: (row) => <span className="muted">{named(row.asked_by)}</span> },
    { id: "what", head: "Symbols", align: "right", cell: (row) => <>{exact(row.completed)} of {exact(row.symbol_count)}{row.failed > 0 && <span className="text-bad"> · {exact(row.failed)} failed</span>}</> },
    { id: "candles", head: "Candles", align: "right", hide: "narrow", cell: (row) => number(row.candles) },
    { id: "rejected", head: "Refused", align: "right", hide: "medium", cell: (row) => (row.rejected ? <span className="text-warn">{number(row.rejected)}</span> : <span className="faint">0</span>) },
  ];
  return (
    <Panel title="Runs" about={<>Those of late; one at a time, and each goes on by itself after a restart.{asked.data?.next_due && <> The next by schedule: <Time at={asked.data.next_due} />.</>}</>} flush>
      <Loaded of={asked} what="Runs" rows={3}>
        {({ items }) => items.length === 0 ? <Empty icon="clock" title="No run yet">A run fetches the history of all tracked symbols, or of those that are named.</Empty>
          : <DataTable label="Runs" rows={items} columns={columns} keyOf={(row) => row.id} first={{ id: "begun", desc: true }} onRow={(row) => void go({ to: "/market/runs/$id", params: { id: row.id } })} />}
      </Loaded>
    </Panel>
  );
}

export function Market() {
  const asked = useQuery(symbols);
  const { q } = marketRoute.useSearch();
  const go = useNavigate({ from: marketRoute.fullPath });
  const who = useWho();
  const [tracking, setTracking] = useState(false);
  const [busy, setBusy] = useState(false);
  const mayAct = may.operate(who.role);
  const fetchAll = async () => {
    setBusy(true);
    await fetchHistory({}, (id) => go({ to: "/market/runs/$id", params: { id } })).catch(told.refused);
    setBusy(false);
  };
  const columns: Column<Symbol>[] = [
    { id: "symbol", head: "Symbol", sort: (row) => row.symbol, cell: (row) => <><Link to="/market/$symbol" params={{ symbol: row.symbol }} className="row-link">{row.symbol}</Link>{!row.active && <> <Tag>not tracked</Tag></>}</> },
    { id: "class", head: "Kind", hide: "narrow", sort: (row) => row.asset_class, cell: (row) => (row.asset_class === "etf" ? "ETF" : row.asset_class) },
    { id: "state", head: "History", sort: (row) => row.backfill_status, cell: (row) => <HistoryState state={row.backfill_status} why={row.backfill_error} /> },
    { id: "candles", head: "Candles", align: "right", sort: (row) => row.record_count, cell: (row) => number(row.record_count) },
    { id: "first", head: "From", hide: "medium", sort: (row) => row.first ?? "", cell: (row) => <Day at={row.first} /> },
    { id: "last", head: "To", hide: "narrow", sort: (row) => row.last ?? "", cell: (row) => <Day at={row.last} /> },
    { id: "good", head: "Good", align: "right", hide: "medium", sort: (row) => row.validation_rate ?? 2, cell: (row) => (row.validation_rate === null || row.validation_rate === undefined ? <span className="faint">–</span> : <span className={row.validation_rate < 0.99 ? "text-warn" : undefined}>{percent(row.validation_rate)}</span>) },
  ];
  const add = mayAct && <Button leftSection={<Icon name="plus" size={16} />} onClick={() => setTracking(true)}>Track a symbol</Button>;
  return (
    <Page title="Market" about="Symbols that the house keeps the history of, fetched with its own key and within the provider's limit."
      actions={<>{mayAct && (asked.data?.some((one) => one.active) ?? false) && <Button variant="default" leftSection={<Icon name="down" size={16} />} loading={busy} onClick={() => void fetchAll()}>Fetch all</Button>}{add}</>}>
      <Loaded of={asked} what="Symbols">
        {(all) => {
          if (all.length === 0) return <Panel><Empty icon="candles" title="No symbol is tracked" action={add || undefined}>Stocks, ETFs and crypto pairs: their candles are kept here and read with a client key, without the provider's.</Empty></Panel>;
          const wanted = q?.toUpperCase() ?? "";
          const rows = all.filter((row) => row.symbol.includes(wanted) || row.asset_class.toUpperCase().includes(wanted));
          const kinds = ["stock", "etf", "crypto"].map((kind) => [kind, all.filter((row) => row.active && row.asset_class === kind).length] as const).filter(([, count]) => count > 0);
          return (
            <Panel flush>
              <div className="toolbar">
                <TextInput aria-label="Search" placeholder="Search by symbol or kind" leftSection={<Icon name="search" size={16} />} value={q ?? ""} onChange={(event) => void go({ search: (before) => ({ ...before, q: event.target.value || undefined }), replace: true })} className="grow" />
              </div>
              <DataTable label="Symbols" rows={rows} columns={columns} keyOf={(row) => row.symbol} first={{ id: "symbol" }} onRow={(row) => void go({ to: "/market/$symbol", params: { symbol: row.symbol } })} none="No symbol fits what was searched for." />
              <p className="table-foot faint small">{kinds.map(([kind, count]) => plural(count, kind === "etf" ? "ETF" : kind === "crypto" ? "pair" : kind)).map(sentence).join(" · ") || "None is tracked"}</p>
            </Panel>
          );
        }}
      </Loaded>
      <Runs />
      {tracking && <Track onClose={() => setTracking(false)} />}
    </Page>
  );
}

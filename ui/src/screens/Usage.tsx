// What calls added up to: any range, beside the range before, by provider, client, key or status.

import { Button, Menu, SegmentedControl, Select } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { type ReactNode, useMemo } from "react";
import { type Schemas, keep } from "../api/client";
import { clientKeys, providers, secrets, usage } from "../api/queries";
import { bytes, duration, exact, local, money, number, percent, sentence } from "../format";
import { Icon } from "../icons";
import { Empty, Loaded, Page, Panel } from "../parts/basic";
import { DataTable, type Column } from "../parts/DataTable";
import { LazyChart, type Point, type Series } from "../parts/LazyChart";
import { Moved } from "../parts/marks";
import { When } from "../parts/When";
import { usageRoute } from "../router";
import { type Bucket, type Sum, byGroup, failed, lengths, nameOf, nothing, places, total, within } from "../series";

type Usage = Schemas["Usage"];

const day = 86_400_000;
const spans: Record<string, number> = { "1h": 3_600_000, "24h": day, "7d": 7 * day, "30d": 30 * day, "90d": 90 * day };
/** Of each day there is a bar. */
const longest = 800 * day;
const bucketFor = (length: number): Bucket => (length <= 2 * 3_600_000 ? "minute" : length <= 8 * day ? "hour" : "day");
const palette = ["pine.5", "indigo.5", "orange.5", "cyan.6", "grape.5", "yellow.6", "gray.5"];

function Figure({ name, value, children }: { name: string; value: string; children?: ReactNode }) {
  return <div className="figure"><span className="figure-name">{name}</span><span className="figure-value">{value}</span>{children}</div>;
}

const save = (name: string, type: string, text: string) => keep(new Blob([text], { type }), name);

interface Row extends Sum {
  id: string;
  name: string;
  before: Sum;
}

export function Usage() {
  const search = usageRoute.useSearch();
  const go = useNavigate({ from: usageRoute.fullPath });
  const range = search.range ?? "24h";
  const by = search.by ?? "provider";
  const minute = Math.floor(Date.now() / 60_000);
  const { from, to, bucket } = useMemo(() => {
    const until = range === "custom" && search.to ? new Date(search.to).getTime() : (minute + 1) * 60_000;
    const wanted = range === "custom" && search.from ? new Date(search.from).getTime() : until - (spans[range] ?? day);
    const since = wanted < until ? Math.max(wanted, until - longest) : until - day;
    const length = bucketFor(until - since);
    return { from: Math.floor(since / lengths[length]) * lengths[length], to: until, bucket: length };
  }, [range, search.from, search.to, minute]);
  const earlier = from - (to - from);
  const ask = { from: new Date(earlier).toISOString(), ...(range === "custom" ? { to: new Date(to).toISOString() } : {}), bucket };
  const grouped = useQuery({ ...usage({ ...ask, group_by: by }), placeholderData: (before) => before });
  const whole = useQuery({ ...usage(ask), placeholderData: (before) => before });
  const keys = useQuery(clientKeys);
  const held = useQuery(secrets);
  const catalogue = useQuery(providers);

  const named = (group: string) => {
    if (group === "") return by === "status" ? "no status" : "none";
    if (by === "client") return keys.data?.find((key) => key.id === group)?.name ?? group.slice(0, 8);
    if (by === "secret") {
      const secret = held.data?.find((one) => one.id === group);
      return secret ? `${secret.provider} ${secret.name}` : group.slice(0, 8);
    }
    return by === "provider" ? (catalogue.data?.find((one) => one.id === group)?.title ?? group) : group;
  };
  const set = (more: Partial<typeof search>) => void go({ search: (before) => ({ ...before, ...more }), replace: true });

  const view = useMemo(() => {
    const all = grouped.data?.items ?? [];
    const now = within(all, from, to);
    const [sums, sumsBefore] = [byGroup(now), byGroup(within(all, earlier, from))];
    const ids = [...new Set([...sums.keys(), ...sumsBefore.keys()])];
    const rows: Row[] = ids.map((id) => ({ id, name: named(id), ...(sums.get(id) ?? nothing()), before: sumsBefore.get(id) ?? nothing() })).sort((a, b) => b.requests - a.requests);
    const top = (search.only ? rows.filter((row) => row.id === search.only) : rows).slice(0, 6);
    const rest = search.only ? [] : rows.slice(6);
    const at = places(from, to, bucket);
    const long = to - from > day;
    const requests: Point[] = at.map((start) => ({ at: nameOf(start, bucket, long) }));
    const cost: Point[] = at.map((start) => ({ at: nameOf(start, bucket, long) }));
    const index = new Map(at.map((start, place) => [start, place]));
    const seriesOf = new Map(top.map((row, place) => [row.id, `s${place}`]));
    for (const point of [...requests, ...cost]) {
      for (const key of seriesOf.values()) point[key] = 0;
      if (rest.length > 0) point["rest"] = 0;
    }
    for (const item of now) {
      const place = index.get(new Date(item.bucket).getTime());
      const key = seriesOf.get(item.group ?? "") ?? (rest.length > 0 ? "rest" : undefined);
      if (place === undefined || key === undefined) continue;
      const [point, dollars] = [requests[place], cost[place]];
      if (point) point[key] = (Number(point[key]) || 0) + item.requests;
      if (dollars) dollars[key] = (Number(dollars[key]) || 0) + item.cost;
    }
    const series: Series[] = top.map((row, place) => ({ name: `s${place}`, label: row.name, color: palette[place] ?? "gray.5" }));
    if (rest.length > 0) series.push({ name: "rest", label: `${rest.length} others`, color: "gray.5" });
    return { rows, requests, cost, series, at, index, long };
  }, [grouped.data, from, to, by, search.only, keys.data, held.data, catalogue.data]);

  const items = whole.data?.items ?? [];
  const nowItems = within(items, from, to);
  const [sum, sumBefore] = [total(nowItems), total(within(items, earlier, from))];
  const latency: Point[] = view.at.map((start) => ({ at: nameOf(start, bucket, view.long) }));
  const faults: Point[] = view.at.map((start) => ({ at: nameOf(start, bucket, view.long), client: 0, provider: 0, us: 0 }));
  for (const item of nowItems) {
    const place = view.index.get(new Date(item.bucket).getTime());
    const [line, fault] = place === undefined ? [] : [latency[place], faults[place]];
    if (line) Object.assign(line, { p50: item.p50_ms, p95: item.p95_ms, p99: item.p99_ms });
    if (fault) Object.assign(fault, item.errors);
  }

  const columns: Column<Row>[] = [
    { id: "name", head: sentence(by), sort: (row) => row.name.toLowerCase(), cell: (row) => <button type="button" className="as-link" aria-pressed={search.only === row.id} onClick={() => set({ only: search.only === row.id ? undefined : row.id })}>{row.name}</button> },
    { id: "requests", head: "Calls", align: "right", sort: (row) => row.requests, cell: (row) => exact(row.requests) },
    { id: "before", head: "Before", align: "right", hide: "narrow", sort: (row) => row.before.requests, cell: (row) => <span className="faint">{exact(row.before.requests)}</span> },
    { id: "failed", head: "Failed", align: "right", sort: (row) => failed(row), cell: (row) => (row.requests ? percent(failed(row) / row.requests) : "–") },
    { id: "us", head: "Client / provider / us", align: "right", hide: "medium", cell: (row) => <span className="faint">{`${exact(row.client)} / ${exact(row.provider)} / ${exact(row.us)}`}</span> },
    { id: "out", head: "Received", align: "right", hide: "medium", sort: (row) => row.bytes_out, cell: (row) => bytes(row.bytes_out) },
    { id: "tokens", head: "Tokens", align: "right", hide: "medium", sort: (row) => row.tokens, cell: (row) => (row.tokens ? number(row.tokens) : "–") },
    { id: "cost", head: "Cost", align: "right", sort: (row) => row.cost, cell: (row) => (row.cost || row.unpriced ? `${money(row.cost)}${row.unpriced ? " +" : ""}` : "–") },
  ];
  const stem = `sealgate-usage-${by}-${new Date(from).toISOString().slice(0, 10)}`;
  const asCsv = () => {
    const quote = (text: string) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : /^[=+@-]/.test(text) ? `'${text}` : text);
    const head = `${by},requests,requests_before,errors_client,errors_provider,errors_us,bytes_in,bytes_out,tokens,cost_dollars\n`;
    save(`${stem}.csv`, "text/csv", head + view.rows.map((row) => [quote(row.name), row.requests, row.before.requests, row.client, row.provider, row.us, row.bytes_in, row.bytes_out, row.tokens, row.cost].join(",")).join("\n") + "\n");
  };
  return (
    <Page title="Usage and cost" about={`${local(from)} to ${range === "custom" ? local(to) : "now"}`}
      actions={
        <Menu position="bottom-end">
          <Menu.Target><Button variant="default" leftSection={<Icon name="down" size={16} />}>Export</Button></Menu.Target>
          <Menu.Dropdown>
            <Menu.Label>What is shown</Menu.Label>
            <Menu.Item onClick={asCsv}>CSV</Menu.Item>
            <Menu.Item onClick={() => save(`${stem}.json`, "application/json", `${JSON.stringify(view.rows, null, 2)}\n`)}>JSON</Menu.Item>
          </Menu.Dropdown>
        </Menu>
      }>
      <div className="toolbar toolbar-bare">
        <SegmentedControl aria-label="Range" size="xs" value={range} onChange={(value) => set({ range: value as typeof range, ...(value === "custom" ? { from: new Date(from).toISOString(), to: new Date(to).toISOString() } : { from: undefined, to: undefined }) })}
          data={[{ value: "1h", label: "Hour" }, { value: "24h", label: "Day" }, { value: "7d", label: "Week" }, { value: "30d", label: "30 days" }, { value: "90d", label: "90 days" }, { value: "custom", label: "Other" }]} />
        {range === "custom" && (
          <>
            <When word="from" at={from} onChange={(at) => set({ from: at })} kept />
            <When word="to" at={to} onChange={(at) => set({ to: at })} kept />
          </>
        )}
        <Select aria-label="By" value={by} onChange={(value) => set({ by: (value ?? "provider") as typeof by, only: undefined })} allowDeselect={false} w={168}
          data={[{ value: "provider", label: "by provider" }, { value: "client", label: "by client" }, { value: "secret", label: "by provider key" }, { value: "status", label: "by status" }]} />
      </div>
      <Loaded of={grouped} what="Usage" rows={6}>
        {() => (
          <>
            <div className="figures">
              <Figure name="Calls" value={number(sum.requests)}><Moved now={sum.requests} before={sumBefore.requests} /></Figure>
              <Figure name="Failed" value={sum.requests ? percent(failed(sum) / sum.requests) : "–"}><Moved now={failed(sum)} before={failed(sumBefore)} worse /></Figure>
              <Figure name="Our fault" value={exact(sum.us)}><Moved now={sum.us} before={sumBefore.us} worse /></Figure>
              <Figure name="Received" value={bytes(sum.bytes_out)}><Moved now={sum.bytes_out} before={sumBefore.bytes_out} /></Figure>
              <Figure name="Cost" value={money(sum.cost)}><Moved now={sum.cost} before={sumBefore.cost} /></Figure>
            </div>
            {sum.requests === 0 ? <Panel><Empty icon="chart" title="No call in this range">Choose a longer one, or make the first call.</Empty></Panel> : (
              <>
                <Panel title="Calls"><LazyChart kind="bars" label={`Calls by ${by} over time; the table below has the sums`} data={view.requests} series={view.series} write={number} height={250} legend /></Panel>
                <div className="columns">
                  <Panel title="How long a call takes"><LazyChart kind="lines" label="Percentiles of the duration over time" data={latency} series={[{ name: "p50", label: "p50", color: "pine.5" }, { name: "p95", label: "p95", color: "yellow.6" }, { name: "p99", label: "p99", color: "red.5" }]} write={duration} /></Panel>
                  <Panel title="Failed, by whose fault"><LazyChart kind="bars" label="Failed calls by whose fault over time" data={faults} series={[{ name: "client", label: "the client's", color: "yellow.6" }, { name: "provider", label: "the provider's", color: "orange.6" }, { name: "us", label: "ours", color: "red.6" }]} write={number} /></Panel>
                </div>
                {sum.cost > 0 && <Panel title="Cost"><LazyChart kind="area" label="Cost over time" data={view.cost} series={view.series} write={money} /></Panel>}
              </>
            )}
            {view.rows.length > 0 && <Panel title={`By ${by === "secret" ? "provider key" : by}`} flush><DataTable label="Sums" rows={view.rows} columns={columns} keyOf={(row) => row.id || "-"} first={{ id: "requests", desc: true }} /></Panel>}
          </>
        )}
      </Loaded>
    </Page>
  );
}

// One tracked symbol: its candles as a picture, what there is of them and what is missing.

import { Button, Menu, Modal, SegmentedControl, Select } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import { type FormEvent, Suspense, lazy, useState } from "react";
import { type Refused, type Schemas, api, ask, asRefused } from "../api/client";
import { candles, providers, queries, symbol as symbolQuery } from "../api/queries";
import { exact, number, percent } from "../format";
import { Icon } from "../icons";
import { Empty, Facts, Loaded, Page, Panel, Tag, Time, told } from "../parts/basic";
import { Coverage, Gaps } from "../parts/Coverage";
import { symbolRoute } from "../router";
import { may, useWho } from "../session";
import { Day, HistoryState, fetchHistory } from "../parts/history";

const Drawn = lazy(() => import("../parts/Candles"));

type Shown = Schemas["SymbolShown"];
type Interval = Schemas["Interval"];

const MINUTE = 60_000;
const DAY = 86_400_000;
/** How far one picture reaches; about as many candles as it has room for, and never more than a page. */
const reaches: Record<Interval, number> = { "1m": 12 * 60 * MINUTE, "5m": 3 * DAY, "15m": 7 * DAY, "1h": 30 * DAY, "1d": 366 * DAY };
const lengths: Record<Interval, number> = { "1m": MINUTE, "5m": 5 * MINUTE, "15m": 15 * MINUTE, "1h": 60 * MINUTE, "1d": DAY };
const words: Record<Interval, string> = { "1m": "1 min", "5m": "5 min", "15m": "15 min", "1h": "Hour", "1d": "Day" };

const refresh = () => queries.invalidateQueries({ queryKey: ["symbols"] });

function Picture({ of }: { of: Shown }) {
  const search = symbolRoute.useSearch();
  const go = useNavigate({ from: symbolRoute.fullPath });
  const held = of.series.filter((one) => one.record_count > 0);
  const fullest = [...held].sort((a, b) => b.record_count - a.record_count)[0];
  const series = held.find((one) => one.interval === search.interval) ?? held.find((one) => one.interval === of.interval) ?? fullest;
  const interval = series?.interval ?? "1d";
  const [first, last] = [Date.parse(series?.first ?? ""), Date.parse(series?.last ?? "")];
  const newest = last + lengths[interval];
  const given = search.to ? Date.parse(search.to) : Number.NaN;
  const to = Number.isNaN(given) ? newest : Math.min(Math.max(given, first + lengths[interval]), newest);
  const from = to - reaches[interval];
  const asked = useQuery({ ...candles({ symbol: of.symbol, interval, from: new Date(series ? from : 0).toISOString(), to: new Date(series ? to : 1).toISOString() }), enabled: Boolean(series), placeholderData: (before) => before });
  if (!series) return <Panel><Empty icon="candles" title="No candle yet">{of.backfill_status === "failed" ? "The last run failed; see above." : "A run fetches them: the next one by schedule, or at once by Fetch."}</Empty></Panel>;
  const move = (time: number) => void go({ search: (before) => ({ ...before, to: time >= newest ? undefined : new Date(time).toISOString() }), replace: true });
  return (
    <Panel title="Candles" about={<><Day at={new Date(Math.max(from, first)).toISOString()} /> to <Day at={new Date(to - 1).toISOString()} /></>}
      actions={
        <span className="row-tight">
          {held.length > 1 && <SegmentedControl aria-label="A candle lasts" size="xs" value={interval} onChange={(value) => void go({ search: { interval: value as Interval }, replace: true })} data={held.map((one) => ({ value: one.interval, label: words[one.interval] }))} />}
          <Button.Group>
            <Button size="xs" variant="default" disabled={from <= first} onClick={() => move(to - reaches[interval] * 0.75)}>Earlier</Button>
            <Button size="xs" variant="default" disabled={to >= newest} onClick={() => move(to + reaches[interval] * 0.75)}>Later</Button>
            <Button size="xs" variant="default" disabled={to >= newest} onClick={() => move(newest)}>Newest</Button>
          </Button.Group>
        </span>
      }>
      <Loaded of={asked} what="Candles" rows={6}>
        {({ items }) => items.length === 0 ? <Empty icon="candles" title="No candle in this stretch">Go earlier or later; the gaps are listed below.</Empty> : (
          <Suspense fallback={<span className="bone chart-bone" />}>
            <Drawn items={items} daily={interval === "1d"} label={`${items.length} candles of ${of.symbol}`} />
          </Suspense>
        )}
      </Loaded>
    </Panel>
  );
}

function Edit({ of, onClose }: { of: Shown; onClose: () => void }) {
  const catalogue = useQuery(providers);
  const [provider, setProvider] = useState<string | null>(of.provider ?? null);
  const [interval, setInterval] = useState<string | null>(of.interval ?? null);
  const [refused, setRefused] = useState<Refused | null>(null);
  const save = async (event: FormEvent) => {
    event.preventDefault();
    try {
      await ask(() => api.PUT("/api/v1/admin/symbols/{symbol}", { params: { path: { symbol: of.symbol } }, body: { provider, interval: interval as Interval | null } }));
      await refresh();
      told.done("Saved; the next run goes by it.");
      onClose();
    } catch (fault) {
      setRefused(asRefused(fault));
    }
  };
  return (
    <Modal opened onClose={onClose} title={`Where the history of ${of.symbol} comes from`}>
      <form className="stack" onSubmit={(event) => void save(event)}>
        <Select label="Provider" placeholder="as the settings say" value={provider} onChange={setProvider} clearable searchable data={catalogue.data?.map((one) => ({ value: one.id, label: one.title })) ?? []} error={refused?.of("provider")} clearButtonProps={{ "aria-label": "As the settings say" }} data-autofocus />
        <Select label="A candle lasts" placeholder="as the settings say" value={interval} onChange={setInterval} clearable data={Object.entries(words).map(([value, label]) => ({ value, label }))} error={refused?.of("interval")} clearButtonProps={{ "aria-label": "As the settings say" }} />
        {refused && refused.fields.length === 0 && <p className="fault" role="alert">{refused.message}</p>}
        <div className="row-end"><Button variant="default" onClick={onClose}>Cancel</Button><Button type="submit">Save</Button></div>
      </form>
    </Modal>
  );
}

export function Symbol() {
  const { symbol: name } = symbolRoute.useParams();
  const asked = useQuery(symbolQuery(name));
  const who = useWho();
  const go = useNavigate();
  const [editing, setEditing] = useState(false);
  const [busy, setBusy] = useState(false);
  return (
    <Loaded of={asked} what="This symbol">
      {(of) => {
        const track = async (active: boolean) => {
          await ask(() => api.PUT("/api/v1/admin/symbols/{symbol}", { params: { path: { symbol: of.symbol } }, body: { active } }));
          await refresh();
          told.done(active ? "Tracked again." : "No longer tracked; its history stays.");
        };
        const fetchIt = async () => {
          setBusy(true);
          await fetchHistory({ symbols: [of.symbol] }, (id) => go({ to: "/market/runs/$id", params: { id } })).catch(told.refused);
          setBusy(false);
        };
        return (
          <Page title={of.symbol} above={<Link to="/market">Market</Link>} about={<span className="row-wrap"><HistoryState state={of.backfill_status} why={of.backfill_error} /><span>{of.asset_class === "etf" ? "ETF" : of.asset_class}</span>{!of.active && <Tag>not tracked</Tag>}</span>}
            actions={may.operate(who.role) && (
              <>
                {of.active && <Button variant="default" loading={busy} leftSection={<Icon name="down" size={16} />} onClick={() => void fetchIt()}>Fetch</Button>}
                <Menu position="bottom-end">
                  <Menu.Target><Button variant="default" aria-label="More actions" px="xs"><Icon name="dots" /></Button></Menu.Target>
                  <Menu.Dropdown>
                    <Menu.Item onClick={() => setEditing(true)}>Provider and candles</Menu.Item>
                    {of.active ? <Menu.Item onClick={() => void track(false).catch(told.refused)}>No longer track it</Menu.Item> : <Menu.Item onClick={() => void track(true).catch(told.refused)}>Track it again</Menu.Item>}
                  </Menu.Dropdown>
                </Menu>
              </>
            )}>
            {of.backfill_error && of.backfill_status === "failed" && <div className="banner banner-bad" role="status"><Icon name="warn" /><span><strong>The last run failed.</strong> {of.backfill_error}</span></div>}
            <Picture of={of} />
            <div className="columns columns-wide-left">
              <Panel title="Coverage" about="Days on which there is trade: New York's exchanges for stocks and ETFs, every day for crypto.">
                {of.series.every((one) => !one.first) ? <p className="muted small">Nothing was fetched yet.</p> : (
                  <div className="stack">
                    {of.series.map((one) => one.first && one.last && (
                      <div key={one.interval} className="stack-tight">
                        <p className="row-between small"><strong>{words[one.interval]}</strong><span className="muted num">{one.coverage === null || one.coverage === undefined ? "" : `${percent(one.coverage)} of the days`} · {exact(one.record_count)} candles</span></p>
                        <Coverage first={one.first} last={one.last} gaps={one.gaps} coverage={one.coverage} />
                        <Gaps gaps={one.gaps} />
                      </div>
                    ))}
                  </div>
                )}
              </Panel>
              <Panel title="About">
                <Facts items={[
                  { name: "From", value: <Day at={of.first} /> },
                  { name: "To", value: <Day at={of.last} /> },
                  { name: "Candles", value: exact(of.record_count) },
                  { name: "Refused", value: of.rejected ? <span className="text-warn">{number(of.rejected)}</span> : "none" },
                  { name: "Good", value: of.validation_rate === null || of.validation_rate === undefined ? "–" : percent(of.validation_rate) },
                  { name: "Provider", value: of.provider ?? <span className="faint">as the settings say</span> },
                  { name: "A candle lasts", value: of.interval ? words[of.interval] : <span className="faint">as the settings say</span> },
                  { name: "Last run", value: <Time at={of.last_backfill} /> },
                  { name: "Tracked since", value: <Time at={of.date_added} as="day" /> },
                ]} />
              </Panel>
            </div>
            {editing && <Edit of={of} onClose={() => setEditing(false)} />}
          </Page>
        );
      }}
    </Loaded>
  );
}

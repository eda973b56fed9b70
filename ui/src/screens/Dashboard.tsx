// The house at a glance: traffic now, whether the keys are good, what is nearly used up, what ends next.

import { useQueries, useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { type ReactNode, Suspense, lazy, useMemo, useState } from "react";
import type { Schemas } from "../api/client";
import { clientKey, clientKeys, providers, ready, secrets, usage } from "../api/queries";
import { useTrail } from "../api/trail";
import { duration, exact, money, number, percent, sentence } from "../format";
import { ButtonLink } from "../parts/links";
import { Icon } from "../icons";
import { CodeBlock, Empty, Fault, Loaded, Loading, Page, Panel, Status, Time } from "../parts/basic";
import { LazyChart, type Point } from "../parts/LazyChart";
import { Meter } from "../parts/Meter";
import { RecordDrawer, callOf, toneOfStatus } from "../parts/Records";
import { snippet } from "../snippet";
import { failed, nameOf, places, total, within } from "../series";
import { may, useWho } from "../session";
import { Ends, HealthOf, Moved } from "../parts/marks";

const AlertsNow = lazy(() => import("../parts/AlertsNow"));

const day = 86_400_000;
type Record = Schemas["Record"];

function Traffic() {
  const minute = Math.floor(Date.now() / 60_000);
  const from = useMemo(() => new Date(Date.now() - 2 * day).toISOString(), [Math.floor(minute / 60)]);
  const hour = useMemo(() => new Date((minute - 59) * 60_000).toISOString(), [minute]);
  const hours = useQuery({ ...usage({ from, bucket: "hour" }), placeholderData: (before) => before });
  const minutes = useQuery({ ...usage({ from: hour, bucket: "minute" }, 5_000), placeholderData: (before) => before });
  const now = Date.now();
  const fault = hours.error ?? minutes.error;
  const items = hours.data?.items ?? [];
  const [today, before] = [total(within(items, now - day, now + day)), total(within(items, now - 2 * day, now - day))];
  const latest = items.filter((item) => item.requests > 0).at(-1);
  const fresh = latest && now - new Date(latest.bucket).getTime() < 2 * 3_600_000 ? latest : undefined;
  const at = places((minute - 59) * 60_000, (minute + 1) * 60_000, "minute");
  const points: Point[] = at.map((start) => ({ at: nameOf(start, "minute", false), good: 0, client: 0, provider: 0, us: 0 }));
  const index = new Map(at.map((start, place) => [start, place]));
  let perMinute = 0;
  for (const item of minutes.data?.items ?? []) {
    const place = index.get(new Date(item.bucket).getTime());
    const point = place === undefined ? undefined : points[place];
    if (!point) continue;
    const { client, provider, us } = item.errors;
    Object.assign(point, { good: item.requests - client - provider - us, client, provider, us });
    if (place !== undefined && place >= 54 && place < 59) perMinute += item.requests / 5;
  }
  const lastHour = total(minutes.data?.items ?? []);
  // What is not known is no nought.
  if (fault) return <Panel title="Traffic"><Fault fault={fault} what="Traffic" again={() => void Promise.all([hours.refetch(), minutes.refetch()])} /></Panel>;
  if (!hours.data || !minutes.data) return <Panel title="Traffic"><Loading rows={4} label="Traffic" /></Panel>;
  return (
    <>
      <div className="figures">
        <div className="figure"><span className="figure-name">Calls, 24 h</span><span className="figure-value">{number(today.requests)}</span><Moved now={today.requests} before={before.requests} /></div>
        <div className="figure"><span className="figure-name">Now</span><span className="figure-value">{number(Math.round(perMinute))}<span className="figure-unit"> a minute</span></span><span className="moved faint">{exact(lastHour.requests)} in the last hour</span></div>
        <div className="figure"><span className="figure-name">Failed, 24 h</span><span className="figure-value">{today.requests ? percent(failed(today) / today.requests) : "–"}</span><span className={`moved ${today.us ? "text-bad" : "faint"}`}>client {exact(today.client)} · provider {exact(today.provider)} · ours {exact(today.us)}</span></div>
        <div className="figure"><span className="figure-name">p95, this hour</span><span className="figure-value">{duration(fresh?.p95_ms)}</span><span className="moved faint">p50 {duration(fresh?.p50_ms)} · p99 {duration(fresh?.p99_ms)}</span></div>
        <div className="figure"><span className="figure-name">Cost, 24 h</span><span className="figure-value">{money(today.cost)}</span><Moved now={today.cost} before={before.cost} /></div>
      </div>
      <Panel title="The last hour" actions={<Link to="/usage" className="small">Usage and cost</Link>}>
        {lastHour.requests === 0 ? <Empty icon="chart" title="No call in the last hour" /> : (
          <LazyChart kind="bars" label={`${lastHour.requests} calls in the last hour, ${failed(lastHour)} failed`} data={points} height={168} write={number}
            series={[{ name: "good", label: "went well", color: "pine.5" }, { name: "client", label: "client's fault", color: "yellow.6" }, { name: "provider", label: "provider's fault", color: "orange.6" }, { name: "us", label: "our fault", color: "red.6" }]} />
        )}
      </Panel>
    </>
  );
}

function Held() {
  const asked = useQuery(secrets);
  const catalogue = useQuery(providers);
  const rank = (secret: Schemas["Secret"]) => (!secret.active ? 5 : !secret.usable || secret.health === "refused" ? 0 : secret.health === "degraded" ? 1 : secret.health === "unknown" ? 2 : 3);
  return (
    <Panel title="Provider keys" actions={<Link to="/secrets" className="small">All</Link>}>
      <Loaded of={asked} what="Provider keys">
        {(all) => all.length === 0 ? <Empty icon="vault" title="No provider key yet" action={<ButtonLink to="/secrets/new" size="xs">Add a key</ButtonLink>} /> : (
          <ul className="lines">
            {[...all].sort((a, b) => rank(a) - rank(b) || a.provider.localeCompare(b.provider)).slice(0, 7).map((secret) => (
              <li key={secret.id}>
                <Link to="/secrets/$id" params={{ id: secret.id }} className="grow clip">{catalogue.data?.find((one) => one.id === secret.provider)?.title ?? secret.provider} <span className="faint">{secret.name}</span></Link>
                <HealthOf secret={secret} />
              </li>
            ))}
          </ul>
        )}
      </Loaded>
    </Panel>
  );
}

interface Ending {
  id: string;
  at: string;
  link: ReactNode;
}

function EndsNext() {
  const held = useQuery(secrets);
  const keys = useQuery(clientKeys);
  const soon = (at: string | null | undefined): at is string => Boolean(at) && new Date(at as string).getTime() - Date.now() < 45 * day && new Date(at as string).getTime() > Date.now() - 7 * day;
  const list: Ending[] = [
    ...(held.data ?? []).filter((one) => one.active && soon(one.expires_at)).map((one) => ({ id: one.id, at: one.expires_at ?? "", link: <Link to="/secrets/$id" params={{ id: one.id }} className="grow clip">{one.provider} <span className="faint">{one.name}</span></Link> })),
    ...(keys.data ?? []).filter((one) => one.active && soon(one.expires_at)).map((one) => ({ id: one.id, at: one.expires_at ?? "", link: <Link to="/keys/$id" params={{ id: one.id }} className="grow clip">{one.name} <span className="faint">client key</span></Link> })),
  ];
  const fault = held.error ?? keys.error;
  return (
    <Panel title="Ends next">
      {fault ? <p className="muted small">Cannot be read: {fault.message}</p> : list.length === 0 ? <p className="muted small">Nothing ends in the next 45 days.</p> : <ul className="lines">{list.sort((a, b) => a.at.localeCompare(b.at)).slice(0, 7).map((one) => <li key={one.id}>{one.link}<Ends at={one.at} /></li>)}</ul>}
    </Panel>
  );
}

function Quotas() {
  const keys = useQuery(clientKeys);
  const used = (keys.data ?? []).filter((key) => key.state === "active" && key.last_used_at && Date.now() - new Date(key.last_used_at).getTime() < day && (key.tier !== "unlimited" || key.limit || key.monthly_quota)).sort((a, b) => (b.last_used_at ?? "").localeCompare(a.last_used_at ?? "")).slice(0, 8);
  const asked = useQueries({ queries: used.map((key) => ({ ...clientKey(key.id), refetchInterval: 30_000 })) });
  const bounds = asked.flatMap(({ data }) => {
    if (!data?.limits.proxy) return [];
    const { proxy } = data.limits;
    const window = data.tier === "unlimited" && !data.limit ? [] : [{ key: data, what: "this window", bound: proxy }];
    return [...window, ...(proxy.month ? [{ key: data, what: "this month", bound: proxy.month }] : [])];
  });
  const near = bounds.sort((a, b) => b.bound.used / Math.max(b.bound.limit, 1) - a.bound.used / Math.max(a.bound.limit, 1)).slice(0, 4);
  return (
    <Panel title="Nearly used up" about="Of the keys used last.">
      {keys.error ? <p className="muted small">Cannot be read: {keys.error.message}</p> : near.length === 0 ? <p className="muted small">No bounded key was used in the last day.</p> : (
        <div className="stack-tight">{near.map(({ key, what, bound }) => <Link key={key.id + what} to="/keys/$id" params={{ id: key.id }} className="plain-link"><Meter label={`${key.name}, ${what}`} used={bound.used} limit={bound.limit} /></Link>)}</div>
      )}
    </Panel>
  );
}

function Calls({ records, state }: { records: Record[]; state: string }) {
  const [open, setOpen] = useState<Record | null>(null);
  return (
    <Panel title="Calls as they arrive" actions={<span className="row-tight"><Status tone={state === "live" ? "good" : state === "refused" ? "bad" : "quiet"}>{state === "live" ? "live" : state === "refused" ? "not for this role" : "connecting"}</Status><Link to="/audit" search={{ live: true }} className="small">Follow</Link></span>}>
      {records.length === 0 ? <p className="muted small">None yet.</p> : (
        <ul className="lines calls">
          {records.map((record) => (
            <li key={record.id}>
              <Status tone={toneOfStatus(record.status_code)}>{record.status_code ?? "…"}</Status>
              <button type="button" className="as-link grow clip" onClick={() => setOpen(record)}><span className="method">{record.method}</span> {callOf(record)}</button>
              <span className="faint small num hide-narrow">{duration(record.duration_ms)}</span>
              <span className="faint small"><Time at={record.timestamp} as="clock" /></span>
            </li>
          ))}
        </ul>
      )}
      <RecordDrawer record={open} onClose={() => setOpen(null)} />
    </Panel>
  );
}

function House() {
  const asked = useQuery(ready);
  return (
    <Panel title="The house">
      <Loaded of={asked} what="The house" rows={2}>
        {({ parts }) => asked.failureCount > 0 ? <Status tone="bad">The server does not answer</Status> : <ul className="parts">{parts.map((part) => <li key={part.name}><Status tone={part.ready ? "good" : "bad"} title={part.detail ?? undefined}>{sentence(part.name)}</Status></li>)}</ul>}
      </Loaded>
    </Panel>
  );
}

/** The way to the first call, until there has been one. */
function FirstSteps({ records, held, keys }: { records: Record[]; held: Schemas["Secret"][]; keys: Schemas["ClientKey"][] }) {
  const first = held.find((secret) => secret.usable);
  const callers = keys.filter((key) => key.state === "active" && key.role !== "admin");
  const arrived = records.find((record) => record.kind === "usage");
  const steps = [
    { done: Boolean(first), title: "Add a provider key", text: first ? `${first.provider} is sealed and in service.` : "The key that a provider sold you. It is checked before it is stored.", action: <ButtonLink to="/secrets/new" size="xs">Add a key</ButtonLink> },
    { done: callers.length > 0, title: "Make a client key", text: callers[0] ? `${callers[0].name} may call.` : "What your program holds instead of the provider's key.", action: <ButtonLink to="/keys/new" search={first ? { provider: first.provider } : {}} size="xs">Make one</ButtonLink> },
    { done: Boolean(arrived), title: "Make the first call", text: arrived ? `Arrived: ${callOf(arrived)}` : "It shows up here the moment it arrives.", action: null },
  ];
  const now = steps.findIndex((step) => !step.done);
  return (
    <Panel title="Three steps to the first call" className="first-steps">
      <ol>
        {steps.map((step, at) => (
          <li key={step.title} className={step.done ? "past" : at === now ? "now" : ""}>
            <span className="progress-mark" aria-hidden="true">{step.done ? <Icon name="check" size={12} /> : at + 1}</span>
            <div className="grow">
              <p><strong>{step.title}</strong>{step.done && <span className="hidden"> (done)</span>}</p>
              <p className="muted small">{step.text}</p>
              {at === 2 && at === now && <CodeBlock text={snippet("curl", first?.provider ?? "sandbox", "mdw_…")} label="first call" />}
            </div>
            {at === now && step.action}
          </li>
        ))}
      </ol>
    </Panel>
  );
}

export function Dashboard() {
  const who = useWho();
  const [records, setRecords] = useState<Record[]>([]);
  const state = useTrail({ kind: "usage" }, 9, true, (record) => setRecords((before) => (before.some((one) => one.id === record.id) ? before : [record, ...before].slice(0, 9))));
  const held = useQuery(secrets);
  const keys = useQuery(clientKeys);
  const isNew = held.data && keys.data && may.operate(who.role) && (held.data.length === 0 || !keys.data.some((key) => key.role !== "admin") || !keys.data.some((key) => key.request_count > 0 && key.role !== "admin"));
  const [wasNew, setWasNew] = useState(false);
  if (isNew && !wasNew) setWasNew(true);
  return (
    <Page title="Dashboard">
      {wasNew && held.data && keys.data && <FirstSteps records={records} held={held.data} keys={keys.data} />}
      <Traffic />
      <div className="columns columns-wide-left">
        <div className="stack"><Calls records={records} state={state} /><Held /></div>
        <div className="stack"><Suspense><AlertsNow /></Suspense><House /><Quotas /><EndsNext /></div>
      </div>
    </Page>
  );
}
